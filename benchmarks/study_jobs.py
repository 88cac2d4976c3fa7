"""The jobs of a study on one GPU: each calls the workflow's own scripts.

    python -m benchmarks.study_jobs KIND GROUP < plan.json

KIND is ``train``, ``average`` or ``prune`` of a group's runs on the device, ``dataset`` for their images, or ``probe`` for the
device's memory. A job that fails prints one sentence to stderr and ends with status 1.
"""

import ctypes
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.study_plan import ANALYSES, AVERAGED, PRUNED, TRAINED, Files, Plan, RunGroup, script
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
    settings = {"name": name, "source": plan.study.source(name), "contents": _contents(plan, name)}
    params = plan.params("dataset", settings)
    _run(plan, "dataset", f"dataset-{name}", input=Files(), output=[str(path)], params=params)


def _contents(plan: Plan, name: str) -> str:
    from sgdtails.data import contents

    how = plan.config["datasets"]
    prepared = plan.folder / "data" / f"{name}.safetensors"
    found = contents.current(
        name, plan.study.source(name), root=how["root"], prepared=prepared, code=plan.code("dataset")
    )
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


def analyse(text: str, run: str, name: str, initial: bool) -> str:
    """Make one analysis of an averaged run, or of its initial network, on a core of the host. ``text`` is the plan.

    Return a sentence about what failed; an empty string if nothing did."""
    plan = Plan.from_json(text)
    place = plan.initial if initial else plan.path
    try:
        inputs = Files(initial=str(plan.initial(run))) if initial else _inputs(plan, run, name)
        outputs = Files(**{file.partition(".")[0]: str(place(run, file)) for file in ANALYSES[name]})
        settings = plan.study.analysis(name, plan.runs[run]["model"], initial=initial)
        if "device" in settings:
            settings |= {"device": "cpu", "threads": 1}  # the GPU trains
        params = plan.params(name, settings)
        script(name).main(plan.job(name, f"{name}-{run}", input=inputs, output=outputs, params=params))
    except Exception as error:  # the driver prints a sentence and goes on with other runs
        return f"{run}: {f'{error}' or type(error).__name__}".partition("\n")[0]
    return ""


def _inputs(plan: Plan, run: str, name: str) -> Files:
    """Return what the rule of an analysis has as inputs."""
    rows = ("training", "averaging")
    needs = {
        "tails": ("trained", "average"),
        "laws": ("average",),
        "compression": ("trained",),
        "dependence": ("average",),
        "errors": ("trained", "tails"),
        "perturbation": ("dataset", "trained", *rows),
        "bounds": ("dataset", "trained", "tails", *rows),
    }
    paths = {
        "dataset": plan.dataset(run),
        "trained": plan.path(run, f"{plan.config['pruning']['weights']}.safetensors"),
        "average": plan.path(run, "average.safetensors"),
        **{file: plan.path(run, f"{file}.parquet") for file in (*rows, "tails")},
    }
    return Files(**{need: str(paths[need]) for need in needs[name]})


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


def end_with_parent() -> None:
    """Have this process asked to save and end when the one that started it is killed, which a limit of time may do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def main() -> None:
    end_with_parent()
    plan = Plan.from_json(sys.stdin.read())
    if sys.argv[1] == "probe":
        jobs.run(lambda _: probe(plan), plan.job("probe", "probe"))
    else:
        make(plan, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
