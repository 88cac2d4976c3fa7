"""Test the claims on the tables of the study: as Parquet, and as Markdown."""

import json
from typing import Any

from sgdtails.claims import decisions, definitions, markdown
from sgdtails.claims.evidence import Settings
from sgdtails.claims.study import Study
from sgdtails.config.claimed_tables import IF_NAMED
from sgdtails.io import storage, tables
from sgdtails.runtime import jobs
from sgdtails.tail_index.network_index import Index

TABLES = ("runs", "tails", "compression", "pruning", "synthetic", "histograms")


def main(smk: Any) -> None:
    values = json.loads(smk.params.settings)
    values.pop("path")  # the files are inputs
    computed, weights = values.pop("computed"), values.pop("weights")
    index = Index(**values.pop("index"))
    settings = Settings(**values)
    given = {name: tables.read(path) for name, path in smk.input.items() if name in (*TABLES, *IF_NAMED)}
    study = Study(**given, index=index, weights=weights)
    rows = list(decisions.claim_rows(definitions.read(smk.input.claims, computed), study, settings))
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    tables.write("claims", rows, smk.output.table, provenance=provenance)
    with storage.atomic(smk.output.text) as temporary:
        temporary.write_text(markdown.text_of(rows, level=settings.level), encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
