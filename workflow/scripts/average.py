"""Go on from a converged network and average its iterates, unless a fleet has done so; write the average and the last iterate."""

import json
from functools import partial
from typing import Any

from sgdtails import average_stage, jobs, parquet, run_schemas, stages, storage

SKIPPED = {"status": "skipped", **dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)}


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    name = settings["run"]["run"]
    trained = {name: smk.input.converged}
    arrays: dict[str, Any] = {}
    record: dict[str, Any] = {"outcome": SKIPPED, "seconds": 0.0}
    store = stages.store("average", {name: settings}, smk.params, {name: smk.input.dataset}, trained)
    with stages.locked(store):
        if not stages.written(smk.output, smk.output.average, store[name]):
            if average_stage.converged(smk.input.converged):
                one, limits = {name: settings}, stages.limits(smk.config)
                work = partial(average_stage.average, one, store, smk.input.dataset, trained, **limits)
                arrays, record = stages.finished(store[name], work)
            write(smk, settings, arrays, record, store[name].key)
        store[name].remove()


def write(smk: Any, settings: dict[str, Any], arrays: dict[str, Any], record: dict[str, Any], depends: str) -> None:
    """Make a run's files of what its last checkpoint holds."""
    run, outcome = settings["run"]["run"], record["outcome"]
    provenance = {"run": run, "code": smk.params.code, "settings": settings}
    state = {"status": outcome["status"], "iterations": outcome["last_iterations"], "depends": depends}
    state["layers"] = storage.read_record(smk.input.converged).get("layers")
    for path, group in ((smk.output.last, "state"), (smk.output.average, "mean")):
        found = stages.group(arrays, group) if outcome["status"] == "averaged" else {}
        storage.save_arrays(path, found, provenance | state)
    row = {"run": run, "seconds": record["seconds"], **outcome}
    parquet.write(run_schemas.SCHEMAS["averaging"], [row], smk.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
