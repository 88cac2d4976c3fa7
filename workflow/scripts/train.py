"""Train one network to the stop rule, unless a fleet has done so, and write what came of it."""

import json
from functools import partial
from typing import Any

from sgdtails import jobs, parquet, run_schemas, stages, storage, train_stage


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    run = settings["run"]
    name = run["run"]
    store = stages.store("train", {name: settings}, smk.params, {name: smk.input.dataset})
    with stages.locked(store):
        if not stages.written(smk.output, smk.output.converged, store[name]):
            one, limits = {name: settings}, stages.limits(smk.config)
            work = partial(train_stage.train, one, store, smk.input.dataset, **limits)
            arrays, record = stages.finished(store[name], work)
            write(smk, settings, arrays, record, store[name].key)
        store[name].remove()


def write(smk: Any, settings: dict[str, Any], arrays: dict[str, Any], record: dict[str, Any], depends: str) -> None:
    """Make a run's files of what its last checkpoint holds."""
    run, outcome = settings["run"], record["outcome"]
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    state = {key: outcome[key] for key in ("status", "iterations")} | {"depends": depends}
    weights = stages.group(arrays, "state")
    layers = {"layers": train_stage.layer_keys(settings, smk.input.dataset, weights)}
    initial = train_stage.initial(settings, smk.input.dataset)
    storage.save_arrays(smk.output.initial, initial, provenance | layers)
    storage.save_arrays(smk.output.converged, weights, provenance | layers | state)
    history = ({"run": run["run"]} | row for row in record["history"])
    parquet.write(run_schemas.SCHEMAS["history"], history, smk.output.history, provenance=provenance)
    row = run | outcome | {"eta_over_b": run["step_size"] / run["batch_size"], "precision": settings["precision"]}
    parquet.write(
        run_schemas.SCHEMAS["training"], [row | {"seconds": record["seconds"]}], smk.output.row, provenance=provenance
    )


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
