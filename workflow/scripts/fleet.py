"""Train, or average, several runs equal but for step size and seed side by side; each run's own job then writes its files."""

import json
from pathlib import Path
from typing import Any

from sgdtails import average_stage, jobs, stages, train_stage


def main(smk: Any) -> None:
    settings, dataset, limits = json.loads(smk.params.settings), smk.input.dataset, stages.limits(smk.config)
    if smk.params.stage == "average":
        trained = dict(zip(settings, smk.input.converged, strict=True))  # both in the order of the runs' names
        settings = {run: settings[run] for run in trained if average_stage.converged(trained[run])}
        store = stages.store("average", settings, smk.params, dict.fromkeys(settings, dataset), trained)
        with stages.locked(store):
            average_stage.average(settings, store, dataset, trained, **limits)
    else:
        store = stages.store("train", settings, smk.params, dict.fromkeys(settings, dataset))
        with stages.locked(store):
            train_stage.train(settings, store, dataset, **limits)
    for path in smk.output:
        Path(path).touch()


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
