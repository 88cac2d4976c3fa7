"""Fit laws to the layers of networks and label each layer: of initial or averaged weights."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.arrays import Row
from sgdtails.config import batches
from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index.laws import layer_laws


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    seed, centring = settings.pop("seed"), settings.pop("centring")
    how = layer_laws.Settings(**settings)
    for network in batches.networks(smk):
        rows: list[Row] = []
        for kind, path in vars(network.input).items():
            weights, _ = layers.read(path)
            if layers.finite(weights):  # a diverged run has a row in table runs, none here
                common = {"run": network.name, "weights": kind}
                found = layer_laws.per_layer(weights, seed=seed, centring=centring, settings=how)
                rows += [common | row for row in found]
        provenance = {"run": network.name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
        tables.write("laws", rows, network.output.laws, provenance=provenance)
    batches.finish(smk, "laws")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
