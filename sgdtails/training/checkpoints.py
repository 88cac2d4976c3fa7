"""Checkpoints on disk: one folder per run and digest of its settings, a lock per run, a check of each file that is read.

Checkpoints are in ``checkpoints/<stage>/<run>/<digest>/``, of which Snakemake knows nothing. The digest covers settings and
code, so a run never resumes from a checkpoint of other settings or other code. The last two checkpoints are kept: if the
newest is damaged, the one before is used.
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

Arrays = dict[str, NDArray[Any]]
Checkpoint = tuple[Arrays, dict[str, Any]]  # arrays, and a record that JSON can hold
_KEY = re.compile(r"[0-9a-f]{16}")
_CHECKPOINT = re.compile(r"[0-9]{8,}\.safetensors|\.sgdtails-[0-9]{8,}-.{8}\.safetensors")  # whole, or cut off


class CheckpointStore:
    """The checkpoints of one run in one stage.

    Parameters
    ----------
    folder : Path
        The study's folder of checkpoints.
    stage : str
        ``train`` or ``average``.
    run : str
        Name of the run.
    depends : mapping
        All that the run's results depend on, as JSON has it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = CheckpointStore(Path(folder), "train", "a", depends={"code": "1"})
    ...     store.save({}, {"iteration": 20})
    ...     store.load()
    ({}, {'iteration': 20})
    """

    def __init__(self, folder: Path, stage: str, run: str, *, depends: Mapping[str, Any]) -> None:
        self._depends = dict(depends)
        self.key = hashlib.sha256(json.dumps(self._depends, sort_keys=True).encode()).hexdigest()[:16]
        self._run = folder / stage / run
        self.folder = self._run / self.key
        self._lock = folder / stage / f"{run}.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run's lock, which one process at a time can have. The kernel frees it however the process ends."""
        while True:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print(f"waiting for another process that works on {self._run.name}", file=sys.stderr, flush=True)
                    fcntl.flock(file, fcntl.LOCK_EX)
                if not _is(file.fileno(), self._lock):
                    continue  # the process that had the lock has removed the file
                try:
                    yield
                finally:
                    self._lock.unlink(missing_ok=True)
                return

    def load(self) -> Checkpoint | None:
        """Read the newest checkpoint that is not damaged.

        Returns
        -------
        Checkpoint or None
            Arrays and record; None if there is no checkpoint of these settings and this code.

        Raises
        ------
        OSError
            If a checkpoint cannot be read now, as when a mount is gone: an older one would repeat work.
        """
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
        """Return the record of the newest readable checkpoint without its arrays; an empty one if there is none."""
        return _newest(self.folder)

    def save(self, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> None:
        """Write a checkpoint, keep the one before it, and remove older ones."""
        files = self._files()
        number = int(files[-1].stem) + 1 if files else 0
        record = {"depends": self._depends, **record}
        # Not read back after writing: a process that is asked to end has seconds, and the checkpoint before is there.
        storage.save_arrays(self.folder / f"{number:08d}.safetensors", arrays, record, read_back=False)
        for path in files[:-1]:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the run's checkpoints in this stage, as the function does."""
        remove(self._run)

    def _files(self) -> list[Path]:
        return _whole(self.folder)


def remove(run: Path, *, ended: bool = False) -> None:
    """Remove the checkpoints of a run in a stage, also those of other settings and code. Other files there stay.

    Parameters
    ----------
    run : Path
        Their folder, ``checkpoints/<stage>/<run>``.
    ended : bool
        True to keep those of a run that has not ended, by these settings or by others.
    """
    for folder in run.glob("*"):
        if _KEY.fullmatch(folder.name) and folder.is_dir() and not (ended and _newest(folder).get("outcome") is None):
            for path in [*folder.glob("*.safetensors"), *folder.glob(".sgdtails-*.safetensors")]:
                if _CHECKPOINT.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # it holds a file of the user's
                folder.rmdir()
    with suppress(OSError):
        run.rmdir()


def _whole(folder: Path) -> list[Path]:
    """List the checkpoints of one digest, the oldest first."""
    return sorted(path for path in folder.glob("*.safetensors") if path.stem.isdecimal())


def _newest(folder: Path) -> dict[str, Any]:
    """Read the record of the newest readable checkpoint of one digest; an empty one if there is none."""
    for path in reversed(_whole(folder)):
        try:
            return storage.read_record(path)
        except (InputError, OSError):  # damaged, or gone since
            continue
    return {}


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
