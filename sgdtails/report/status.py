"""How far a study is, by its files alone: what ``make status`` prints, beside a running workflow or from another machine."""

import argparse
import fcntl
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sgdtails.config import planning, resources, run_table, study_size, validation
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from sgdtails.report import status_log
from sgdtails.report.status_log import Line, Log

BASE = resources.base()
STAGES = {"train": "training", "average": "averaging"}  # and the name of the file that it ends with
FRESH = 300.0  # seconds since its log's last line in which a job whose lock cannot be seen is taken to run
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A run that a process works on. ``line`` is its last progress, None before the first; ``age`` of its log in seconds."""

    run: str
    stage: str
    log: Path | None  # of its job, or of one that works on several runs; None before that says anything of this run
    line: Line | None
    age: float
    seen: bool  # its lock


@dataclass
class Overview:
    """Rows of finished stages by run, jobs at work, the last iterations of paused runs, and what stopped jobs have said."""

    study: str
    disk: str  # one sentence
    runs: Mapping[str, run_table.Run]
    ended: dict[str, dict[str, dict[str, Any]]]
    jobs: list[Job] = field(default_factory=list)
    paused: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)


def read_config(path: Path | None) -> dict[str, Any]:
    """``config/config.yaml`` with the keys of another file in place of its own, as Snakemake joins them. InputError."""
    config = validation.read_yaml(BASE / "config/config.yaml", "config")
    defaults = config["models"]
    if path is not None:
        over = validation.read_yaml(path, "--configfile") or {}
        if not isinstance(over, dict):
            raise InputError(
                f"--configfile: {path} holds a {type(over).__name__}; give a file of keys, such as study: mine."
            )
        config = _updated(config, over)
    config["models"] = planning.whole_models(config["models"], defaults)
    run_table.validate(config, validation.read_yaml(BASE / "config/config.schema.yaml", "schema"))
    return config


def _updated(config: Config, over: Config) -> dict[str, Any]:
    """As ``snakemake.utils.update_config`` does: status must work where Snakemake is not installed, such as in the image."""
    both = dict(config)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _updated(both[key], value) if nested else value
    return both


def overview(config: Config, results: Path = Path("results"), *, now: float | None = None) -> Overview:
    """Where each run of the study is, as its files below ``results`` say at this moment."""
    runs = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=BASE
    )
    study, moment = results / config["study"], time.time() if now is None else now
    ended = {
        stage: dict(_ended(study / "runs" / run / f"{file}.parquet", run) for run in runs)
        for stage, file in STAGES.items()
    }
    found = Overview(
        config["study"],
        str(study_size.measure(config, runs, study)),
        runs,
        {stage: {r: v for r, v in rows.items() if v} for stage, rows in ended.items()},
    )
    for stage in STAGES:
        logs = status_log.recent(study / "logs" / stage, moment, passed=found.ended[stage])
        for run in runs:
            if run not in found.ended[stage]:
                _unfinished(found, study, stage, run, logs.get(run), moment)
    return found


def _ended(path: Path, run: str) -> tuple[str, dict[str, Any]]:
    """The row of a run's stage; empty where there is none, or none that can be read: it will be made again."""
    try:
        return run, parquet.read(path).to_pylist()[0] if path.exists() else {}
    except (InputError, OSError, IndexError):
        return run, {}


def _unfinished(found: Overview, study: Path, stage: str, run: str, log: Log | None, now: float) -> None:
    """Note whether a process works on a run's stage, or what is left of one that did."""
    folder = study / "checkpoints" / stage
    held = _held(folder / f"{run}.lock")
    age = now - log.changed if log else float("inf")
    record = _checkpoint(folder / run)
    if outcome := record.get("outcome"):  # its files are written when its job, of all its runs, has ended
        found.ended[stage][run] = {"seconds": record["seconds"], **outcome}
        return
    if held or (held is False and age < FRESH):
        line = log.progress.get(run) if log else None
        if line and line.nll is None:
            line = status_log.measured(line, record.get("history") or [])
        found.jobs.append(Job(run, stage, log.path if log else None, line, age, bool(held)))
        return
    if log and (sentence := status_log.sentence(log.text)):
        found.stopped[run] = sentence
    if record:
        found.paused[run] = record.get("iteration", record.get("taken", 0))


def _held(lock: Path) -> bool | None:
    """Whether a process holds a lock; None where there is no lock. On some shared file systems that of another machine is unseen."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(
                    file, fcntl.LOCK_SH | fcntl.LOCK_NB
                )  # given back at once: whoever comes meanwhile waits that long
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return False
            return False
    except OSError:
        return None


def _checkpoint(folder: Path) -> dict[str, Any]:
    """The record of a run's newest checkpoint, whose arrays are not read; empty if there is none that can be read."""
    files = sorted(folder.glob("*/*.safetensors"), key=lambda path: path.name)
    for path in reversed([path for path in files if path.stem.isdecimal()]):
        try:
            return storage.read_record(path)
        except (InputError, OSError):
            continue
    return {}


def time_left(found: Overview) -> tuple[float, int]:
    """Seconds of training and averaging left, at as many jobs at once as there are now; and of how many stages nothing is known.

    A stage is expected to take what those of the same panel and batch size took, or else of the same panel;
    of one under way its share of their iterations is done.
    """
    at_work = {(job.run, job.stage): job.line for job in found.jobs}
    seconds, unknown = 0.0, 0
    for stage, rows in found.ended.items():
        means = _means(found, stage)
        for run, row in found.runs.items():
            if run in rows:
                continue
            mean = means.get(_kind(row)) or means.get(_kind(row)[:3])
            line = at_work.get((run, stage))
            if mean:
                total = mean[1] or (line.iteration + line.rate * line.left.total_seconds() if line else 0.0)
                done = (line.iteration if line else found.paused.get(run, 0)) / total if total else 0.0
                seconds += mean[0] * max(0.0, 1.0 - done)
            elif line:
                seconds += line.left.total_seconds()
            else:
                unknown += 1
    return seconds / max(1, _at_once(found)), unknown


def _at_once(found: Overview) -> int:
    """Jobs at work, of which one may work on several runs; those that no log speaks of yet are not counted beside others."""
    return len({job.log for job in found.jobs if job.log}) or int(bool(found.jobs))


def _kind(row: Mapping[str, Any]) -> tuple:
    return row["model"], row["dataset"], row["variant"], row["batch_size"]


def _means(found: Overview, stage: str) -> dict[tuple, tuple[float, float]]:
    """Mean seconds and iterations of finished stages, by kind of run; an average's iterations are not in its row: 0."""
    groups: dict[tuple, list[tuple[float, float]]] = {}
    for run, row in found.ended[stage].items():
        for key in (_kind(found.runs[run]), _kind(found.runs[run])[:3]):
            groups.setdefault(key, []).append((row["seconds"], row.get("iterations", 0)))
    return {
        key: (sum(s for s, _ in values) / len(values), sum(i for _, i in values) / len(values))
        for key, values in groups.items()
    }


def lines(found: Overview) -> Iterator[str]:
    """The overview as a person reads it."""
    train, average = found.ended["train"], found.ended["average"]
    status = Counter(row["status"] for row in train.values())
    averaged = Counter(row["status"] for row in average.values())
    working = Counter(job.stage for job in found.jobs)
    waiting = len(found.runs) - len(train) - working["train"]
    yield f"Study {found.study}: {len(found.runs):,} runs"
    kinds = ", ".join(f"{status[word]} {word}" for word in ("converged", "diverged", "budget"))
    yield f"  trained   {len(train):6,}   {kinds}"
    more = f", {averaged['diverged']} diverged" if averaged["diverged"] else ""
    yield f"  averaged  {averaged['averaged']:6,}   of {status['converged']} converged{more}"
    yield f"  running   {len(found.jobs):6,}   {working['train']} training, {working['average']} averaging"
    yield f"  waiting   {waiting:6,}   {sum(run not in train for run in found.paused)} of them with a checkpoint"
    yield f"  disk      {found.disk}"
    if found.jobs:
        yield ""
        heard_of = [job for job in found.jobs if job.line]
        yield from _table(heard_of) if heard_of else ()
        if silent := len(found.jobs) - len(heard_of):
            yield f"{silent} more begin, or wait for a slot in their job: their logs have no line of theirs yet."
    yield from _stopped(found)
    yield from _left(found)


def _stopped(found: Overview) -> Iterator[str]:
    """A line for each sentence that jobs have ended with: that of a fleet is the same for all its runs."""
    runs: dict[str, list[str]] = {}
    for run, sentence in found.stopped.items():
        runs.setdefault(sentence, []).append(run)
    for sentence, (first, *others) in runs.items():
        more = f" and {len(others):,} more" if others else ""
        yield f"{first}{more} stopped: {sentence}"


def _table(jobs: list[Job]) -> Iterator[str]:
    """A line for each job, all of which have been heard of: of large fleets most wait for a slot."""
    wide = max(len(job.run) for job in jobs)
    yield (
        f"{'run':{wide}}  {'stage':7}  {'iteration':>11}  {'NLL':>9}  {'accuracy':>8}  {'steps/s':>7}  "
        f"{'left at most':>15}  last heard of"
    )
    for job in sorted(jobs, key=lambda job: (job.stage, job.run)):
        line = job.line
        assert line
        heard = f"{timedelta(seconds=round(max(0.0, job.age)))} ago" if job.age < float("inf") else "never"
        heard += "" if job.seen else " (its lock is not seen)"
        nll, accuracy = ("" if v is None else f"{v:.4g}" for v in (line.nll, line.accuracy))
        yield (
            f"{job.run:{wide}}  {job.stage:7}  {line.iteration:11,}  {nll:>9}  {accuracy:>8}  {line.rate:7,.0f}  "
            f"{line.left!s:>15}  {heard}"
        )


def _left(found: Overview) -> Iterator[str]:
    if all(len(rows) == len(found.runs) for rows in found.ended.values()):
        yield "All runs are trained and averaged."
        return
    seconds, unknown = time_left(found)
    at_once = _at_once(found)
    yield ""
    if seconds and any(found.ended.values()):  # before that there is only the time that budgets allow
        how = f"with {at_once} job{'s' * (at_once > 1)} at once" if at_once else "one job at a time"
        about = "More than" if unknown else "About"
        yield f"{about} {timedelta(seconds=round(seconds))} of training and averaging left {how}; analyses are not counted."
    if unknown:
        yield f"Nothing is known yet of {unknown:,} stages (training or averaging) whose kind of run has not ended once."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, help="as given to Snakemake; without it, the paper's study")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder that holds studies")
    options = parser.parse_args(arguments)
    try:
        print(*lines(overview(read_config(options.configfile), options.results)), sep="\n", flush=True)
    except BrokenPipeError:  # head, or a pager that was left, has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the exit
    except InputError as error:
        print(f"sgdtails: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sgdtails: {error.strerror}: {error.filename}; grant access, then look again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
