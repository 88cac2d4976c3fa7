"""Draw one figure from its tables."""

import json
from pathlib import Path
from typing import Any

from sgdtails import jobs, plotting, tables
from sgdtails.network_index import Index


def main(smk: Any) -> None:
    found = {Path(file).stem: tables.read(file) for file in smk.input}
    settings = json.loads(smk.params.settings)
    if "index" in settings:
        settings["index"] = Index(**settings["index"])
    plotting.render(smk.wildcards.figure, found, list(smk.output), **settings)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
