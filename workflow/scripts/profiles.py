"""K1 profiles of one representative run per panel, beside three nulls."""

import json
from pathlib import Path
from typing import Any

from sgdtails import jobs, nulls, tables
from sgdtails.block_estimates import Settings


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    files: dict[str, dict[str, str]] = {}
    for kind in ("average", "initial"):
        for file in smk.input[kind]:
            files.setdefault(Path(file).parent.name, {})[kind] = file
    runs, readings = (tables.read(smk.input[name]) for name in ("runs", "readings"))
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    how = Settings(**settings.pop("tails"))
    rows = nulls.rows(runs, readings, files, **settings, settings=how)
    tables.write("profiles", rows, smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
