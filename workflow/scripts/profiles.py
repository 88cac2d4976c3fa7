"""K1 profiles of one representative run per panel, beside three nulls."""

import json
from pathlib import Path
from typing import Any

from sgdtails.config import run_ids
from sgdtails.io import tables
from sgdtails.runtime import jobs
from sgdtails.tail_index import nulls
from sgdtails.tail_index.block_estimates import Settings


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    averages, initials = (_by_folder(smk.input[kind]) for kind in ("average", "initial"))
    files = {run: {"average": path, "initial": initials[run_ids.initial_id(run)]} for run, path in averages.items()}
    runs, readings = (tables.read(smk.input[name]) for name in ("runs", "readings"))
    rows = nulls.profile_rows(
        runs,
        readings,
        files,
        replicates=settings["replicates"],
        seed=settings["seed"],
        settings=Settings(**settings["tails"]),
        threads=smk.threads,
    )
    tables.write("profiles", rows, smk.output[0], provenance={"code": smk.params.code, "settings": settings})


def _by_folder(files: Any) -> dict[str, str]:
    return {Path(file).parent.name: file for file in files}


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
