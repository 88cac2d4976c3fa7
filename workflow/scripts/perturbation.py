"""Measure how far pruning moves one fully connected network's outputs, against the bounds of Lemma 1."""

import json
from typing import Any

from sgdtails import data, jobs, layers, perturbation, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    weights, _ = layers.read(smk.input.trained)
    (run,) = tables.joined_runs([smk.input.training], [smk.input.averaging])
    rows = []
    if run["status"] != "diverged" and layers.finite(weights):
        _, test = data.splits(data.read(smk.input.dataset), None)
        try:
            how = {key: settings[key] for key in ("ratios", "centring", "exempt")}
            found = list(perturbation.rows(weights, test, **how))
        except InputError as error:
            raise InputError(f"{smk.input.trained}: {error}") from error
        common = {"run": run["run"]} | tables.panel(run) | {"weights": settings["weights"]}
        rows = [common | row for row in found]
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    tables.write("perturbation", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
