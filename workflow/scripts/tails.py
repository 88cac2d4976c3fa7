"""Estimate the tail indices of networks' layers and classify them: of initial, or of pruned and averaged weights."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.arrays import Row
from sgdtails.config import batches, plugins
from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import layer_tails


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    seed, trained = settings.pop("seed"), settings.pop("weights", None)
    own = plugins.load_all(settings.pop("own"), "config key tails.own", layer_tails.NAMES, passing=(ValueError,))
    how = layer_tails.Settings(**settings)
    for network in batches.networks(smk):
        rows: dict[str, list[Row]] = {"tails": [], "readings": []}
        for kind, path in vars(network.input).items():
            weights, _ = layers.read(path)
            if layers.finite(weights):  # a diverged run has a row in table runs, none here
                common = {"run": network.name, "weights": trained if kind == "trained" else kind}
                found = layer_tails.per_layer(weights, seed=seed, settings=how, own=own)
                rows["tails"] += [common | row for row in found]
                classes = layer_tails.per_layer_classes(weights, seed=seed, centring=how.centring)
                rows["readings"] += [common | row for row in classes]
        provenance = {"run": network.name, "code": smk.params.code, "settings": json.loads(smk.params.settings)}
        for name, listed in rows.items():
            tables.write(name, listed, getattr(network.output, name), provenance=provenance)
    batches.finish(smk, "tails")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
