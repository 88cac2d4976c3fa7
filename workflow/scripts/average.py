"""Go on from a converged network and average its iterates."""

import json
import time
from typing import Any

from sgdtails import data, devices, jobs, parquet, run_schemas, storage


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    run = settings["run"]
    provenance = {"run": run["run"], "code": smk.params.code, "settings": settings}
    final, record = storage.load_arrays(smk.input.final)
    arrays: dict[str, Any] = {}
    accuracy, status, seconds = None, "skipped", 0.0
    if record["status"] == "converged":
        arrays, accuracy, status, seconds = _average(
            settings, data.read(smk.input.dataset), final, start=record["iterations"]
        )
    storage.save_arrays(smk.output.average, arrays, provenance | {"status": status})
    row = {
        "run": run["run"],
        "status": status,
        "average_test_accuracy": accuracy,
        "seconds": seconds,
    }
    parquet.write(run_schemas.SCHEMAS["averaging"], [row], smk.output.row, provenance=provenance)


def _average(
    settings: dict[str, Any], dataset: data.Dataset, final: dict[str, Any], *, start: int
) -> tuple[dict[str, Any], float | None, str, float]:
    device = devices.select(settings["device"], settings["precision"], settings["threads"])
    from sgdtails import averaging, models, training
    from sgdtails.progress import Progress

    run, length = settings["run"], settings["average"]
    train, test = data.splits(dataset, device)
    model = models.build(run["model"], dataset.shape, len(dataset.classes), {run["model"]: settings["model"]}).to(
        device
    )
    training.load(model, final)
    batches = training.batches(train, run["batch_size"], seed=run["seed"], start=start)
    steps = Progress(sum(length.values())).track(training.sgd(model, batches, run["step_size"]))
    begin = time.perf_counter()
    averaging.ergodic_average(model, steps, **length)
    seconds = time.perf_counter() - begin
    if not training.finite(model):
        return {}, None, "diverged", seconds
    return training.arrays(model), training.evaluate(model, test)[1], "averaged", seconds


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
