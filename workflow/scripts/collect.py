"""Put the parts of one table below each other."""

from pathlib import Path
from typing import Any

from sgdtails import jobs, tables


def main(smk: Any) -> None:
    tables.concatenate(Path(smk.output[0]).stem, smk.input, smk.output[0], provenance={"code": smk.params.code})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
