"""Processes of a study on one GPU: jobs, a check that the GPU is free, a lock on the folder, signals."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.study_plan import BASE, Plan
from sgdtails.errors import InputError


class Job:
    """A job of ``study_jobs`` in its own process."""

    def __init__(self, plan: Plan, kind: str, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.study_jobs", kind, name]
        path = plan.folder / "logs" / f"{kind}-{name}.err"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._errors = path
        with path.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=BASE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(plan.as_json().encode())
            self._process.stdin.close()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self, patience: float) -> None:
        """Ask the job to save and end, and kill it if it has not ended after ``patience`` seconds."""
        if not self.ended():
            self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def output(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    def problem(self) -> str:
        """Return what failed, in one sentence; an empty string if nothing did."""
        if self._process.returncode == 0:
            return ""
        lines = [line for line in self._errors.read_text(errors="replace").splitlines() if line.strip()]
        said = [line.removeprefix("sgdtails: ") for line in lines if line.startswith("sgdtails: ")]
        return (said or lines or [f"a process ended with status {self._process.returncode}"])[-1]


def check_memory(plan: Plan, start: Callable[[Plan, str, str], Any] = Job, patience: float = 90.0) -> None:
    """Raise InputError if the GPU is busy, cannot be used, or has too little free memory for training."""
    job, begin = start(plan, "probe", "probe"), time.monotonic()
    while not job.ended() and time.monotonic() - begin < patience:
        time.sleep(0.2)
    if not job.ended():
        job.stop(1.0)
        raise InputError(
            f"no GPU was free within {patience:.0f} seconds: other jobs have reserved all of them; wait for these, then run again."
        )
    if problem := job.problem():
        raise InputError(problem)
    found = json.loads(job.output().strip().rpartition("\n")[2])
    need = 2 * 2**30
    if found["total"] and found["free"] < need:
        free, total = found["free"] / 2**30, found["total"] / 2**30
        raise InputError(
            f"{found['name']} has {free:.1f} of its {total:.0f} GiB free, and training needs {need / 2**30:.0f} at least; "
            "end what else uses it, then run again."
        )
    if found["total"] and found["free"] < 0.9 * found["total"]:
        print(f"{found['name']} is in use by another process: times will not be those of a free one.", file=sys.stderr)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for the block; InputError if another process works in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process works in {folder}; wait for it, or give another --folder.") from None
        yield


@contextmanager
def interruptible(study: Any) -> Iterator[None]:
    """Let signals that ask the process to end set ``study.interrupted``, for the block."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda *_: setattr(study, "interrupted", True))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
