"""Put the pruning of all runs below each other, with each run's status."""

import json
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    initial = tables.by_initial(smk.input.get("initial", ()))
    rows = tables.with_status(smk.input.parts, tables.read(smk.input.runs), initial=initial)
    tables.write("pruning", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
