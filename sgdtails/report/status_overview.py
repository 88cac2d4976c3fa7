"""Where each run of a study is, by the study's files alone."""

import fcntl
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgdtails.config import resources, study_size
from sgdtails.config.study import Study
from sgdtails.config.types import Config, Run
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from sgdtails.runtime import jobs, progress
from sgdtails.runtime.progress import Heartbeat

STAGES = {"train": "training", "average": "averaging"}  # and the name of the file that it ends with
FRESH = 300.0  # seconds since its last heartbeat in which a run whose lock cannot be seen is taken to be under way
Row = dict[str, Any]
Kind = tuple[str | int, ...]  # model, dataset, variant, and perhaps batch size


@dataclass(frozen=True)
class Job:
    """A run that a process works on, with its last heartbeat; ``held`` says that its lock is seen."""

    run: str
    stage: str
    beat: Heartbeat | None  # None before the first
    held: bool


@dataclass
class Overview:
    """How far each run is.

    Parameters
    ----------
    study
        The study's name.
    disk
        One sentence about the room that its weights take.
    runs
        The run table.
    ended
        For each stage, what is known of the runs that have finished it.
    jobs
        Runs that a process works on.
    paused
        The iterations in the last checkpoint of runs that no process works on.
    stopped
        The sentence that the last job of such a run has ended with.
    similar
        By stage and run, mean seconds and iterations of such runs in other studies, as ``similar_runs.times`` finds them.
    to_do
        For each stage, the runs that are still to go through it.
    """

    study: str
    disk: str
    runs: Mapping[str, Run]
    ended: dict[str, dict[str, Row]]
    jobs: list[Job] = field(default_factory=list)
    paused: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    similar: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    to_do: dict[str, list[str]] = field(default_factory=dict)


def overview(
    config: Config,
    results: Path = Path("results"),
    *,
    now: float | None = None,
    planned: Mapping[str, Collection[str]] | None = None,
) -> Overview:
    """Read from a study's files how far each run is.

    Parameters
    ----------
    config
        The study's whole config, as ``read_config`` gives it.
    results
        The folder that holds studies.
    now
        Seconds since the epoch; the present by default.
    planned
        For each stage, the runs that a start will take through it, some of them perhaps again; by default those that have not
        ended.

    Returns
    -------
    Overview
        The state at this moment.

    Raises
    ------
    InputError
        The run table cannot be used.
    OSError
        A folder of the study may not be looked into.
    """
    runs = Study.read(config, resources.base()).runs
    folder, moment = results / config["study"], time.time() if now is None else now
    rows = {s: {run: _ended(folder / "runs" / run / f"{file}.parquet") for run in runs} for s, file in STAGES.items()}
    ended = {stage: {run: row for run, row in found.items() if row} for stage, found in rows.items()}
    found = Overview(config["study"], str(study_size.measure(config, runs, folder)), runs, ended)
    for stage in STAGES:
        asked = runs.keys() - ended[stage].keys() if planned is None else planned.get(stage, ())
        found.to_do[stage] = [run for run in runs if run in asked]
        for run in runs:
            if run not in found.ended[stage]:
                _unfinished(found, folder, stage, run, moment)
    return found


def _ended(path: Path) -> Row:
    """Read the row of a run's stage; empty if the file is missing or damaged: then the stage is done again."""
    with suppress(InputError, OSError, IndexError):
        if path.exists():
            return dict(parquet.read(path).to_pylist()[0])
    return {}


def _unfinished(found: Overview, study: Path, stage: str, run: str, now: float) -> None:
    """Note that a process works on a run's stage, or what a process that did has left."""
    folder, logs = study / "checkpoints" / stage, study / "logs" / stage
    record = _checkpoint(folder / run)
    if outcome := record.get("outcome"):  # its job writes the results of all its runs at its end
        found.ended[stage][run] = {"seconds": record["seconds"], **outcome}
        found.to_do[stage] = [other for other in found.to_do[stage] if other != run]
        return
    held, beat = _held(folder / f"{run}.lock"), progress.read(logs, run)
    if held or (held is False and beat and now - beat.updated < FRESH):
        found.jobs.append(Job(run, stage, beat, bool(held)))
        return
    if sentence := _last_sentence(logs, [f"{run}.log", *([beat.log] if beat else [])]):
        found.stopped[run] = sentence
    if record:
        found.paused[run] = int(record["iteration"] if stage == "train" else record["taken"])


def _last_sentence(logs: Path, names: Iterable[str]) -> str:
    """Read the sentence at the end of the newest of these logs, if its job failed or was asked to end."""
    with suppress(OSError):
        there = [path for name in names if (path := logs / name).is_file()]
        if there:
            newest = max(there, key=lambda path: path.stat().st_mtime)
            *_, last = ["", *newest.read_text(encoding="utf-8", errors="replace").splitlines()]
            return last.removeprefix(jobs.SPEAKER) if last.startswith(jobs.SPEAKER) else ""
    return ""


def _held(lock: Path) -> bool | None:
    """Tell if a process holds a lock; None without a lock. Some shared file systems hide the locks of other machines."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a job that starts now waits until it is given back
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return False
            return False
    except OSError:
        return None


def _checkpoint(folder: Path) -> Row:
    """Read the record of a run's newest checkpoint, without its arrays; empty if there is none that can be read."""
    with suppress(OSError):  # the job may remove them now
        files = sorted(folder.glob("*/*.safetensors"), key=lambda path: path.stat().st_mtime)
        for path in reversed([path for path in files if path.stem.isdecimal()]):
            with suppress(InputError):
                return storage.read_record(path)
    return {}


def time_left(found: Overview) -> tuple[float, int]:
    """Estimate how long training and averaging will still take.

    A stage is expected to take as long as finished ones of the same panel and batch size, or else of the same panel, or else
    of other studies (``found.similar``). For a run under way, the share of iterations that it has done is subtracted.

    Parameters
    ----------
    found
        What ``overview`` found.

    Returns
    -------
    seconds
        With as many jobs at once as there are now.
    unknown
        The number of stages that are not counted, because no stage of their kind has ended.
    """
    at_work = {(job.run, job.stage): job.beat for job in found.jobs}
    seconds, unknown = 0.0, 0
    for stage, runs in found.to_do.items():
        means = _means(found, stage)
        for run in runs:
            row = found.runs[run]
            mean = _mean_of(row, means) or found.similar.get(stage, {}).get(run)
            beat = at_work.get((run, stage))
            if mean:
                total = mean[1] or (beat.total if beat else 0.0)
                done = (beat.iteration if beat else found.paused.get(run, 0)) / total if total else 0.0
                seconds += mean[0] * max(0.0, 1.0 - done)
            elif beat:
                seconds += beat.left.total_seconds()
            else:
                unknown += 1
    return seconds / max(1, at_once(found)), unknown


def is_new(found: Overview) -> bool:
    """Tell if a run is still to go through a stage that no run of its panel has ended."""
    means = {stage: _means(found, stage) for stage in found.to_do}
    return any(not _mean_of(found.runs[run], means[stage]) for stage, runs in found.to_do.items() for run in runs)


def at_once(found: Overview) -> int:
    """Count the jobs at work: runs that share a job share its log. Runs without a heartbeat count as one job at most."""
    return len({job.beat.log for job in found.jobs if job.beat}) or int(bool(found.jobs))


def _mean_of(row: Run, means: Mapping[Kind, tuple[float, float]]) -> tuple[float, float] | None:
    """Give the mean seconds and iterations of runs of the same panel and batch size, or else of the same panel."""
    return means.get(_kind(row)) or means.get(_kind(row)[:3])


def _kind(row: Run) -> Kind:
    return row["model"], row["dataset"], row["variant"], row["batch_size"]


def _means(found: Overview, stage: str) -> dict[Kind, tuple[float, float]]:
    """Mean seconds and iterations of finished stages, by kind of run; rows of averages have no iterations: 0."""
    groups: dict[Kind, list[tuple[float, float]]] = {}
    for run, row in found.ended[stage].items():
        for key in (_kind(found.runs[run]), _kind(found.runs[run])[:3]):
            groups.setdefault(key, []).append((row["seconds"], row.get("iterations", 0)))
    return {
        key: (sum(s for s, _ in values) / len(values), sum(i for _, i in values) / len(values))
        for key, values in groups.items()
    }
