"""Put the parts of one table below each other."""

import json
from pathlib import Path
from typing import Any

from sgdtails import jobs, tables


def main(smk: Any) -> None:
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    tables.concatenate(Path(smk.output[0]).stem, smk.input, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
