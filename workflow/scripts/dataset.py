"""Bring one dataset into the workflow's form."""

import json
from typing import Any

from sgdtails import data, jobs


def main(smk: Any) -> None:
    settings, where = json.loads(smk.params.settings), json.loads(smk.params.where)
    data.write(data.load(settings["name"], settings["source"], **where), smk.output[0])


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
