"""Histograms of one layer per panel."""

import json
from pathlib import Path
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import histograms


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    averages = {Path(file).parent.name: file for file in smk.input.averages}
    rows = histograms.histogram_rows(
        tables.read(smk.input.runs),
        tables.read(smk.input.tails),
        averages,
        bins=settings["bins"],
        seed=settings["seed"],
        chosen=settings["runs"],
        layer=settings["layer"],
    )
    tables.write("histograms", rows, smk.output[0], provenance={"code": smk.params.code, "settings": settings})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
