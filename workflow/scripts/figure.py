"""Draw one figure from its tables."""

from pathlib import Path
from typing import Any

from sgdtails import jobs, plotting, tables


def main(smk: Any) -> None:
    plotting.render(smk.wildcards.figure, {Path(file).stem: tables.read(file) for file in smk.input}, list(smk.output))


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
