"""Go on from a converged network and average its iterates, unless a fleet has done so, and write the average."""

import json
from functools import partial
from typing import Any

from sgdtails import average_stage, jobs, parquet, run_schemas, stages, storage


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    name = settings["run"]["run"]
    finals = {name: smk.input.final}
    arrays: dict[str, Any] = {}
    record: dict[str, Any] = {"outcome": {"status": "skipped", "average_test_accuracy": None}, "seconds": 0.0}
    store = stages.store("average", {name: settings}, smk.params, {name: smk.input.dataset}, finals)
    with stages.locked(store):
        if not stages.written(smk.output, smk.output.average, store[name]):
            if average_stage.converged(smk.input.final):
                one, limits = {name: settings}, stages.limits(smk.config)
                work = partial(average_stage.average, one, store, smk.input.dataset, finals, **limits)
                arrays, record = stages.finished(store[name], work)
            _write(smk, settings, arrays, record, store[name].key)
        store[name].remove()


def _write(smk: Any, settings: dict[str, Any], arrays: dict[str, Any], record: dict[str, Any], depends: str) -> None:
    run, outcome = settings["run"]["run"], record["outcome"]
    provenance = {"run": run, "code": smk.params.code, "settings": settings}
    mean = stages.group(arrays, "state") if outcome["status"] == "averaged" else {}
    known = {"layers": storage.read_record(smk.input.final).get("layers"), "status": outcome["status"]}
    storage.save_arrays(smk.output.average, mean, provenance | known | {"depends": depends})
    row = {"run": run, "seconds": record["seconds"], **outcome}
    parquet.write(run_schemas.SCHEMAS["averaging"], [row], smk.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
