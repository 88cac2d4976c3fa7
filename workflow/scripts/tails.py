"""Estimate the tail indices of one run's layers: initial, final and averaged weights."""

import json
from typing import Any

from sgdtails import jobs, layers, storage, tables, tail_index


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    rows = []
    for kind in ("initial", "final", "average"):
        state, record = storage.load_arrays(smk.input[kind])
        if layers.finite(state):  # a diverged run has a row in table runs, none here
            found = tail_index.per_layer(layers.weights(state), **settings)
            rows += [{"run": record["run"], "weights": kind} | row for row in found]
    provenance = {"run": record["run"], "code": smk.params.code, "settings": settings}
    tables.write("tails", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
