"""Make as much of a study as a number of seconds allows, on one device, without Snakemake; it can be resumed.

    python -m benchmarks.gpu_study SECONDS [--root FOLDER] [--configfile FILE] [--folder results/gpu-study] [--device cuda]

The device trains, averages and prunes one group of runs after the other, and the host's cores analyse runs meanwhile. Tables
of the finished runs are written every minute and at the end; table ``progress`` lists the others. The same command resumes
the study. The exit status is 1 if no run was finished, or something failed. Without a GPU, the program prints one sentence
and returns 0.
"""

import argparse
import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import gpu_check, study_jobs, study_tables
from benchmarks.study_plan import (
    ANALYSES,
    AVERAGED,
    BASE,
    OF_TAILS,
    PRUNED,
    TRAINED,
    Plan,
    RunGroup,
    read_config,
    script,
)
from benchmarks.study_process import Job, alone, check_memory, interruptible
from sgdtails.config import batches
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from sgdtails.runtime import devices

EVERY = 60.0  # s between two writes of the tables
RESERVE = 30.0  # s for saving runs and writing the last tables; at most a fifth of the time
STAGES = ("dataset", "train", "average", "prune")


class Study:
    """Carries out a plan. ``workers`` processes analyse (0: this one does), and ``start`` starts a job on the device."""

    def __init__(
        self,
        plan: Plan,
        seconds: float,
        *,
        workers: int,
        start: Callable[[Plan, str, str], Any] = Job,
        clock: Callable[[], float] = time.monotonic,
        begin: float | None = None,
    ) -> None:
        self.plan, self._start, self._clock, self._workers = plan, start, clock, workers
        self._begin, self._seconds = clock() if begin is None else begin, seconds
        self.problems: dict[str, str] = {}  # of jobs on the device, by group: it gets no more of them
        self.failures: dict[str, str] = {}  # of analyses, by group
        self.interrupted = False
        self._last = -math.inf
        self._pool: Any = None
        self._analyses: dict[
            tuple[str, str], Any
        ] = {}  # by network and analysis: results that are waited for, or sentences
        self._begun: list[RunGroup] = []
        self._done: set[str] = set()

    def run(self) -> None:
        """Work until all runs are finished, time is over, or a signal comes. The tables are written in any case."""
        for group in self.plan.groups:
            forget_outdated(self.plan, group)
        try:
            for group in self.plan.groups:
                for stage in STAGES:
                    if not self._over() and group.name not in self.problems:
                        self._bring(group, stage)
            while not self._over() and self._waits():
                self._tend()
                time.sleep(0.2)
        finally:
            if self._pool:
                self._pool.terminate()
            self._write()

    def _write(self) -> None:
        study_tables.write(self.plan, self._all_problems())

    def _all_problems(self) -> dict[str, str]:
        return self.failures | self.problems

    def _over(self) -> bool:
        reserve = min(RESERVE, self._seconds / 5)
        return self.interrupted or self._clock() - self._begin > self._seconds - reserve

    def _left(self) -> float:
        return self._begin + self._seconds - self._clock()

    def _waits(self) -> bool:
        return any(not isinstance(result, str) for result in self._analyses.values())

    def _bring(self, group: RunGroup, stage: str) -> None:
        """Run one stage of a group on the device; the host analyses finished runs meanwhile."""
        if self._is_through(group, stage):
            self._begun += [group] if group not in self._begun else []
            return
        job = self._start(self.plan, stage, group.name)
        try:
            while not job.ended() and not self._over():
                self._tend()
                time.sleep(0.2)
        finally:
            over = not job.ended()
            if over:
                job.stop(max(5.0, self._left() - 5))  # in which the last tables are written
        if not over and (problem := job.problem()):
            self._complain(group, problem)
        if stage == "dataset" and self.plan.dataset(group.runs[0]).exists():
            forget_outdated(self.plan, group)
            self._begun.append(group)
        self._tend()
        if not over and self._left() >= 0 and group.name not in self.problems:
            self._close(group, stage)

    def _is_through(self, group: RunGroup, stage: str) -> bool:
        files = {"train": TRAINED, "average": AVERAGED, "prune": PRUNED}.get(stage)
        if files is None:
            starts = (self.plan.initial(run).exists() for run in group.runs)
            return self.plan.dataset(group.runs[0]).exists() and all(starts)
        return all(self.plan.is_there(run, files) for run in group.runs)

    def _close(self, group: RunGroup, stage: str) -> None:
        """Remove the checkpoints of a stage that is done."""
        if not self._is_through(group, stage):
            self._complain(
                group, f"{stage}: files are missing though it ended as it should; check the disk, then run again"
            )
        elif stage in ("train", "average"):
            for checkpoints in self.plan.store(stage, group.runs, group).values():
                checkpoints.remove()

    def _complain(self, group: RunGroup, problem: str, *, analysis: bool = False) -> None:
        known = self.failures if analysis else self.problems
        if known.setdefault(group.name, problem) == problem:
            print(f"{group.name}: {problem}", file=sys.stderr, flush=True)

    def _tend(self) -> None:
        """Start analyses of averaged runs, and write the tables once a minute."""
        for group in self._begun:
            for run in group.runs:
                if self._left() < 0:
                    return  # ended runs are in checkpoints
                if run not in self._done:
                    self._tend_run(group, run)
        if self._clock() - self._last >= EVERY:
            self._write()
            self._last = self._clock()

    def _tend_run(self, group: RunGroup, run: str) -> None:
        if not (self.plan.is_there(run, TRAINED) and self.plan.is_there(run, AVERAGED)):
            return
        waits = [
            self._analysed(group, run, name, initial=initial)
            for initial in (False, True)
            for name in self.plan.analyses(run, initial=initial)
        ]
        if not any(waits):
            self._done.add(run)

    def _analysed(self, group: RunGroup, run: str, name: str, *, initial: bool) -> bool:
        """Have one analysis of a run or of its initial network made once. Return whether it is still to come."""
        key = (self.plan.initial(run).parent.name if initial else run, name)
        result = self._analyses.get(key)
        if result is None:
            if self.plan.is_analysed(run, name, initial=initial):
                return False
            if self._over() or (name in OF_TAILS and not self.plan.is_analysed(run, "tails")):
                return True
            result = self._analyses[key] = self._analyse(run, name, initial)
            if isinstance(result, str) and result:
                self._complain(group, result, analysis=True)
        if isinstance(result, str):
            return False
        if result.ready():
            found = self._analyses[key] = result.get()
            if found:
                self._complain(group, found, analysis=True)
            return False
        return True

    def _analyse(self, run: str, name: str, initial: bool) -> Any:
        if not self._workers:
            return study_jobs.analyse(self.plan.as_json(), run, name, initial)
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(self._workers, signal.signal, _IGNORED)
        return self._pool.apply_async(study_jobs.analyse, (self.plan.as_json(), run, name, initial))

    def verdict(self) -> tuple[str, int]:
        """Return the result in one sentence, and the exit status."""
        problems = self._all_problems()
        rows = study_tables.progress(self.plan, problems)
        trained = sum(row["stage"] not in ("waiting", "training") for row in rows)
        finished = sum(row["stage"] == "pruned" for row in rows)
        where = f"tables are in {self.plan.folder / 'tables'}"
        if problems:
            name, problem = next(iter(problems.items()))
            return f"{name}: {problem.rstrip('.')}; {finished} of {len(rows)} runs are finished, {where}.", 1
        if finished == len(rows):
            return f"all {len(rows)} runs are finished; {where}.", 0
        why = "interrupted" if self.interrupted else f"the {self._seconds:g} seconds are over"
        if not trained:
            most = max(rows, key=lambda row: row["iterations"])
            return (
                f"{why} before one run was trained ({most['run']} is at iteration {most['iterations']}); give more seconds: "
                "the same command goes on from there.",
                1,
            )
        return (
            f"{why}: {finished} of {len(rows)} runs are finished, {trained} trained; {where}; the same command goes on.",
            (int(self.interrupted)),
        )


_IGNORED = (signal.SIGINT, signal.SIG_IGN)


def forget_outdated(plan: Plan, group: RunGroup) -> None:
    """Remove files of a group's runs that were made by other settings, code or data, and all files made from those."""
    if not plan.dataset(group.runs[0]).exists():
        return  # it is made first
    made_by = ANALYSES | {"prune": PRUNED}
    analysed = [file for files in ANALYSES.values() for file in files]
    for run in group.runs:
        if not _current(plan.initial(run), plan.code("initial"), plan.initial_settings(run)):
            _remove(plan.initial(run).parent, ("weights.safetensors", *analysed))
            continue
        for stage, files in (("train", TRAINED), ("average", AVERAGED)):
            if plan.is_there(run, files):
                inputs, outputs = plan.files(stage, [run])
                (network,) = batches.networks(SimpleNamespace(input=inputs, output=outputs))
                if not script(stage).written(network, plan.store(stage, [run], group)[run]):
                    _remove(plan.path(run, ""), (*files, *AVERAGED, *analysed, *PRUNED))
        for name, names in made_by.items():
            for folder in (plan.path(run, ""), plan.initial(run).parent):
                if not all(_current(folder / each, plan.code(name)) for each in names):
                    _remove(folder, names)


def _current(path: Path, code: str, settings: Any = None) -> bool:
    """Tell if a file was made by this code and, if they are given, these settings."""
    try:
        said = storage.made_by(path) if path.suffix == ".safetensors" else parquet.read_record(path)
    except (InputError, OSError):
        return False
    return said.get("code") == code and (settings is None or said.get("settings") == json.loads(json.dumps(settings)))


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", help="how long it may take")
    parser.add_argument("--root", help="where MNIST and CIFAR10 lie; nothing is fetched then")
    parser.add_argument("--configfile", help="replaces single keys of config/config.yaml")
    parser.add_argument("--folder", type=Path, help="of the results; default: results/gpu-study/ and the study's name")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--workers", type=int, help="processes that analyse; default: all cores but one")
    return parser.parse_args(given)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise InputError(f"SECONDS is {text}; give how long it may take, a positive number.")


def main(given: list[str] | None = None, **more: Any) -> int:
    """Run the program; return 0 if some runs were finished in time, or there is no GPU, else 1. ``more`` goes to ``Study``."""
    begin = more.get("clock", time.monotonic)()  # checks of the device count, too
    how = arguments(given)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each analysis has a process of its own
    try:
        seconds = _positive(how.seconds)
        if reason := gpu_check.missing(how.device):
            print(reason)
            return 0
        config = read_config(how.configfile, how.root, how.device)
        how.folder = how.folder or BASE / "results/gpu-study" / config["study"]
        plan = Plan(config, how.folder.absolute())
        with alone(plan.folder):
            if how.device != "cpu":
                check_memory(plan)
            workers = max(1, devices.cores(1000) - 1) if how.workers is None else how.workers
            study = Study(plan, seconds, workers=workers, begin=begin, **more)
            with interruptible(study):
                study.run()
            sentence, status = study.verdict()
    except InputError as error:
        print(f"gpu-study: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a missing right
        reason = os.strerror(error.errno) if error.errno else f"{error}"
        where = error.filename or how.folder
        print(
            f"gpu-study: {reason}: {where}; what is finished is kept: make room or grant access, then run again.",
            file=sys.stderr,
        )
        return 1
    print(f"gpu-study: {sentence}", file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
