"""Estimate the tail indices of one run's layers, and read their profiles: initial, final and averaged weights."""

import json
from typing import Any

from sgdtails import dotted, estimators, jobs, layer_tails, layers, tables


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    seed, taken = settings["seed"], (*layer_tails.ESTIMATORS, *estimators.ESTIMATORS)
    own = dotted.load_all(settings["own"], "config key tails.own", taken, passing=(ValueError,))
    rows: dict[str, list[dict[str, Any]]] = {"tails": [], "readings": []}
    for kind in ("initial", "final", "average"):
        weights, record = layers.read(smk.input[kind])
        if layers.finite(weights):  # a diverged run has a row in table runs, none here
            common = {"run": record["run"], "weights": kind}
            rows["tails"] += [common | row for row in layer_tails.per_layer(weights, seed=seed, own=own)]
            rows["readings"] += [common | row for row in layer_tails.per_layer_readings(weights, seed=seed)]
    provenance = {"run": record["run"], "code": smk.params.code, "settings": settings}
    for name, found in rows.items():
        tables.write(name, found, smk.output[name], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
