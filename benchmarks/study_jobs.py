"""The jobs of a study on one GPU: each calls the workflow's own scripts.

    python -m benchmarks.study_jobs KIND GROUP < plan.json

KIND is ``train``, ``average`` or ``prune`` of a group's runs on the device, ``dataset`` for their images, or ``probe`` for the
device's memory. A job that fails prints one sentence to stderr and ends with status 1.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.study_plan import ANALYSED, AVERAGED, PRUNED, TRAINED, Files, Plan, RunGroup, script
from sgdtails.runtime import devices, jobs


def dataset(plan: Plan, group: RunGroup) -> None:
    """Prepare the images of a group and its initial networks, unless they are there."""
    if not plan.dataset(group.runs[0]).exists():
        _images(plan, plan.dataset(group.runs[0]))
    starts = {plan.initial(run): run for run in group.runs if not plan.initial(run).exists()}
    if starts:
        first = next(iter(starts.values()))
        _run(
            plan,
            "initial",
            f"initial-{group.name}",
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


def together(plan: Plan, group: RunGroup, stage: str) -> None:
    """Take the runs of a group that have no files of a stage through it, side by side; each gets its files when it ends."""
    files = TRAINED if stage == "train" else AVERAGED
    left = [run for run in group.runs if not plan.is_there(run, files)]
    if stage == "average":
        left = [run for run in left if plan.is_there(run, TRAINED)]
    if not left:
        return
    inputs, outputs = plan.files(stage, left)
    params = plan.params(stage, plan.stage_settings(stage, group))
    job = plan.job(stage, f"{stage}-{group.name}", input=inputs, output=outputs, params=params)
    job.config = plan.config | {"slots": group.slots}
    jobs.run(script(stage).main, job)


def prune(plan: Plan, group: RunGroup) -> None:
    """Prune the runs of a group that are averaged but not pruned."""
    left = [run for run in group.runs if plan.is_there(run, AVERAGED) and not plan.is_there(run, PRUNED)]
    if left:
        trained = f"{plan.config['pruning']['weights']}.safetensors"
        inputs = Files(dataset=str(plan.dataset(left[0])), trained=_paths(plan, left, trained))
        outputs = Files(pruned=_paths(plan, left, PRUNED[0]))
        params = plan.params("prune", plan.pruning(left[0]))
        _run(plan, "prune", f"prune-{group.name}", input=inputs, output=outputs, params=params)


def _paths(plan: Plan, runs: list[str], name: str) -> list[str]:
    return [str(plan.path(run, name)) for run in runs]


def analyse(text: str, run: str, initial: bool) -> str:
    """Analyse tails and compression of an averaged run, or of its initial network. ``text`` is the plan.

    Return a sentence about what failed; an empty string if nothing did."""
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
    except Exception as error:  # the driver prints a sentence and goes on with other runs
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
    print(json.dumps(found), file=sys.__stdout__, flush=True)  # the job's own stdout goes to its log


KINDS: dict[str, Callable[[Plan, RunGroup], None]] = {
    "dataset": dataset,
    "train": lambda plan, group: together(plan, group, "train"),
    "average": lambda plan, group: together(plan, group, "average"),
    "prune": prune,
}


def make(plan: Plan, kind: str, name: str) -> None:
    """Run one job; SystemExit after a sentence if it fails."""
    (plan.folder / "logs").mkdir(parents=True, exist_ok=True)
    KINDS[kind](plan, next(group for group in plan.groups if group.name == name))


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    if sys.argv[1] == "probe":
        jobs.run(lambda _: probe(plan), plan.job("probe", "probe"))
    else:
        make(plan, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
