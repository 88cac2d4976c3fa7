"""Train networks to the stop rule, from their checkpoints if there are any, and write the files of each."""

import json
from functools import partial
from typing import Any

from sgdtails.config import batches
from sgdtails.io import parquet, storage
from sgdtails.runtime import jobs
from sgdtails.schemas import run_schemas
from sgdtails.training import resume, train_job
from sgdtails.training.checkpointer import Stores, select_group
from sgdtails.training.checkpoints import Arrays, CheckpointStore
from sgdtails.training.settings import RunSettings


def main(smk: Any) -> None:
    runs = {run.name: run for run in batches.networks(smk)}
    settings = {name: RunSettings.from_params(json.loads(smk.params.settings), name) for name in runs}
    (dataset,) = {run.input.dataset for run in runs.values()}
    initial = {name: run.input.initial for name, run in runs.items()}
    stores = resume.checkpoint_stores("train", settings, smk, dict.fromkeys(runs, dataset), initial)
    with resume.locked(stores):
        todo = {name: settings[name] for name, run in runs.items() if not written(run, stores[name])}
        slots, minutes = smk.config["slots"], smk.config["checkpoint_minutes"]
        train = partial(train_job.train, initial=initial, dataset=dataset, slots=slots, minutes=minutes)
        resume.finish_runs(train, todo, stores, partial(_write, smk, runs, settings, stores))
    batches.finish(smk, "train", *batches.made_by(storage.made_by(dataset)))


def written(run: Any, store: CheckpointStore) -> bool:
    """Return whether a run's files are there already."""
    return resume.already_written(run.output, "converged", store)


def _write(
    smk: Any,
    runs: dict[str, Any],
    settings: dict[str, RunSettings],
    stores: Stores,
    name: str,
    arrays: Arrays,
    record: dict[str, Any],
) -> None:
    """Write a run's files from its last checkpoint."""
    run, row, outcome = runs[name], settings[name].run, record["outcome"]
    provenance = {"run": name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
    state = {key: outcome[key] for key in ("status", "iterations")} | {"depends": stores[name].key}
    state["layers"] = storage.read_record(run.input.initial)["layers"]
    storage.save_arrays(run.output.converged, select_group(arrays, "state"), provenance | state)
    history = ({"run": name} | gate for gate in record["history"])
    parquet.write(run_schemas.SCHEMAS["history"], history, run.output.history, provenance=provenance)
    trajectory = ({"run": name} | row for row in record["trajectory"])
    parquet.write(run_schemas.SCHEMAS["trajectory"], trajectory, run.output.trajectory, provenance=provenance)
    eta_over_b = {"eta_over_b": row["step_size"] / row["batch_size"]}
    rows = [row | outcome | eta_over_b | {"precision": settings[name].precision, "seconds": record["seconds"]}]
    parquet.write(run_schemas.SCHEMAS["training"], rows, run.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
