"""Make one page of a study, finished or not."""

import json
from pathlib import Path
from typing import Any

from sgdtails.io import storage, tables
from sgdtails.report import page
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    """Read what Snakemake gives, and write the page."""
    config = json.loads(smk.params.settings)
    templates = Path(smk.input.templates[0]).parent
    html = page.page(
        config["study"],
        tables={Path(path).stem: tables.read(path) for path in smk.input.tables},
        training=[row for path in smk.input.training for row in tables.read(path).to_pylist()],
        averaging=[row for path in smk.input.averaging for row in tables.read(path).to_pylist()],
        drawn=page.pictures(smk.input.figures, page.captions(templates / "captions.yaml")),
        config=config,
        templates=templates,
        missing=page.Missing(**json.loads(smk.params.missing)) if smk.params.missing else None,
    )
    with storage.atomic(smk.output[0]) as temporary:
        temporary.write_text(html, encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
