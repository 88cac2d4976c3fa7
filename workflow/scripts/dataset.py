"""Bring one dataset into the workflow's form."""

import json
from typing import Any

from sgdtails import data, jobs, sources


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    where = smk.config["datasets"]  # not a parameter: moving the same files elsewhere must rerun nothing
    dataset = sources.load(settings["name"], settings["source"], root=where["root"], download=where["download"])
    data.write(dataset, smk.output[0], made_by={"code": smk.params.code, "settings": settings})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
