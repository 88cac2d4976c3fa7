"""Evaluate the paper's generalisation bounds for one run, if it converged."""

import json
import math
from typing import Any

from sgdtails import data, jobs, layers, run_bounds, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    kind = settings["weights"]
    (run,) = tables.joined_runs([smk.input.training], [smk.input.averaging])
    common = {"run": run["run"]} | tables.panel(run) | {"weights": kind}
    rows = []
    if run["status"] == "converged":
        weights, _ = layers.read(smk.input.trained)
        published = tables.published(tables.read(smk.input.tails), kind).to_pylist()
        alpha = {row["layer_name"]: row["alpha"] for row in published}
        try:
            rows = list(
                run_bounds.rows(
                    weights,
                    data.splits(data.read(smk.input.dataset), None),
                    alphas=[alpha.get(name, math.inf) for name in weights],  # inf: no estimate
                    fully_connected=settings["fully_connected"],
                    test_error=1 - run["average_test_accuracy" if kind == "average" else "test_accuracy"],
                    **settings["bounds"],
                )
            )
        except InputError as error:
            raise InputError(f"{smk.input.trained}: {error}") from error
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    tables.write("bounds", [common | row for row in rows], smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
