"""A small study that is killed and damaged at random, and compared byte for byte with one left in peace.

``python -m tests.faults.harness --kills 300 --damages 300 --rounds 300 --seed 1`` (``make soak``) prints counts, seed and time;
exit status 1 if a byte differs, a damage goes unnoticed, or a user's file is touched in the rounds of ``keep.py``. Runs on Linux only: it looks at processes through /proc.
"""

import argparse
import contextlib
import copy
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from sgdtails.io import integrity, parquet
from tests.workflow.conftest import TINY, Workflow

RESULTS = Path("results/tiny")
TARGETS = [
    f"{RESULTS}/{name}"
    for name in ("figures/fig01.pdf", "figures/fig01.png", "tables/runs.parquet", "tables/tails.parquet")
] + [f"{RESULTS}/tables/table2.{kind}" for kind in ("parquet", "md")]
KINDS = ("data", "initial", "runs", "tables", "figures")
LONG = 1800  # seconds: a start that takes longer hangs
TIMED = ("runs.parquet", "training.parquet", "averaging.parquet")  # have a column of seconds


def config(runs_per_job: int) -> dict[str, Any]:
    """Two narrow networks, with checkpoints at every gate that is looked at."""
    small = copy.deepcopy(TINY)
    small["runs"][0]["step_size"] = [0.1, 0.3]
    return small | {"runs_per_job": runs_per_job, "checkpoint_minutes": 0.001}


class Study:
    """A small study in a folder of its own: started, killed, damaged, finished."""

    def __init__(self, folder: Path, runs_per_job: int, rng: random.Random | None = None) -> None:
        self.workflow, self.config, self.rng = Workflow(folder), config(runs_per_job), rng or random.Random(0)
        self.folder, self.results = folder, folder / RESULTS
        self.done: Counter[str] = Counter()

    def start(self) -> subprocess.Popen[str]:
        self.unlock()
        quiet = self.rng.choice([["rules"], ["rules", "progress"]])  # the latter removes checkpoints at the end only
        return self.workflow.start(self.config, "--quiet", *quiet, "--", *TARGETS, start_new_session=True)

    def unlock(self) -> None:
        """What ``snakemake --unlock`` does, without the seconds of its start."""
        shutil.rmtree(self.folder / ".snakemake/locks", ignore_errors=True)

    def wipe(self) -> None:
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)

    def attempt(self) -> tuple[bool, str]:
        """One start, undisturbed: whether it succeeded, and what it said."""
        driver = self.start()
        output, _ = driver.communicate(timeout=LONG)
        self.done["starts"] += 1
        return driver.returncode == 0, output

    def finish(self) -> None:
        """Start until it succeeds, doing what its messages say; RuntimeError if they say nothing to be done."""
        self.end(_members(self.folder))
        for _ in range(20):
            succeeded, output = self.attempt()
            damaged = [path for path, _ in integrity.damaged(integrity.written(self.results), weights=True)]
            if succeeded and not damaged:
                return
            told = [self.folder / path for path in re.findall(r"(results/\S+) .*delete it and run again", output)]
            if not succeeded and not any(path.exists() for path in told):
                raise RuntimeError(f"it failed, and said nothing to be done:\n{output}")
            self.done["found by verify"] += len(damaged)
            for path in {*told, *damaged}:
                path.unlink(missing_ok=True)
        raise RuntimeError(f"it does not come to an end:\n{output}")

    def kill_at_random(self, kills: int, gap: float) -> None:
        """Start, and send ``kills`` signals to random processes of it, ``gap`` seconds apart on average."""
        driver = self.start()
        self.done["starts"] += 1
        for _ in range(kills):
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(self.rng.expovariate(1 / gap))
            if not (members := _members(self.folder)):
                break
            self._kill(members)
        driver.wait(LONG)  # where it lives, it ends its other jobs and says what failed
        assert driver.stdout
        driver.stdout.close()
        if self.rng.random() < 0.5:  # else jobs of a killed driver live on beside the next one's
            self.end(_members(self.folder))

    def _kill(self, members: list[psutil.Process]) -> None:
        number = self.rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        victims = members if self.rng.random() < 0.25 else [self.rng.choice(members)]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        self.done["kills"] += 1
        self.done[f"{number.name} of {'all' if len(victims) > 1 else 'one'}"] += 1

    def end(self, members: list[psutil.Process]) -> None:
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, 30)

    def damage(self, count: int, among: list[Path] | None = None) -> None:
        """Truncate, flip a bit in, or remove random files of results, checkpoints and Snakemake's notes."""
        for _ in range(count):
            if not (files := [path for path in among or self.files() if path.exists()]):
                return
            path = self.rng.choice(files)
            data = path.read_bytes()
            kind = self.rng.choice(["truncated", "flipped", "removed"] if data else ["removed"])
            if kind == "removed":
                path.unlink()
            elif kind == "truncated":
                path.write_bytes(data[: self.rng.randrange(len(data))])
            else:
                place, stat = self.rng.randrange(len(data)), path.stat()
                flipped = data[:place] + bytes([data[place] ^ 1 << self.rng.randrange(8)]) + data[place + 1 :]
                path.write_bytes(flipped)
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk does it
            self.done["damages"] += 1
            self.done[kind] += 1

    def files(self) -> list[Path]:
        """All files that a study is made of: of the many small notes of Snakemake's only as many as of the others."""
        folders = [self.results / kind for kind in (*KINDS, "checkpoints")]
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        notes = [path for path in sorted((self.folder / ".snakemake").rglob("*")) if _is_note(path)]
        return files + self.rng.sample(notes, min(len(notes), len(files) // 3))

    def contents(self) -> dict[str, object]:
        """What every result holds, by path."""
        found: dict[str, object] = {}
        for folder in KINDS:
            for path in sorted((self.results / folder).rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    found[str(path.relative_to(self.results))] = content(path)
        return found

    def wrong(self, reference: dict[str, object]) -> list[str]:
        """Files with other contents than those of an undisturbed study."""
        return [name for name, value in self.contents().items() if reference.get(name, value) != value]

    def differences(self, reference: dict[str, object]) -> list[str]:
        """Targets that are missing, and files that are wrong."""
        return [name for name in TARGETS if not (self.folder / name).exists()] + self.wrong(reference)


def content(path: Path) -> object:
    """What a result holds: bytes; of a table with seconds its metadata and rows without them."""
    if path.name not in TIMED:
        return path.read_bytes()
    table = parquet.read(path)
    return repr(table.schema.metadata), repr([{**row, "seconds": 0} for row in table.to_pylist()])


def _is_note(path: Path) -> bool:
    return path.is_file() and path.parts[path.parts.index(".snakemake") + 1] == "metadata"


def _members(folder: Path) -> list[psutil.Process]:
    """Processes that work in the study's folder: the driver, its jobs and their children, orphans too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@cache
def undisturbed(folder: Path, runs_per_job: int) -> dict[str, object]:
    """What the study holds when nothing happens to it."""
    study = Study(folder, runs_per_job)
    succeeded, output = study.attempt()
    if not succeeded:
        raise RuntimeError(output)
    return study.contents()


def disturb(study: Study, *, kills: int, damages: int, gap: float) -> None:
    """From nothing to a finished study through kills and damages, and through damages of the finished one."""
    study.wipe()
    rng, begin = study.rng, Counter(study.done)
    while study.done["kills"] - begin["kills"] < kills:
        study.kill_at_random(rng.randint(1, 3), gap)
        if rng.random() < 0.5:
            study.damage(rng.randint(1, 2))
    study.finish()
    while study.done["damages"] - begin["damages"] < damages:
        study.damage(rng.randint(1, 6))
        study.finish()


def soak(kills: int, damages: int, seed: int, folder: Path, rounds: int = 0) -> int:
    """Disturb until there were so many kills and damages, do ``rounds`` of ``keep.py``; print what came of it.

    1 if anything differs or is lost.
    """
    from tests.faults import keep  # which imports this module

    begin, differing = time.monotonic(), 0
    total: Counter[str] = Counter()
    while total["kills"] < kills or total["damages"] < damages:
        number = total["studies"]
        runs_per_job = 1 + number % 2
        reference = undisturbed(folder / f"undisturbed{runs_per_job}", runs_per_job)
        study = Study(folder / f"study{number}", runs_per_job, random.Random(f"{seed} {number}"))
        disturb(study, kills=10, damages=10, gap=3)
        differences = study.differences(reference)
        differing += len(differences)
        total += study.done + Counter(studies=1)
        so_far = f"{total['kills']} kills, {total['damages']} damages, {time.monotonic() - begin:.0f} s:"
        print(f"study {number},", so_far, *differences or ["the same bytes"], flush=True)
        if not differences:
            shutil.rmtree(study.folder)
    if rounds:
        finished = folder / "undisturbed1"
        done, wrong = keep.soak(rounds, seed, folder / "kept", finished, undisturbed(finished, 1))
        print(f"{rounds} rounds with a user's files among results:", *wrong or ["nothing lost"], flush=True)
        total.update({f"rounds of {name}": count for name, count in done.items()})
        differing += len(wrong)
    seconds = time.monotonic() - begin
    counts = ", ".join(f"{count} {name}" for name, count in sorted(total.items()))
    print(f"seed {seed}, {seconds:.0f} s: {counts}; {differing} files differ")
    return int(differing > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill and damage a small study at random.")
    for name in ("kills", "damages", "rounds"):
        parser.add_argument(f"--{name}", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sgdtails-soak-") as folder:
        return soak(arguments.kills, arguments.damages, arguments.seed, Path(folder), arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())
