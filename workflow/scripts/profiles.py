"""K1 profiles of one representative run per panel, beside three nulls."""

import json
from pathlib import Path
from typing import Any

from sgdtails import jobs, nulls, tables


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    files: dict[str, dict[str, str]] = {}
    for kind in ("average", "initial"):
        for file in smk.input[kind]:
            files.setdefault(Path(file).parent.name, {})[kind] = file
    runs, tails, readings = (tables.read(smk.input[name]) for name in ("runs", "tails", "readings"))
    provenance = {"code": smk.params.code, "settings": settings}
    tables.write("profiles", nulls.rows(runs, tails, readings, files, **settings), smk.output[0], provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
