"""Prepare one dataset: load its images, and store them as the workflow uses them."""

import json
from pathlib import Path
from typing import Any

from sgdtails.data import contents, loaders
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.runtime import jobs


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    name, source = settings["name"], settings["source"]
    where = smk.config["datasets"]  # not a parameter: moving the same files elsewhere must rerun nothing
    dataset = loaders.load(name, source, root=where["root"], download=where["download"])
    now = contents.current(name, source, root=where["root"], prepared=Path(smk.output[0]), code=smk.params.code)
    if now.digest != settings["contents"]:
        raise InputError(f"dataset {name!r}: its files have changed since this job was planned; run again.")
    data.write(dataset, smk.output[0], made_by={"code": smk.params.code, "settings": settings})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
