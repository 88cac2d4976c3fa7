"""Test the claims on the tables of the study: as Parquet, and as Markdown."""

import json
from typing import Any

from sgdtails.claims import claims_file, claims_report
from sgdtails.claims import decisions as claims
from sgdtails.claims.claim_evidence import Settings
from sgdtails.claims.claim_quantities import Study
from sgdtails.io import storage, tables
from sgdtails.runtime import jobs
from sgdtails.tail_index.network_index import Index

TABLES = ("runs", "tails", "compression", "pruning", "synthetic", "histograms")


def main(smk: Any) -> None:
    values = json.loads(smk.params.settings)
    values.pop("path")  # the file is an input
    computed, weights = values.pop("computed"), values.pop("weights")
    index = Index(**values.pop("index"))
    settings = Settings(**values)
    study = Study(**{name: tables.read(smk.input[name]) for name in TABLES}, index=index, weights=weights)
    rows = list(claims.rows(claims_file.read(smk.input.claims, computed), study, settings))
    provenance = {"code": smk.params.code, "settings": json.loads(smk.params.settings)}
    tables.write("claims", rows, smk.output.table, provenance=provenance)
    with storage.atomic(smk.output.text) as temporary:
        temporary.write_text(claims_report.markdown(rows, level=settings.level), encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
