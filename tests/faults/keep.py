"""Files of a user's among a study's results: whatever is started, listed, verified, reported, damaged or repaired, they stay.

A part of ``python -m tests.faults.harness`` (``--rounds``), and short in ``test_keep.py``.
"""

import contextlib
import io
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sgdtails.io import integrity, manifest
from tests.faults.harness import TARGETS, Study

LISTINGS = {
    "report": ("--report", "workflow.html"),
    **{name: (f"--{name}",) for name in ("list", "summary", "dag", "lint", "unlock", "touch", "dry-run")},
}
MORE = {name: (f"--{name}",) for name in ("detailed-summary", "rulegraph", "list-params-changes", "list-untracked")}
_RUN = "runs/fcn4-digits-b50-lr0.1-s0"
_FOLDERS = (
    f". figures figures/drafts/old tables data calibration runs {_RUN} runs/mine logs fleets/train checkpoints "
    "checkpoints/train/fcn4-digits-b50-lr0.1-s0/0123456789abcdef ../audit/x ../audit/x/sub ../mine"
).split()
_NAMES = [
    "mine.png", "notes.md", "x.pdf", "own.parquet", "own.safetensors", "runs.csv", "a b.txt", "ü.html", "run.sh", "Makefile",
    "report.htm", "audit.md", "audit.parquet", "fig01 (copy).png", "fig99.png", "final.safetensors.bak", "final (1).safetensors",
    "7.safetensors", ".hidden.png", ".fig01-abcdefgh.png", ".runs-a1b2c3d4.parquet", ".mine.png.sha256", ".tails-00000000.md",
]  # fmt: skip
# What this study's rules could make and these targets do not need: not ours without a digest, and so set aside, not lost.
_TAKEN = ("figures/fig12.png", "figures/fig08.pdf", f"{_RUN}/bounds.parquet", f"{_RUN}/pruned.parquet", "report.html")


def plant(study: Study, planted: dict[Path, bytes], count: int) -> None:
    """Write files of a user's at random places, none of which a rule of the study makes or has made."""
    rng = study.rng
    for _ in range(count):
        path = study.results / rng.choice(_FOLDERS) / rng.choice(_NAMES)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            planted[path] = rng.randbytes(rng.randrange(300))
            path.write_bytes(planted[path])


def take(study: Study) -> tuple[Path, bytes] | None:
    """Write a user's file at a place that a rule of the study could write to, if one is free."""
    free = [path for path in (study.results / name for name in _TAKEN) if not path.exists()]
    if not free:
        return None
    path, data = study.rng.choice(free), study.rng.randbytes(50)
    path.write_bytes(data)
    return path, data


def lost(study: Study, planted: dict[Path, bytes], taken: dict[bytes, Path]) -> list[str]:
    """Planted files that are no longer what they were; those in a rule's place may have been moved aside."""
    found = [str(path) for path, data in planted.items() if not path.is_file() or path.read_bytes() != data]
    aside = [path.read_bytes() for path in (study.results / manifest.ASIDE).rglob("*") if path.is_file()]
    there = {*aside, *(path.read_bytes() for path in taken.values() if path.is_file())}
    return found + [str(path) for data, path in taken.items() if data not in there]


def everything(study: Study) -> dict[Path, bytes]:
    """All files below results, logs aside."""
    files = (path for path in (study.folder / "results").rglob("*") if path.is_file() and "logs" not in path.parts)
    return {path: path.read_bytes() for path in files}


class Keep:
    """A finished study, what is planted in it, and what a user may do."""

    def __init__(self, study: Study, reference: dict[str, object]) -> None:
        self.study, self.reference = study, reference
        self.planted: dict[Path, bytes] = {}
        self.taken: dict[bytes, Path] = {}
        self.done: Counter[str] = Counter()

    def round(self, action: str) -> list[str]:
        """Plant files and do one thing; what was lost or changed that should not have been."""
        plant(self.study, self.planted, self.study.rng.randint(1, 4))
        if self.study.rng.random() < 0.3 and (new := take(self.study)):
            self.taken[new[1]] = new[0]
        before = everything(self.study)
        said = self._actions()[action]()
        self.done[action] += 1
        wrong = lost(self.study, self.planted, self.taken)
        if action not in ("start", "damage"):
            after = everything(self.study)
            wrong += [
                f"{action} changed {path}"
                for path in before.keys() | after.keys()
                if before.get(path) != after.get(path)
            ]
        return [f"{action}: {problem}\n{said[-2000:]}" for problem in wrong]

    def _actions(self) -> dict[str, Callable[[], str]]:
        """What can be done by name, the most usual first."""
        return {
            **{"verify": self._verify, "damaged listing": self._damaged, "start": self._start, "damage": self._repair},
            **{name: partial(self._list, *options) for name, options in (LISTINGS | MORE).items()},
        }

    def _list(self, *options: str) -> str:
        return self.study.workflow.run(self.study.config, *options, "--", *TARGETS).stdout

    def _verify(self) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            integrity.main(self.study.folder / "results")
        return said.getvalue()

    def _damaged(self) -> str:
        """A listing of a study with a damaged figure, which is as it was afterwards."""
        path = self.study.results / "figures/fig01.png"
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        try:
            return self._list(*LISTINGS[self.study.rng.choice(sorted(LISTINGS))]) if path.exists() else ""
        finally:
            if path.read_bytes() == data[:-1]:
                path.write_bytes(data)

    def _start(self) -> str:
        """Nothing is damaged: a start may set aside what is not ours in a rule's place, no more."""
        before = self.study.contents()
        self.study.unlock()
        succeeded, said = self.study.attempt()
        after = self.study.contents()
        changed = [
            name
            for name in before
            if before[name] != after.get(name) and self.study.results / name not in self.taken.values()
        ]
        if not succeeded or changed:
            raise RuntimeError(f"a start failed, or changed {changed}:\n{said}")
        return said

    def _repair(self) -> str:
        """Damage anything but planted files, and start until it is well again."""
        kept = {*self.planted, *self.taken.values()}
        files = [path for path in self.study.files() if path not in kept]
        self.study.damage(self.study.rng.randint(1, 4), files)
        self.study.finish()
        if wrong := [name for name in self.study.differences(self.reference) if self.study.folder / name not in kept]:
            raise RuntimeError(f"other bytes than an undisturbed study's: {wrong}")
        return ""

    def names(self) -> list[str]:
        return list(self._actions())


def soak(
    rounds: int, seed: int, folder: Path, finished: Path, reference: dict[str, object]
) -> tuple[Counter[str], list[str]]:
    """So many rounds on a copy of a finished study with these contents: how often each thing was done, and what went wrong."""
    study = Study(folder, 1, random.Random(f"keep {seed}"))
    shutil.rmtree(folder)
    shutil.copytree(finished, folder)
    keep = Keep(study, reference)
    names, wrong = keep.names(), []
    for number in range(rounds):
        wrong += keep.round(names[number] if number < len(names) else study.rng.choice(names))
    return keep.done, wrong
