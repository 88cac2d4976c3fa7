"""Measure how far pruning moves the outputs of fully connected networks, against the bounds of Lemma 1."""

import json
from typing import Any

from sgdtails import layers
from sgdtails.arrays import AnyArray, Row
from sgdtails.config import batches
from sgdtails.config.types import Settings
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.runtime import jobs, placing
from sgdtails.theory import perturbation


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        rows = _rows(settings, network.input)
        tables.write("perturbation", rows, network.output.perturbation, provenance=provenance)
    batches.finish(smk, "perturbation")


def _rows(settings: Settings, files: Any) -> list[Row]:
    weights, _ = layers.read(files.trained)
    (run,) = tables.joined_runs([files.training], [files.averaging])
    if run["status"] == "diverged" or not layers.finite(weights):
        return []
    try:
        found = _distances(settings, weights, data.read(files.dataset))
    except InputError as error:
        raise InputError(f"{files.trained}: {error}") from error
    common = {"run": run["run"]} | tables.panel(run) | {"weights": settings["weights"]}
    return [common | row for row in found]


def _distances(settings: Settings, weights: dict[str, AnyArray], dataset: data.Dataset) -> list[Row]:
    device = placing.device(settings["device"], settings["threads"])
    first = slice(settings["images"])
    test = data.Split(dataset.test_images[first], dataset.test_labels[first], dataset, device)
    rows = perturbation.perturbation_rows(
        layers.placed(weights, device),
        test,
        ratios=settings["ratios"],
        centring=settings["centring"],
        exempt=settings["exempt"],
    )
    return list(rows)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
