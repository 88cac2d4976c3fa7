"""Estimate the tail indices of one run's layers, and read their profiles: initial, pruned and averaged weights."""

import json
from typing import Any

from sgdtails import dotted, jobs, layer_tails, layers, tables


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    seed = settings.pop("seed")
    taken = layer_tails.NAMES
    own = dotted.load_all(settings.pop("own"), "config key tails.own", taken, passing=(ValueError,))
    kind_of_trained = settings.pop("weights")
    how = layer_tails.Settings(**settings)
    rows: dict[str, list[dict[str, Any]]] = {"tails": [], "readings": []}
    files = {"initial": smk.input.initial, kind_of_trained: smk.input.trained, "average": smk.input.average}
    for kind, path in files.items():
        weights, record = layers.read(path)
        if layers.finite(weights):  # a diverged run has a row in table runs, none here
            common = {"run": record["run"], "weights": kind}
            rows["tails"] += [common | row for row in layer_tails.per_layer(weights, seed=seed, settings=how, own=own)]
            readings = layer_tails.per_layer_readings(weights, seed=seed, centring=how.centring)
            rows["readings"] += [common | row for row in readings]
    provenance = {"run": record["run"], "code": smk.params.code, "settings": json.loads(smk.params.settings)}
    for name, found in rows.items():
        tables.write(name, found, smk.output[name], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
