"""Evaluate the paper's generalisation bounds for runs that converged."""

import json
import math
from typing import Any

from sgdtails import batches, data, jobs, layers, network_index, run_bounds, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        tables.write("bounds", _rows(settings, network.input), network.output.bounds, provenance=provenance)
    batches.finish(smk, "bounds")


def _rows(settings: dict[str, Any], files: Any) -> list[dict[str, Any]]:
    kind = settings["weights"]
    (run,) = tables.joined_runs([files.training], [files.averaging])
    if run["status"] != "converged":
        return []
    weights, _ = layers.read(files.trained)
    # Corollary 1 speaks of independent entries, so its index is that of the entries.
    of_entries = network_index.aggregates(tables.read(files.tails), "mmo_univariate", kind).get(run["run"], [])
    alpha = {row["layer_name"]: row["alpha"] for row in of_entries if row["alpha"] is not None}
    try:
        found = list(
            run_bounds.rows(
                weights,
                data.splits(data.read(files.dataset), None),
                alphas=[alpha.get(name, math.inf) for name in weights],  # inf: no estimate
                fully_connected=settings["fully_connected"],
                test_error=1 - tables.accuracy_of(run, kind),
                **settings["bounds"],
            )
        )
    except InputError as error:
        raise InputError(f"{files.trained}: {error}") from error
    common = {"run": run["run"]} | tables.panel(run) | {"weights": kind}
    return [common | row for row in found]


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
