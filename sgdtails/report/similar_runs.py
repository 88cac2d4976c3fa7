"""How long runs of other studies took that train the same network in the same way: what is known of a study before its first run."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sgdtails.config.study import Study
from sgdtails.config.types import Config, Run, Settings
from sgdtails.errors import InputError
from sgdtails.io import parquet
from sgdtails.report.status_overview import Overview, is_new

_FILES = {"train": "training", "average": "averaging"}
_HOW = ("batch_size", "dataset", "variant")
_ENDS = ("train_nll", "train_accuracy", "gate", "budget")  # when a run ends, if it does not diverge


def times(config: Config, runs: Mapping[str, Run], results: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Find the mean times of training and averaging such networks, of all step sizes and seeds, in the studies that are there.

    Parameters
    ----------
    config
        The study's whole config.
    runs
        Its runs, by id.
    results
        The folder that holds studies.

    Returns
    -------
    dict
        By stage and run, seconds and iterations (0 of averages); runs of which nothing is known are left out.

    Examples
    --------
    >>> times({}, {}, Path("docs"))
    {'train': {}, 'average': {}}
    """
    study, found = Study(config, runs), {}
    for stage, file in _FILES.items():
        rows: dict[str, list[tuple[float, float]]] = {}
        for path in sorted(results.glob(f"*/runs/*/{file}.parquet")):
            with suppress(InputError, OSError, LookupError, TypeError):  # a damaged file, or one of an earlier version
                table = parquet.read(path)
                row = table.to_pylist()[0]
                key = _key(parquet.record(table.schema)["settings"])
                rows.setdefault(key, []).append((row["seconds"], row.get("iterations", 0)))
        keys = {run: _key(study.steps(row, stage)) for run, row in runs.items()}
        found[stage] = {run: _mean(rows[key]) for run, key in keys.items() if key in rows}
    return found


def complete(found: Overview, config: Config, results: Path) -> None:
    """Fill in ``similar``, if a stage of a kind of run is still to be gone through that no such run of the study has ended.

    Parameters
    ----------
    found
        What ``overview`` found.
    config
        The study's whole config.
    results
        The folder that holds studies.
    """
    if is_new(found):
        found.similar = times(config, found.runs, results)


def _key(settings: Settings) -> str:
    """Write down what the time of a run depends on: its model, without its name, and how long it trains."""
    how = {key: settings["run"][key] for key in _HOW}
    ends = {key: settings["stop"][key] for key in _ENDS}
    rest = {key: settings.get(key) for key in ("model", "average", "device", "precision", "threads")}
    return json.dumps([how, ends, rest], sort_keys=True)


def _mean(rows: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(seconds for seconds, _ in rows) / len(rows), sum(count for _, count in rows) / len(rows)
