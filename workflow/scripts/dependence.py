"""Measure how far networks' weights are from independent: of an initial network, or of a run's averaged weights."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.config import batches
from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.theory import independence


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        ((kind, path),) = vars(network.input).items()
        weights, _ = layers.read(path)
        rows: list[dict[str, Any]] = []
        if layers.finite(weights):  # a diverged run has a row in table runs, none here
            found = independence.per_layer(weights, independence.Settings(**settings))
            rows = [{"run": network.name, "weights": kind} | row for row in found]
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        tables.write("dependence", rows, network.output.dependence, provenance=provenance)
    batches.finish(smk, "dependence")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
