"""Measure relative errors of keeping a share of each layer, beside those of stable samples of its shape and tail index."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.config import batches
from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index
from sgdtails.theory import layer_errors


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    how = dict(settings)
    index, kind = Index(**how.pop("index")), how.pop("weights")
    for network in batches.networks(smk):
        weights, _ = layers.read(network.input.trained)
        rows: list[dict[str, Any]] = []
        if layers.finite(weights) and not layers.constant(weights):
            tails = tables.read(network.input.tails)
            listed = network_index.aggregates(tails, index.estimator, "average").get(network.name, [])
            alphas = {row["layer"]: index.of_layer(row) for row in listed}
            found = layer_errors.per_layer(weights, alphas, layer_errors.Settings(**how))
            rows = [{"run": network.name, "weights": kind} | row for row in found]
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        tables.write("errors", rows, network.output.errors, provenance=provenance)
    batches.finish(smk, "errors")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
