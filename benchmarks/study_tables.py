"""Write the tables of a study on one GPU, at any time, from the files of the finished runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.study_plan import AVERAGED, PRUNED, TRAINED, Plan, RunGroup
from sgdtails.config import architectures
from sgdtails.io import parquet, tables
from sgdtails.schemas import run_schemas
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index

PROGRESS = run_schemas.schema(
    run_schemas.RUN,
    ("group", run_schemas.TEXT, "", "runs that train side by side"),
    (
        "stage",
        run_schemas.TEXT,
        "",
        "waiting, training, trained (not averaged yet), averaged (not analysed yet), analysed or pruned: finished",
    ),
    ("iterations", run_schemas.COUNT, "steps", "SGD steps of training that are done and saved"),
    ("precision", run_schemas.TEXT, "", "fp32 or tf32"),
    ("problem", run_schemas.TEXT, "", "what went wrong with its group, in one sentence; empty where nothing did"),
)


def progress(plan: Plan, problems: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each run of the plan; ``problems`` are by group."""
    return [
        {"run": run, "group": group.name, **_stage(plan, run, group), "precision": plan.precision(run)}
        | {"problem": problems.get(group.name, "")}
        for group in plan.groups
        for run in group.runs
    ]


def _stage(plan: Plan, run: str, group: RunGroup) -> dict[str, Any]:
    if plan.is_there(run, TRAINED):
        (row,) = parquet.read(plan.path(run, "training.parquet")).to_pylist()
        stage = "averaged" if plan.is_there(run, AVERAGED) else "trained"
        if stage == "averaged" and all(plan.is_analysed(run, name) for name in plan.analyses(run)):
            stage = "pruned" if plan.is_there(run, PRUNED) else "analysed"
        return {"stage": stage, "iterations": row["iterations"]}
    if not plan.dataset(run).exists() or not plan.initial(run).exists():
        return {"stage": "waiting", "iterations": 0}
    record = plan.store("train", [run], group)[run].record()
    return {"stage": "training" if record else "waiting", "iterations": record.get("iteration", 0)}


def write(plan: Plan, problems: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write all tables, each atomically. Return the rows of ``progress``."""
    rows = progress(plan, problems)
    unfinished = sum(row["stage"] != "pruned" for row in rows)
    provenance = {"settings": plan.config, "code": plan.code("runs"), "unfinished": unfinished}
    parquet.write(PROGRESS, rows, plan.table("progress"), provenance=provenance)
    shapes = {model: architectures.width_and_depth(spec) for model, spec in plan.config["models"].items()}
    index, sizes = Index(**plan.config["index"]), plan.study.train_sizes
    joined = network_index.with_index(_joined(plan), _there(plan, "tails"), index, shapes, sizes)
    tables.write("runs", joined, plan.table("runs"), provenance=provenance)
    for name in ("history", "trajectory", "tails", "readings", "laws", "compression"):
        initial = tables.by_initial(_initial(plan, name))
        tables.concatenate(name, _there(plan, name), plan.table(name), initial=initial, provenance=provenance)
    pruned = tables.with_status(_there(plan, "pruned"), tables.read(plan.table("runs")))
    tables.write("pruning", pruned, plan.table("pruning"), provenance=provenance)
    return rows


def _there(plan: Plan, name: str, among: Iterable[str] | None = None) -> list[Path]:
    paths = [plan.path(run, f"{name}.parquet") for run in among or plan.runs if plan.is_there(run, TRAINED)]
    return [path for path in paths if path.exists()]


def _initial(plan: Plan, name: str) -> list[Path]:
    return sorted({path for run in plan.runs if (path := plan.initial(run, f"{name}.parquet")).exists()})


def _joined(plan: Plan) -> list[dict[str, Any]]:
    """Return the rows of table ``runs`` without the index; columns of averaging are null for runs that are not averaged."""
    trained = [run for run in plan.runs if plan.is_there(run, TRAINED)]
    averaged = [run for run in trained if plan.is_there(run, AVERAGED)]
    both = [[plan.path(run, f"{name}.parquet") for run in averaged] for name in ("training", "averaging")]
    nothing = {name: None for name, *_ in run_schemas.AVERAGES}
    rest = [plan.path(run, "training.parquet") for run in trained if run not in averaged]
    return tables.joined_runs(*both) + [row | nothing for path in rest for row in parquet.read(path).to_pylist()]
