"""The progress of a study, read from its files: ``make status`` prints it, on any machine that sees them."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sgdtails.config.study import read_config
from sgdtails.errors import InputError
from sgdtails.report import similar_runs
from sgdtails.report.status_overview import Job, Overview, at_once, overview, time_left


def lines(found: Overview, *, now: float | None = None) -> Iterator[str]:
    """Yield the lines of an overview as a person reads it.

    Parameters
    ----------
    found
        What ``overview`` found.
    now
        Seconds since the epoch; the present by default.
    """
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
        yield from _table(found.jobs, time.time() if now is None else now)
    yield from _stopped(found)
    yield ""
    yield from left(found)


def _table(at_work: list[Job], now: float) -> Iterator[str]:
    """Yield a line for each run with a heartbeat, and the number of the others: most runs of a large group wait for a slot."""
    heard = [(job, job.beat) for job in sorted(at_work, key=lambda job: (job.stage, job.run)) if job.beat]
    if heard:
        wide = max(len(job.run) for job, _ in heard)
        yield (
            f"{'run':{wide}}  {'stage':7}  {'iteration':>11}  {'NLL':>9}  {'accuracy':>8}  {'steps/s':>7}  "
            f"{'left at most':>15}  last heard of"
        )
    for job, beat in heard:
        ago = f"{timedelta(seconds=round(max(0.0, now - beat.updated)))} ago"
        nll, accuracy = ("" if v is None else f"{v:.4g}" for v in (beat.nll, beat.accuracy))
        yield (
            f"{job.run:{wide}}  {job.stage:7}  {beat.iteration:11,}  {nll:>9}  {accuracy:>8}  {beat.rate:7,.0f}  "
            f"{beat.left!s:>15}  {ago}{'' if job.held else ' (its lock is not seen)'}"
        )
    if silent := len(at_work) - len(heard):
        yield f"{silent} more begin, or wait for a slot in their job: they have not reported yet."


def _stopped(found: Overview) -> Iterator[str]:
    """Yield a line for each message that jobs have ended with: all runs of a job have the same."""
    runs: dict[str, list[str]] = {}
    for run, sentence in found.stopped.items():
        runs.setdefault(sentence, []).append(run)
    for sentence, (first, *others) in runs.items():
        more = f" and {len(others):,} more" if others else ""
        yield f"{first}{more} stopped: {sentence}"


def left(found: Overview) -> Iterator[str]:
    """Yield a line about the time that training and averaging still take, and one about what is not known of it.

    Parameters
    ----------
    found
        What ``overview`` found.
    """
    if not any(found.to_do.values()):
        yield "All runs are trained and averaged."
        return
    seconds, unknown = time_left(found)
    jobs = at_once(found)
    if seconds and (any(found.ended.values()) or found.similar):  # before that, budgets are all that is known
        how = f"with {jobs} job{'s' * (jobs > 1)} at once" if jobs else "one job at a time"
        about = "More than" if unknown else "About"
        yield f"{about} {timedelta(seconds=round(seconds))} of training and averaging left {how}; analyses are not counted."
    if unknown:
        them = f"{unknown:,} trainings and averages take" if unknown > 1 else "one training or average takes"
        yield f"How long {them} is not known: no run like {'theirs' if unknown > 1 else 'it'} has ended yet."


def main(arguments: list[str] | None = None) -> int:
    """Print how far a study is.

    Parameters
    ----------
    arguments
        Those of the command line by default.

    Returns
    -------
    int
        The exit status: 0, or 1 after one sentence on stderr.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, help="as given to Snakemake; without it, the paper's study")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder that holds studies")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.configfile)
        found = overview(config, options.results)
        similar_runs.complete(found, config, options.results)
        print(*lines(found), sep="\n", flush=True)
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
