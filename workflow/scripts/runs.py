"""Join each run's training and averaging into the table of runs."""

import json
from typing import Any

from sgdtails import jobs, tables


def main(smk: Any) -> None:
    rows = tables.joined_runs(smk.input.training, smk.input.averaging)
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    tables.write("runs", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
