"""Read simulated layers of known laws: table confusion."""

import json
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import calibration


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("confusion", calibration.confusion(**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
