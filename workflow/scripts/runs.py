"""Join each run's training, averaging and tail indices into the table of runs."""

import json
from typing import Any

from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    rows = tables.joined_runs(smk.input.training, smk.input.averaging)
    index, shapes, sizes = Index(**settings["index"]), settings["shapes"], settings["train_sizes"]
    found = network_index.with_index(rows, smk.input.tails, index, shapes, sizes)
    tables.write("runs", found, smk.output[0], provenance={"code": smk.params.code, "settings": settings})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
