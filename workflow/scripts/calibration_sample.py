"""Estimate simulated stable layers of one structure and shape: part of table calibration."""

import json
from typing import Any

from sgdtails import calibration, jobs, tables


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("calibration", calibration.rows(**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
