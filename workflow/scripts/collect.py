"""Put the parts of one table below each other, those of each run's initial network before its own."""

import json
from pathlib import Path
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    initial = tables.by_initial(smk.input.get("initial", ()))
    tables.concatenate(Path(smk.output[0]).stem, smk.input.parts, smk.output[0], initial=initial, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
