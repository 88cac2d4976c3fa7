"""Measure how far pruning moves one fully connected network's outputs, against the bounds of Lemma 1."""

import json
from typing import Any

from sgdtails import data, jobs, layers, perturbation, placing, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    weights, _ = layers.read(smk.input.trained)
    (run,) = tables.joined_runs([smk.input.training], [smk.input.averaging])
    rows = []
    if run["status"] != "diverged" and layers.finite(weights):
        try:
            found = _distances(settings, weights, data.read(smk.input.dataset))
        except InputError as error:
            raise InputError(f"{smk.input.trained}: {error}") from error
        common = {"run": run["run"]} | tables.panel(run) | {"weights": settings["weights"]}
        rows = [common | row for row in found]
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    tables.write("perturbation", rows, smk.output[0], provenance=provenance)


def _distances(settings: dict[str, Any], weights: dict[str, Any], dataset: data.Dataset) -> list[dict[str, Any]]:
    device = placing.device(settings["device"], settings["threads"])
    first = slice(settings["images"])
    test = data.Split(dataset.test_images[first], dataset.test_labels[first], dataset, device)
    how = {key: settings[key] for key in ("ratios", "centring", "exempt")}
    return list(perturbation.rows(layers.placed(weights, device), test, **how))


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
