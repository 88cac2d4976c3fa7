"""Train networks to the stop rule, from wherever their checkpoints are, and write what came of each."""

import json
from functools import partial
from typing import Any

from sgdtails.config import batches
from sgdtails.io import parquet, storage
from sgdtails.runtime import jobs
from sgdtails.schemas import run_schemas
from sgdtails.training import stages, train_stage


def main(smk: Any) -> None:
    runs = {run.name: run for run in batches.networks(smk)}
    settings = {name: stages.of_run(json.loads(smk.params.settings), name) for name in runs}
    (dataset,) = {run.input.dataset for run in runs.values()}
    initial = {name: run.input.initial for name, run in runs.items()}
    store = stages.store("train", settings, smk, dict.fromkeys(runs, dataset), initial)
    with stages.locked(store):
        todo = {name: settings[name] for name, run in runs.items() if not written(run, store[name])}
        bring = partial(train_stage.train, initial=initial, dataset=dataset, **stages.limits(smk.config))
        stages.through(bring, todo, store, partial(_write, smk, runs, settings, store))
        for checkpoints in store.values():
            checkpoints.remove()
    batches.finish(smk, "train", *batches.made_by(storage.made_by(dataset)))


def written(run: Any, checkpoints: Any) -> bool:
    """Whether a run's files are there already."""
    return stages.written(run.output, "converged", checkpoints)


def _write(
    smk: Any, runs: Any, settings: Any, store: stages.Store, name: str, arrays: dict[str, Any], record: dict[str, Any]
) -> None:
    """Make a run's files of what its last checkpoint holds."""
    run, row, outcome, depends = runs[name], settings[name]["run"], record["outcome"], store[name].key
    provenance = {"run": name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
    state = {key: outcome[key] for key in ("status", "iterations")} | {"depends": depends}
    state["layers"] = storage.read_record(run.input.initial)["layers"]
    storage.save_arrays(run.output.converged, stages.group(arrays, "state"), provenance | state)
    history = ({"run": name} | gate for gate in record["history"])
    parquet.write(run_schemas.SCHEMAS["history"], history, run.output.history, provenance=provenance)
    eta_over_b = {"eta_over_b": row["step_size"] / row["batch_size"]}
    rows = [row | outcome | eta_over_b | {"precision": settings[name]["precision"], "seconds": record["seconds"]}]
    parquet.write(run_schemas.SCHEMAS["training"], rows, run.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
