"""As much of a study as a number of seconds is enough for, on one device, without Snakemake: resumable.

    python -m benchmarks.gpu_study SECONDS [--root FOLDER] [--configfile FILE] [--folder results/gpu-study] [--device cuda]

One fleet after the other trains, is averaged and pruned on the device; the host's cores analyse meanwhile. Tables are
rewritten every minute and at the end, from what is finished; table ``progress`` says what is not. The same command goes on
from there. The exit status is 1 if no run was finished, or something went wrong. Without a GPU: one sentence, and status 0.
"""

import argparse
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
from benchmarks.study_plan import ANALYSED, AVERAGED, BASE, PRUNED, TRAINED, Fleet, Plan, read_config, script
from benchmarks.study_process import Job, alone, check_memory, interruptible
from sgdtails.config import batches
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from sgdtails.runtime import devices

EVERY = 60.0  # s between two tables
RESERVE = (
    30.0  # s at most, and at most a fifth of the time, in which jobs save their runs and the last tables are written
)
STAGES = ("dataset", "train", "average", "prune")


class Study:
    """A plan on its way; ``workers`` processes analyse (0: this one does), ``start`` begins a job of the device."""

    def __init__(
        self,
        plan: Plan,
        seconds: float,
        *,
        workers: int,
        start: Callable[[Plan, str, str], Any] = Job,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self._start, self._clock, self._workers = plan, start, clock, workers
        self._begin, self._seconds = clock(), seconds
        self.problems: dict[str, str] = {}  # by fleet
        self.interrupted = False
        self._last = -math.inf
        self._pool: Any = None
        self._analyses: dict[str, Any] = {}  # by run: results that are waited for, or sentences
        self._begun: list[Fleet] = []
        self._done: set[str] = set()

    def run(self) -> None:
        """Until all is done, time is over, or somebody interrupts; tables are up to date then, whatever happens."""
        for fleet in self.plan.fleets:
            forget_outdated(self.plan, fleet)
        try:
            for fleet in self.plan.fleets:
                for stage in STAGES:
                    if not self._over() and fleet.name not in self.problems:
                        self._bring(fleet, stage)
            while not self._over() and self._waits():
                self._tend()
                time.sleep(0.2)
        finally:
            if self._pool:
                self._pool.terminate()
            study_tables.write(self.plan, self.problems)

    def _over(self) -> bool:
        reserve = min(RESERVE, self._seconds / 5)
        return self.interrupted or self._clock() - self._begin > self._seconds - reserve

    def _left(self) -> float:
        return self._begin + self._seconds - self._clock()

    def _waits(self) -> bool:
        return any(not isinstance(result, str) for result in self._analyses.values())

    def _bring(self, fleet: Fleet, stage: str) -> None:
        """One stage of a fleet on the device; the host works on what comes of it meanwhile."""
        if self._is_through(fleet, stage):
            self._begun += [fleet] if fleet not in self._begun else []
            return
        job = self._start(self.plan, stage, fleet.name)
        try:
            while not job.ended() and not self._over():
                self._tend()
                time.sleep(0.2)
        finally:
            over = not job.ended()
            if over:
                job.stop(max(5.0, self._left() - 5))  # in which the last tables are written
        if not over and (problem := job.problem()):
            self._complain(fleet, problem)
        if stage == "dataset" and self.plan.dataset(fleet.runs[0]).exists():
            forget_outdated(self.plan, fleet)
            self._begun.append(fleet)
        self._tend()
        if not over and self._left() >= 0 and fleet.name not in self.problems:
            self._close(fleet, stage)

    def _is_through(self, fleet: Fleet, stage: str) -> bool:
        files = {"train": TRAINED, "average": AVERAGED, "prune": PRUNED}.get(stage)
        if files is None:
            starts = (self.plan.initial(run).exists() for run in fleet.runs)
            return self.plan.dataset(fleet.runs[0]).exists() and all(starts)
        return all(self.plan.is_there(run, files) for run in fleet.runs)

    def _close(self, fleet: Fleet, stage: str) -> None:
        """Remove the checkpoints of a stage that is done."""
        if not self._is_through(fleet, stage):
            self._complain(
                fleet, f"{stage}: files are missing though it ended as it should; check the disk, then run again"
            )
        elif stage in ("train", "average"):
            for checkpoints in self.plan.store(stage, fleet.runs, fleet).values():
                checkpoints.remove()

    def _complain(self, fleet: Fleet, problem: str) -> None:
        if self.problems.setdefault(fleet.name, problem) == problem:
            print(f"{fleet.name}: {problem}", file=sys.stderr, flush=True)

    def _tend(self) -> None:
        """Files of runs that have come to the end of a stage, analyses of those that are averaged, tables at times."""
        for fleet in self._begun:
            for run in fleet.runs:
                if self._left() < 0:
                    return  # what has ended is in checkpoints
                if run not in self._done:
                    self._tend_run(fleet, run)
        if self._clock() - self._last >= EVERY:
            study_tables.write(self.plan, self.problems)
            self._last = self._clock()

    def _tend_run(self, fleet: Fleet, run: str) -> None:
        if not (self.plan.is_there(run, TRAINED) and self.plan.is_there(run, AVERAGED)):
            return
        start = self.plan.initial(run)
        waits = [
            self._analysed(fleet, run, name, initial=name != run, there=there)
            for name, there in (
                (run, self.plan.is_there(run, ANALYSED)),
                (start.parent.name, all((start.parent / each).exists() for each in ANALYSED)),
            )
        ]
        if not any(waits):
            self._done.add(run)

    def _analysed(self, fleet: Fleet, run: str, name: str, *, initial: bool, there: bool) -> bool:
        """Have a run or an initial network analysed, once; whether that has to be waited for."""
        result = self._analyses.get(name)
        if result is None:
            if there:
                return False
            if self._over():
                return True
            result = self._analyses[name] = self._analyse(run, initial)
            if isinstance(result, str) and result:
                self._complain(fleet, result)
        if isinstance(result, str):
            return False
        if result.ready():
            found = self._analyses[name] = result.get()
            if found:
                self._complain(fleet, found)
            return False
        return True

    def _analyse(self, run: str, initial: bool) -> Any:
        if not self._workers:
            return study_jobs.analyse(self.plan.as_json(), run, initial)
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(self._workers, signal.signal, _IGNORED)
        return self._pool.apply_async(study_jobs.analyse, (self.plan.as_json(), run, initial))

    def verdict(self) -> tuple[str, int]:
        """What became of it, in one sentence, and the exit status."""
        rows = study_tables.progress(self.plan, self.problems)
        trained = sum(row["stage"] not in ("waiting", "training") for row in rows)
        finished = sum(row["stage"] == "pruned" for row in rows)
        where = f"tables are in {self.plan.folder / 'tables'}"
        if self.problems:
            name, problem = next(iter(self.problems.items()))
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


def forget_outdated(plan: Plan, fleet: Fleet) -> None:
    """Remove files of a fleet's runs that other settings, code or data have made, and what was made of those."""
    if not plan.dataset(fleet.runs[0]).exists():
        return  # it is made first
    made_by = ((ANALYSED[:2], "tails"), (ANALYSED[2:], "compression"), (PRUNED, "prune"))
    for run in fleet.runs:
        if not _current(plan.initial(run), plan.code("initial")):
            _remove(plan.initial(run).parent, ("weights.safetensors", *ANALYSED))
            continue
        for stage, files in (("train", TRAINED), ("average", AVERAGED)):
            if plan.is_there(run, files):
                inputs, outputs = plan.files(stage, [run])
                (network,) = batches.networks(SimpleNamespace(input=inputs, output=outputs))
                if not script(stage).written(network, plan.store(stage, [run], fleet)[run]):
                    _remove(plan.path(run, ""), (*files, *AVERAGED, *ANALYSED, *PRUNED))
        for names, name in made_by:
            for folder in (plan.path(run, ""), plan.initial(run).parent):
                if not all(_current(folder / each, plan.code(name)) for each in names):
                    _remove(folder, names)


def _current(path: Path, code: str) -> bool:
    try:
        if path.suffix == ".safetensors":
            return storage.made_by(path).get("code") == code
        return parquet.read_record(path).get("code") == code
    except (InputError, OSError):
        return False


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", help="how long it may take")
    parser.add_argument("--root", help="where MNIST and CIFAR10 lie; nothing is fetched then")
    parser.add_argument("--configfile", help="replaces single keys of config/config.yaml")
    parser.add_argument("--folder", type=Path, default=BASE / "results/gpu-study")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--workers", type=int, help="processes that analyse; default: all cores but one")
    return parser.parse_args(given)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise InputError(f"SECONDS is {text}; give how long it may take, a positive number.")


def main(given: list[str] | None = None, **more: Any) -> int:
    """0 if all or some runs were finished in time, or there is no GPU; else 1. ``more`` goes to ``Study``."""
    how = arguments(given)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each analysis has a process of its own
    try:
        seconds = _positive(how.seconds)
        if reason := gpu_check.missing(how.device):
            print(reason)
            return 0
        plan = Plan(read_config(how.configfile, how.root, how.device), how.folder.absolute())
        with alone(plan.folder):
            if how.device != "cpu":
                check_memory(plan)
            workers = max(1, devices.cores(1000) - 1) if how.workers is None else how.workers
            study = Study(plan, seconds, workers=workers, **more)
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
