"""Take paired differences between runs, as config key ``compare`` says: table ``comparisons``, in words too, and ``compared`` with its points."""

import json
from typing import Any

from sgdtails.claims import comparisons, markdown
from sgdtails.claims.evidence import Settings
from sgdtails.claims.study import Study
from sgdtails.io import storage, tables
from sgdtails.runtime import jobs
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.tail_index.network_index import Index

OPTIONAL = ("tails", "compression", "pruning", "synthetic", "histograms", "dependence", "errors")  # read if compared


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    provenance = {"code": smk.params.code, "settings": settings}
    given = {name: tables.read(path) for name, path in smk.input.items()}
    empty = {name: SCHEMAS[name].empty_table() for name in OPTIONAL}
    study = Study(**(empty | given), index=Index(**settings["index"]), weights=settings["weights"])
    points = list(comparisons.points(settings["compare"], study))
    found = list(comparisons.differences(settings["compare"], study, points, Settings(**settings["claims"])))
    tables.write("compared", points, smk.output.compared, provenance=provenance)
    tables.write("comparisons", found, smk.output.comparisons, provenance=provenance)
    with storage.atomic(smk.output.text) as temporary:
        temporary.write_text(markdown.text_of_comparisons(found), encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
