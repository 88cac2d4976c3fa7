"""How far a run has come, on disk: found again by what it depends on, locked against a second process, checked when read.

A checkpoint lies where Snakemake does not look, ``checkpoints/<stage>/<run>/<digest>/``, with a digest of the settings and
the code; so one of other settings or other code is never taken for this one's. The last two are kept: a damaged one falls
back to the one before.
"""

import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sgdtails.errors import InputError
from sgdtails.io import storage

Arrays = dict[str, NDArray]
_KEY = re.compile(r"[0-9a-f]{16}")
_CHECKPOINT = re.compile(r"[0-9]{8,}\.safetensors|\.sgdtails-[0-9]{8,}-.{8}\.safetensors")  # whole, or abandoned


class Checkpoints:
    """The checkpoints of one run in one stage (``train`` or ``average``) below ``folder``."""

    def __init__(self, folder: Path, stage: str, run: str, *, depends: Mapping[str, Any]) -> None:
        """``depends`` is all that the run's results depend on, as JSON has it."""
        self._depends = dict(depends)
        self.key = hashlib.sha256(json.dumps(self._depends, sort_keys=True).encode()).hexdigest()[:16]
        self._run = folder / stage / run
        self.folder = self._run / self.key
        self._lock = folder / stage / f"{run}.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by one process at a time, to the end of the block; the kernel lets go of it however the process ends."""
        while True:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print(f"waiting for another process that works on {self._run.name}", file=sys.stderr, flush=True)
                    fcntl.flock(file, fcntl.LOCK_EX)
                if not _is(file.fileno(), self._lock):
                    continue  # its last holder has removed it
                try:
                    yield
                finally:
                    self._lock.unlink(missing_ok=True)
                return

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """Arrays and record of the newest checkpoint that is whole, or None."""
        for path in reversed(self._files()):
            try:
                arrays, record = storage.load_arrays(path)
            except InputError as error:
                print(f"{error} The checkpoint before it is taken.", file=sys.stderr, flush=True)
                continue
            if record.pop("depends") == self._depends:
                return arrays, record
            print(f"{path} was made by other settings or other code; it is not used.", file=sys.stderr, flush=True)
        others = [path.name for path in self._run.glob("*") if path != self.folder]
        if others:
            print(f"{self._run} has checkpoints of other settings or other code; they are not used.", file=sys.stderr)
        return None

    def record(self) -> dict[str, Any]:
        """The record of the newest checkpoint, whose arrays are not read; empty without one that can be read."""
        for path in reversed(self._files()):
            try:
                return storage.read_record(path)
            except (InputError, OSError):  # damaged, or gone since
                continue
        return {}

    def save(self, arrays: Mapping[str, NDArray], record: Mapping[str, Any]) -> None:
        """Write a checkpoint beside the last one, and remove those before that."""
        files = self._files()
        number = int(files[-1].stem) + 1 if files else 0
        record = {"depends": self._depends, **record}
        # Not read back: a damaged one falls back to the one before, and a process asked to end has seconds.
        storage.save_arrays(self.folder / f"{number:08d}.safetensors", arrays, record, read_back=False)
        for path in files[:-1]:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the run's checkpoints in this stage, those of other settings and code too, and nothing else that lies there."""
        for folder in self._run.glob("*"):
            if _KEY.fullmatch(folder.name) and folder.is_dir():
                for path in [*folder.glob("*.safetensors"), *folder.glob(".sgdtails-*.safetensors")]:
                    if _CHECKPOINT.fullmatch(path.name):
                        path.unlink(missing_ok=True)
                with suppress(OSError):  # somebody's file is in it
                    folder.rmdir()
        with suppress(OSError):
            self._run.rmdir()

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem.isdecimal())


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
