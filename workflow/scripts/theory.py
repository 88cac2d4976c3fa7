"""Evaluate the factor of Theorem 7: the table of figure 11."""

import json
from typing import Any

from sgdtails import bounds, jobs, tables


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("theory", bounds.grid(**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
