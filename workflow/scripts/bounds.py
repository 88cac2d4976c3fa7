"""Evaluate the paper's generalisation bounds for one run, if it converged."""

import json
import math
from typing import Any

from sgdtails import data, jobs, layers, network_index, placing, run_bounds, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    kind = settings["weights"]
    (run,) = tables.joined_runs([smk.input.training], [smk.input.averaging])
    common = {"run": run["run"]} | tables.panel(run) | {"weights": kind}
    rows = []
    if run["status"] == "converged":
        weights, _ = layers.read(smk.input.trained)
        # Corollary 1 speaks of independent entries, so its index is that of the entries.
        of_entries = network_index.aggregates(tables.read(smk.input.tails), "mmo_univariate", kind).get(run["run"], [])
        alpha = {row["layer_name"]: row["alpha"] for row in of_entries if row["alpha"] is not None}
        try:
            alphas = [alpha.get(name, math.inf) for name in weights]  # inf: no estimate
            test_error = 1 - tables.accuracy_of(run, kind)
            rows = _bounds(settings, weights, data.read(smk.input.dataset), alphas, test_error)
        except InputError as error:
            raise InputError(f"{smk.input.trained}: {error}") from error
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    tables.write("bounds", [common | row for row in rows], smk.output[0], provenance=provenance)


def _bounds(
    settings: dict[str, Any], weights: dict[str, Any], dataset: data.Dataset, alphas: list[float], test_error: float
) -> list[dict[str, Any]]:
    chain = settings["fully_connected"]  # only these are evaluated
    device = placing.device(settings["device"], settings["threads"]) if chain else None
    splits = data.splits(dataset, device)
    common = {"alphas": alphas, "fully_connected": chain, "test_error": test_error, "device": device}
    return list(run_bounds.rows(weights, splits, **common, **settings["bounds"]))


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
