"""Go on from converged networks and average their iterates; write the averages and the last iterates."""

import json
from functools import partial
from typing import Any

from sgdtails.config import batches
from sgdtails.io import parquet, storage
from sgdtails.runtime import jobs
from sgdtails.schemas import run_schemas
from sgdtails.training import average_stage, stages

SKIPPED = {"status": "skipped", **dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)}


def main(smk: Any) -> None:
    runs = {run.name: run for run in batches.networks(smk)}
    settings = {name: stages.of_run(json.loads(smk.params.settings), name) for name in runs}
    (dataset,) = {run.input.dataset for run in runs.values()}
    trained = {name: run.input.converged for name, run in runs.items()}
    store = stages.store("average", settings, smk, dict.fromkeys(runs, dataset), trained)
    with stages.locked(store):
        write = partial(_write, smk, runs, store)
        bring = partial(average_stage.average, trained=trained, dataset=dataset, **stages.limits(smk.config))
        todo = {name: settings[name] for name, run in runs.items() if not written(run, store[name])}
        for name in [name for name in todo if not average_stage.converged(trained[name])]:
            write(name, {}, {"outcome": SKIPPED, "seconds": 0.0})
            del todo[name]
        stages.through(bring, todo, store, write)
        for checkpoints in store.values():
            checkpoints.remove()
    batches.finish(smk, "average")


def written(run: Any, checkpoints: Any) -> bool:
    """Whether a run's files are there already."""
    return stages.written(run.output, "average", checkpoints)


def _write(smk: Any, runs: Any, store: stages.Store, name: str, arrays: dict[str, Any], record: dict[str, Any]) -> None:
    """Make a run's files of what its last checkpoint holds."""
    run, outcome, depends = runs[name], record["outcome"], store[name].key
    provenance = {"run": name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
    state = {"status": outcome["status"], "iterations": outcome["last_iterations"], "depends": depends}
    state["layers"] = storage.read_record(run.input.converged)["layers"]
    for path, group in ((run.output.last, "state"), (run.output.average, "mean")):
        found = stages.group(arrays, group) if outcome["status"] == "averaged" else {}
        storage.save_arrays(path, found, provenance | state)
    row = {"run": name, "seconds": record["seconds"], **outcome}
    parquet.write(run_schemas.SCHEMAS["averaging"], [row], run.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
