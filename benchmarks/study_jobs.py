"""The jobs of a study on one GPU: each calls the workflow's own scripts.

    python -m benchmarks.study_jobs KIND FLEET < plan.json

KIND is ``train``, ``average`` or ``prune`` of a fleet's runs on the device, ``dataset`` for their images, or ``probe`` for the
device's memory. What goes wrong is one sentence on stderr, and exit status 1.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.study_plan import ANALYSED, AVERAGED, PRUNED, TRAINED, Files, Fleet, Plan, script
from sgdtails.runtime import devices, jobs


def dataset(plan: Plan, fleet: Fleet) -> None:
    """The images of a fleet, and the networks that it starts from, unless they are there."""
    if not plan.dataset(fleet.runs[0]).exists():
        _images(plan, plan.dataset(fleet.runs[0]))
    starts = {plan.initial(run): run for run in fleet.runs if not plan.initial(run).exists()}
    if starts:
        first = next(iter(starts.values()))
        _run(
            plan,
            "initial",
            f"initial-{fleet.name}",
            input=Files(dataset=str(plan.dataset(first))),
            output=Files(weights=[str(path) for path in starts]),
            params=plan.params("initial", plan.initial_settings(first)),
        )


def _images(plan: Plan, path: Path) -> None:
    name = path.stem
    settings = {"name": name, "source": plan.config["datasets"]["sources"][name], "contents": _contents(plan, name)}
    params = plan.params("dataset", settings)
    _run(plan, "dataset", f"dataset-{name}", input=Files(), output=[str(path)], params=params)


def _contents(plan: Plan, name: str) -> str:
    from sgdtails.data import contents

    how = plan.config["datasets"]
    prepared = plan.folder / "data" / f"{name}.safetensors"
    found = contents.current(name, how["sources"][name], root=how["root"], prepared=prepared, code=plan.code("dataset"))
    return found.digest


def together(plan: Plan, fleet: Fleet, stage: str) -> None:
    """Bring those of a fleet's runs through a stage that have no files of it, side by side; each has its files when it ends."""
    files = TRAINED if stage == "train" else AVERAGED
    left = [run for run in fleet.runs if not plan.is_there(run, files)]
    if stage == "average":
        left = [run for run in left if plan.is_there(run, TRAINED)]
    if not left:
        return
    inputs, outputs = plan.files(stage, left)
    params = plan.params(stage, plan.stage_settings(stage, fleet))
    job = plan.job(stage, f"{stage}-{fleet.name}", input=inputs, output=outputs, params=params)
    job.config = plan.config | {"slots": fleet.slots}
    jobs.run(script(stage).main, job)


def prune(plan: Plan, fleet: Fleet) -> None:
    """Prune those of a fleet's runs that are averaged and not pruned, in one process."""
    left = [run for run in fleet.runs if plan.is_there(run, AVERAGED) and not plan.is_there(run, PRUNED)]
    if left:
        trained = f"{plan.config['pruning']['weights']}.safetensors"
        inputs = Files(dataset=str(plan.dataset(left[0])), trained=_paths(plan, left, trained))
        outputs = Files(pruned=_paths(plan, left, PRUNED[0]))
        params = plan.params("prune", plan.pruning(left[0]))
        _run(plan, "prune", f"prune-{fleet.name}", input=inputs, output=outputs, params=params)


def _paths(plan: Plan, runs: list[str], name: str) -> list[str]:
    return [str(plan.path(run, name)) for run in runs]


def analyse(text: str, run: str, initial: bool) -> str:
    """Tails, readings and compression of an averaged run, or of the network that it starts from; a sentence about what went
    wrong, or nothing. ``text``: the plan."""
    plan = Plan.from_json(text)
    how, place = plan.config["pruning"], plan.initial if initial else plan.path
    tails, readings, compression = (str(place(run, name)) for name in ANALYSED)
    weights = {"average": str(plan.path(run, "average.safetensors"))}
    trained = {"trained": str(plan.path(run, f"{how['weights']}.safetensors"))}
    kind = {"weights": how["weights"]}
    if initial:
        weights, kind = {}, {}
        trained = {"initial": str(plan.initial(run))}
    params = plan.params("tails", {**kind, **plan.config["tails"]})
    settings = {**kind, "centring": how["centring"], **plan.config["compression"]}
    try:
        outputs = Files(tails=tails, readings=readings)
        script("tails").main(plan.job("tails", run, input=Files(**trained, **weights), output=outputs, params=params))
        job = {"output": Files(compression=compression), "params": plan.params("compression", settings)}
        script("compression").main(plan.job("compression", run, input=Files(**trained), **job))
    except Exception as error:  # a sentence for the driver, whose other runs go on
        return f"{run}: {f'{error}' or type(error).__name__}".partition("\n")[0]
    return ""


def _run(plan: Plan, name: str, log: str, **parts: Any) -> None:
    jobs.run(script(name).main, plan.job(name, log, **parts))


def probe(plan: Plan) -> None:
    """Print the device's name and its free and whole memory in bytes."""
    import torch

    device = devices.select(plan.config["device"], plan.config["precision"], 1)
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    found = {"name": devices.describe(device), "free": free, "total": total}
    print(json.dumps(found), file=sys.__stdout__, flush=True)  # the job's own goes to its log


KINDS: dict[str, Callable[[Plan, Fleet], None]] = {
    "dataset": dataset,
    "train": lambda plan, fleet: together(plan, fleet, "train"),
    "average": lambda plan, fleet: together(plan, fleet, "average"),
    "prune": prune,
}


def make(plan: Plan, kind: str, name: str) -> None:
    """One job; SystemExit after a sentence if it fails."""
    (plan.folder / "logs").mkdir(parents=True, exist_ok=True)
    KINDS[kind](plan, next(fleet for fleet in plan.fleets if fleet.name == name))


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    if sys.argv[1] == "probe":
        jobs.run(lambda _: probe(plan), plan.job("probe", "probe"))
    else:
        make(plan, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
