"""Simulate studies whose truth is known, and count what the rule says of them."""

import json
from typing import Any

from sgdtails import jobs, tables, verdicts


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("verdicts", verdicts.simulate(**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
