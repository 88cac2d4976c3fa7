"""Draw one figure from its tables."""

import json
from pathlib import Path
from typing import Any

from sgdtails import jobs, plotting, tables


def main(smk: Any) -> None:
    read = {Path(file).stem: tables.read(file) for file in smk.input}
    plotting.render(smk.wildcards.figure, read, list(smk.output), **json.loads(smk.params.settings))


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
