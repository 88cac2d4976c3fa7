"""Train one network to the stop rule."""

import json
from typing import Any

from sgdtails import data, devices, jobs, parquet, run_schemas, storage


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    run, stop = settings["run"], settings["stop"]
    device = devices.select(settings["device"], settings["precision"], settings["threads"])
    from sgdtails import models, training
    from sgdtails.progress import Progress

    dataset = data.read(smk.input.dataset)
    train, test = data.splits(dataset, device)
    model = models.build(
        run["model"], dataset.shape, len(dataset.classes), {run["model"]: settings["model"]}, seed=run["seed"]
    )
    initial = training.arrays(model)
    outcome, history = training.train(
        model.to(device),
        train,
        test,
        **{key: run[key] for key in ("batch_size", "step_size", "seed")},
        stop=training.Stop(**stop),
        progress=Progress(stop["budget"]),
    )
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    state = {key: outcome[key] for key in ("status", "iterations")}
    storage.save_arrays(smk.output.initial, initial, provenance)
    storage.save_arrays(smk.output.final, training.arrays(model), provenance | state)
    parquet.write(
        run_schemas.SCHEMAS["history"],
        ({"run": run["run"]} | row for row in history),
        smk.output.history,
        provenance=provenance,
    )
    machine = {
        "eta_over_b": run["step_size"] / run["batch_size"],
        "device": devices.describe(device),
        "precision": settings["precision"],
    }
    parquet.write(run_schemas.SCHEMAS["training"], [run | outcome | machine], smk.output.row, provenance=provenance)


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
