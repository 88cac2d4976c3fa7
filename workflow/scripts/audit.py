"""Audit one checkpoint: tables of its layers, a page and a plan. Needs no dataset, and trains nothing."""

import json
from typing import Any

from sgdtails.audit import accuracy, audit_inputs, checkpoints, layers
from sgdtails.audit.result import Audit
from sgdtails.io import tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    name, source, evaluate = smk.wildcards.audit, settings["source"], settings["evaluate"]
    state = audit_inputs.read(source, weights=settings["weights"], seed=settings["seed"], part=settings["part"])
    arguments = {key: settings[key] for key in ("seed", "entries", "nulls", "epsilon", "exclude")}
    rows = layers.audit(state, where=source, threads=getattr(smk, "threads", 1), **arguments)
    rows["audit_accuracy"] = []
    if evaluate:
        rows["audit_accuracy"] = list(accuracy.rows(state, evaluate, settings["ratios"], settings["exclude"]))
    provenance = {"code": smk.params.code, "settings": settings}
    for table, found in rows.items():
        file = smk.output[table.removeprefix("audit_")]
        tables.write(table, [{"checkpoint": name} | row for row in found], file, provenance=provenance)
    page = Audit(name, source, rows, len(state), state.read_as, checkpoints.title(source, settings["weights"]))
    page.write(text=smk.output.text, html=smk.output.html, plan=smk.output.plan)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
