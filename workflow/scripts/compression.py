"""How few entries, columns and singular values carry each layer of one run, initial and trained."""

import json
from typing import Any

from sgdtails import compression, jobs, layers, tables
from sgdtails.errors import InputError


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    how = {key: value for key, value in settings.items() if key != "weights"}
    trained = settings["weights"]
    rows = []
    for kind, path in (("initial", smk.input.initial), (trained, smk.input.trained)):
        weights, record = layers.read(path)
        # A diverged run has a row in table runs, none here; nor has a start of equal weights.
        if layers.finite(weights) and not (kind == "initial" and layers.constant(weights)):
            try:
                found = list(compression.per_layer(weights, **how))
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            rows += [{"run": record["run"], "weights": kind} | row for row in found]
    provenance = {"run": smk.wildcards.run, "code": smk.params.code, "settings": settings}
    tables.write("compression", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
