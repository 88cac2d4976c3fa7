"""Draw one figure from its tables."""

import json
from pathlib import Path
from typing import Any

from sgdtails.figures import registry
from sgdtails.io import tables
from sgdtails.labels import Labels
from sgdtails.runtime import jobs
from sgdtails.tail_index.network_index import Index


def main(smk: Any) -> None:
    """Read what Snakemake gives, and save the figure."""
    found = {Path(file).stem: tables.read(file) for file in smk.input}
    settings = json.loads(smk.params.settings)
    if "index" in settings:
        settings["index"] = Index(**settings["index"])
    if "labels" in settings:
        settings["labels"] = Labels(**settings["labels"])
    registry.save(smk.wildcards.figure, found, list(smk.output), **settings)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
