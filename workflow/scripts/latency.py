"""Time one fully connected network per panel, without the columns that node pruning removes."""

import json
from pathlib import Path
from typing import Any

from sgdtails import layers
from sgdtails.data import datasets as data
from sgdtails.io import tables
from sgdtails.pruning import latency
from sgdtails.runtime import devices, jobs
from sgdtails.tail_index import histograms


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    device = None  # numpy
    if settings["device"] != "cpu":
        device = devices.select(settings["device"], settings["precision"], settings["threads"])
    weights = {Path(path).parent.name: path for path in smk.input.weights}
    datasets = {Path(path).stem: path for path in smk.input.datasets}
    rows = []
    for run in histograms.representatives(tables.read(smk.input.runs)):
        if run["run"] in weights:
            network, _ = layers.read(weights[run["run"]])
            _, test = data.splits(data.read(datasets[run["dataset"]]), device)
            found = latency.latency_rows(
                layers.placed(network, device),
                test,
                ratios=settings["ratios"],
                p=settings["p"],
                centring=settings["centring"],
            )
            common = {"run": run["run"]} | tables.panel(run) | {"weights": settings["weights"]}
            rows += [common | row for row in found]
    tables.write("latency", rows, smk.output[0], provenance={"code": smk.params.code, "settings": settings})


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
