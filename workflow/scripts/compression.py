"""Measure how few entries, columns and singular values carry each layer of networks, initial or trained."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.arrays import Row
from sgdtails.config import batches
from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.pruning import compression
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        ((kind, path),) = vars(network.input).items()
        kind = settings["weights"] if kind == "trained" else kind
        weights, _ = layers.read(path)
        rows: list[Row] = []
        # A diverged run has a row in table runs, none here; nor has a start of equal weights.
        if layers.finite(weights) and not (kind == "initial" and layers.constant(weights)):
            try:
                found = compression.per_layer(
                    weights, p=settings["p"], epsilon=settings["epsilon"], centring=settings["centring"]
                )
                rows = [{"run": network.name, "weights": kind} | row for row in found]
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        tables.write("compression", rows, network.output.compression, provenance=provenance)
    batches.finish(smk, "compression")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
