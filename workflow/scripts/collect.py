"""Put one table of every run below the other."""

from typing import Any

from sgdtails import jobs, tables


def main(smk: Any) -> None:
    tables.concatenate(smk.wildcards.table, smk.input, smk.output[0], provenance={"code": smk.params.code})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
