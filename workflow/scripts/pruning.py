"""Put the pruning of all runs below each other, with each run's status."""

from typing import Any

from sgdtails import jobs, tables


def main(smk: Any) -> None:
    rows = tables.with_status(smk.input.parts, tables.read(smk.input.runs))
    tables.write("pruning", rows, smk.output[0], provenance={"code": smk.params.code})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
