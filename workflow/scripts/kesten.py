"""Simulate SGD whose tail index is known, and estimate it: the table of figure kesten."""

import json
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.theory import kesten


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("kesten", kesten.table(**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
