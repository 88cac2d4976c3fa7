"""Take converged networks to the averages of their iterates; write the averages and the last iterates."""

import json
from functools import partial
from typing import Any

from sgdtails.config import batches
from sgdtails.io import parquet, storage
from sgdtails.runtime import jobs
from sgdtails.schemas import run_schemas
from sgdtails.training import average_job, resume
from sgdtails.training.checkpointer import Stores, select_group
from sgdtails.training.checkpoints import Arrays, CheckpointStore
from sgdtails.training.settings import RunSettings

SKIPPED = {"status": "skipped", **dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)}


def main(smk: Any) -> None:
    runs = {run.name: run for run in batches.networks(smk)}
    settings = {name: RunSettings.from_params(json.loads(smk.params.settings), name) for name in runs}
    (dataset,) = {run.input.dataset for run in runs.values()}
    trained = {name: run.input.converged for name, run in runs.items()}
    stores = resume.checkpoint_stores("average", settings, smk, dict.fromkeys(runs, dataset), trained)
    with resume.locked(stores):
        write = partial(_write, smk, runs, stores)
        todo = {name: settings[name] for name, run in runs.items() if not written(run, stores[name])}
        for name in [name for name in todo if not average_job.converged(trained[name])]:
            write(name, {}, {"outcome": SKIPPED, "seconds": 0.0})
            del todo[name]
        slots, minutes = smk.config["slots"], smk.config["checkpoint_minutes"]
        average = partial(average_job.average, trained=trained, dataset=dataset, slots=slots, minutes=minutes)
        resume.finish_runs(average, todo, stores, write)
    batches.finish(smk, "average")


def written(run: Any, store: CheckpointStore) -> bool:
    """Return whether a run's files are there already."""
    return resume.already_written(run.output, "average", store)


def _write(smk: Any, runs: dict[str, Any], stores: Stores, name: str, arrays: Arrays, record: dict[str, Any]) -> None:
    """Write a run's files from its last checkpoint."""
    run, outcome = runs[name], record["outcome"]
    provenance = {"run": name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
    state = {"status": outcome["status"], "iterations": outcome["last_iterations"], "depends": stores[name].key}
    state["layers"] = storage.read_record(run.input.converged)["layers"]
    for path, group in ((run.output.last, "state"), (run.output.average, "mean")):
        found = select_group(arrays, group) if outcome["status"] == "averaged" else {}
        storage.save_arrays(path, found, provenance | state)
    row = {"run": name, "seconds": record["seconds"], **outcome}
    parquet.write(run_schemas.SCHEMAS["averaging"], [row], run.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
