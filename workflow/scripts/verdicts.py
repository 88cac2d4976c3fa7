"""Simulate studies whose truth is known, and count what the rule says of them."""

import json
from itertools import chain
from typing import Any

from sgdtails.claims import simulated_studies, verdicts
from sgdtails.io import tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    rows = chain(verdicts.simulate(**settings), simulated_studies.simulate(**settings))
    tables.write("verdicts", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
