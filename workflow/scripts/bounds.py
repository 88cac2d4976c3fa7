"""Evaluate the paper's generalisation bounds for runs that converged."""

import json
import math
from typing import Any

from sgdtails import layers
from sgdtails.arrays import AnyArray, Row
from sgdtails.config import batches
from sgdtails.config.types import Settings
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.runtime import jobs, placing
from sgdtails.tail_index import network_index
from sgdtails.theory import run_bounds


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        tables.write("bounds", _rows(settings, network.input), network.output.bounds, provenance=provenance)
    batches.finish(smk, "bounds")


def _rows(settings: Settings, files: Any) -> list[Row]:
    kind = settings["weights"]
    (run,) = tables.joined_runs([files.training], [files.averaging])
    if run["status"] != "converged":
        return []
    weights, _ = layers.read(files.trained)
    # Corollary 1 speaks of independent entries, so its index is that of the entries.
    of_entries = network_index.aggregates(tables.read(files.tails), "mmo_univariate", kind).get(run["run"], [])
    alpha = {row["layer_name"]: row["alpha"] for row in of_entries if row["alpha"] is not None}
    try:
        alphas = [alpha.get(name, math.inf) for name in weights]  # inf: no estimate
        test_error = 1 - tables.accuracy_of(run, kind)
        found = _bounds(settings, weights, data.read(files.dataset), alphas, test_error)
    except InputError as error:
        raise InputError(f"{files.trained}: {error}") from error
    common = {"run": run["run"]} | tables.panel(run) | {"weights": kind}
    return [common | row for row in found]


def _bounds(
    settings: Settings,
    weights: dict[str, AnyArray],
    dataset: data.Dataset,
    alphas: list[float],
    test_error: float,
) -> list[Row]:
    chain = settings["fully_connected"]  # only these are evaluated
    device = placing.device(settings["device"], settings["threads"]) if chain else None
    rows = run_bounds.bounds_rows(
        weights,
        data.splits(dataset, device),
        alphas=alphas,
        fully_connected=chain,
        test_error=test_error,
        constants=run_bounds.Constants(**settings["bounds"]),
        device=device,
    )
    return list(rows)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
