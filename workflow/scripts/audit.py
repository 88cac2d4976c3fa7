"""Audit one checkpoint: tables of its layers, and a page of Markdown. Needs no dataset, and trains nothing."""

import json
from typing import Any

from sgdtails.audit import audit_accuracy, audit_inputs, audit_report
from sgdtails.audit import layer_audit as audit
from sgdtails.io import storage, tables
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    name, source, evaluate = smk.wildcards.audit, settings["source"], settings["evaluate"]
    state = audit_inputs.read(source, weights=settings["weights"], seed=settings["seed"], part=settings["part"])
    arguments = {key: settings[key] for key in ("seed", "entries", "nulls", "epsilon", "exclude")}
    rows = audit.audit(state, where=source, **arguments)
    rows["audit_accuracy"] = []
    if evaluate:
        rows["audit_accuracy"] = list(audit_accuracy.rows(state, evaluate, settings["ratios"], settings["exclude"]))
    provenance = {"code": smk.params.code, "settings": settings}
    for table, found in rows.items():
        file = smk.output[table.removeprefix("audit_")]
        tables.write(table, [{"checkpoint": name} | row for row in found], file, provenance=provenance)
    with storage.atomic(smk.output.text) as temporary:
        text = audit_report.markdown(
            name, source, rows, arrays=len(state), read_as=state.read_as, epsilon=settings["epsilon"]
        )
        temporary.write_text(text, encoding="utf-8")


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
