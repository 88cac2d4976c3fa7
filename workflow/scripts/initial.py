"""Draw initial weights: one network per model, dataset and seed, from which all of its runs start."""

import json
from typing import Any

from sgdtails.config import batches, run_ids
from sgdtails.data import datasets as data
from sgdtails.io import storage
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    from sgdtails.models import building as models

    settings = json.loads(smk.params.settings)
    made_by = {"code": smk.params.code, "settings": settings}
    name, specs = settings["name"], {settings["name"]: settings["model"]}
    found = batches.networks(smk)
    dataset = data.read(found[0].input.dataset)
    shape, classes = dataset.shape, len(dataset.classes)
    for network in found:
        model = models.build(name, shape, classes, specs, seed=run_ids.seed(network.name))
        layers = models.layer_keys(name, settings["model"], model, shape, classes)
        record = {"run": network.name, "layers": layers}
        # made_by is not part of the file's digest: other code that draws the same weights does not retrain.
        storage.save_arrays(network.output.weights, models.state(model), record, made_by=made_by)
    batches.finish(smk, "initial", *batches.made_by(storage.made_by(found[0].input.dataset)))


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
