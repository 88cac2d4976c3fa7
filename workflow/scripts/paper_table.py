"""Write Table 1 (parameters) or Table 2 (ranges of eta/b), as Parquet and Markdown."""

import json
from pathlib import Path
from typing import Any

from sgdtails.figures import paper_tables
from sgdtails.io import storage, tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    """Read what Snakemake gives, and write the table twice."""
    name, runs = smk.wildcards.table, tables.read(smk.input.runs)
    initial = {Path(path).parent.name: path for path in smk.input.initial}
    rows = list(paper_tables.parameters(runs, initial) if name == "table1" else paper_tables.ranges(runs))
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    tables.write(name, rows, smk.output.table, provenance=provenance)
    with storage.atomic(smk.output.text) as temporary:
        temporary.write_text(paper_tables.markdown(rows, paper_tables.CELLS[name]), encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
