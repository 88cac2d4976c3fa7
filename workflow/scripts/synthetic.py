"""Sample from stable laws: the tables of figures 8 and 12."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.theory import synthetic

ROWS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "synthetic": synthetic.matrices,
    "magnitudes": synthetic.magnitudes,
}


def main(smk: Any) -> None:
    settings, name = json.loads(smk.params.settings), smk.wildcards.table
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write(name, ROWS[name](**settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
