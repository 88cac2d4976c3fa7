"""The jobs of a study on one GPU: each calls the workflow's own scripts.

    python -m benchmarks.study_jobs KIND FLEET < plan.json

KIND is ``train``, ``average`` or ``prune`` of a fleet's runs on the device, ``dataset`` for their images, or ``probe`` for the
device's memory. What goes wrong is one sentence on stderr, and exit status 1.
"""

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.study_plan import ANALYSED, AVERAGED, PRUNED, TRAINED, Files, Fleet, Plan, script
from sgdtails import devices, jobs


def dataset(plan: Plan, fleet: Fleet) -> None:
    """The images of a fleet, unless they are there."""
    path = plan.dataset(fleet.runs[0])
    if path.exists():
        return
    name = path.stem
    settings = {"name": name, "source": plan.config["datasets"]["sources"][name], "contents": _contents(plan, name)}
    params = plan.params("dataset", settings)
    _run(plan, "dataset", f"dataset-{name}", input=SimpleNamespace(), output=[str(path)], params=params)


def _contents(plan: Plan, name: str) -> str:
    from sgdtails import contents

    how = plan.config["datasets"]
    prepared = plan.folder / "data" / f"{name}.safetensors"
    found = contents.current(name, how["sources"][name], root=how["root"], prepared=prepared, code=plan.code("dataset"))
    return found.digest


def together(plan: Plan, fleet: Fleet, stage: str) -> None:
    """Bring those of a fleet's runs through a stage that have no files of it, side by side."""
    files = TRAINED if stage == "train" else AVERAGED
    left = [run for run in fleet.runs if not plan.is_there(run, files)]
    if stage == "average":
        left = [run for run in left if plan.is_there(run, TRAINED)]
    if not left:
        return
    inputs = SimpleNamespace(dataset=str(plan.dataset(left[0])), converged=_paths(plan, left, "converged.safetensors"))
    params = plan.params(stage, {run: plan.stage_settings(stage, run, fleet) for run in left})
    job = plan.job("fleet", f"{stage}-{fleet.name}", input=inputs, output=[], params=params)
    job.config = plan.config | {"slots": fleet.slots, "runs_per_job": fleet.slots}
    jobs.run(script("fleet").main, job)


def prune(plan: Plan, fleet: Fleet) -> None:
    """Prune those of a fleet's runs that are averaged and not pruned, in one process."""
    for run in fleet.runs:
        if plan.is_there(run, AVERAGED) and not plan.is_there(run, PRUNED):
            inputs = Files(dataset=str(plan.dataset(run)), **_weights(plan, run))
            params = plan.params("prune", plan.pruning(run))
            output = [str(plan.path(run, PRUNED[0]))]
            _run(plan, "prune", f"prune-{run}", input=inputs, output=output, params=params)


def _weights(plan: Plan, run: str) -> dict[str, str]:
    kinds = {"initial": "initial", "trained": plan.config["pruning"]["weights"], "average": "average"}
    return {kind: str(plan.path(run, f"{name}.safetensors")) for kind, name in kinds.items()}


def _paths(plan: Plan, runs: list[str], name: str) -> list[str]:
    return [str(plan.path(run, name)) for run in runs]


def written(plan: Plan, stage: str, run: str, fleet: Fleet) -> bool:
    """Make the files of a run that has come to the end of a stage, from its checkpoint; whether they are there.

    The fleet may still hold the locks of its runs: what has ended it does not touch any more.
    """
    files = TRAINED if stage == "train" else AVERAGED
    if plan.is_there(run, files):
        return True
    outputs = Files(**{_output(stage, name): str(plan.path(run, name)) for name in files})
    inputs = Files(dataset=str(plan.dataset(run)), converged=str(plan.path(run, "converged.safetensors")))
    settings, module = plan.stage_settings(stage, run, fleet), script(stage)
    job = plan.job(stage, f"{stage}-{run}", input=inputs, output=outputs, params=plan.params(stage, settings))
    if stage == "average" and not _converged(plan, run):
        module.main(job)
        return True
    checkpoints = plan.store(stage, [run], fleet)[run]
    if not checkpoints.record().get("outcome"):
        return False
    arrays, record = checkpoints.load() or ({}, {})
    if not record.get("outcome"):
        return False  # damaged: the next start brings the run to its end again
    module.write(job, settings, arrays, record, checkpoints.key)
    return True


def _output(stage: str, name: str) -> str:
    return "row" if name in ("training.parquet", "averaging.parquet") else name.partition(".")[0]


def _converged(plan: Plan, run: str) -> bool:
    from sgdtails import average_stage

    return average_stage.converged(str(plan.path(run, "converged.safetensors")))


def analyse(text: str, run: str) -> str:
    """Tails, readings and compression of an averaged run; a sentence about what went wrong, or nothing. ``text``: the plan."""
    plan = Plan.from_json(text)
    how, weights = plan.config["pruning"], _weights(plan, run)
    inputs = Files(**weights)
    tails, readings, compression = (str(plan.path(run, name)) for name in ANALYSED)
    params = plan.params("tails", {"weights": how["weights"], **plan.config["tails"]})
    settings = {"weights": how["weights"], "centring": how["centring"], **plan.config["compression"]}
    try:
        if not plan.is_there(run, ANALYSED[:2]):
            script("tails").main(
                plan.job("tails", run, input=inputs, output=Files(tails=tails, readings=readings), params=params)
            )
        more = {"params": plan.params("compression", settings), "wildcards": SimpleNamespace(run=run)}
        script("compression").main(plan.job("compression", run, input=inputs, output=[compression], **more))
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
