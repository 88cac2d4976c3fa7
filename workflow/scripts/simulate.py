"""Make a table of simulations, by the functions that a rule names, or copy the one that another study has made.

The script imports none of them: each table depends on the modules of its own functions only, which stand in the rule's ``code``.
"""

import importlib
import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from sgdtails.arrays import Row
from sgdtails.config.types import Settings
from sgdtails.io import shared, tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    common = shared.place(smk.output[0], smk.params)
    if shared.fetch(common, smk.output[0]):
        return
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    rows = chain.from_iterable(_rows(path, settings) for path in smk.params.functions)
    tables.write(smk.params.table, rows, smk.output[0], provenance=provenance)
    shared.keep(smk.output[0], common)


def _rows(path: str, settings: Settings) -> Iterator[Row]:
    module, _, name = path.rpartition(".")
    yield from getattr(importlib.import_module(module), name)(**settings)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
