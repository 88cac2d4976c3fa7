"""Saving runs: in intervals, when a signal asks the process to end, and when a run ends.

A finished run stays a checkpoint until the job writes the run's files from it: Snakemake removes the files of a job that fails.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, ClassVar, Protocol, Self, TypeVar

from sgdtails.training.checkpoints import Arrays, Checkpoint, CheckpointStore

Stores = Mapping[str, CheckpointStore]  # by run
R = TypeVar("R", contravariant=True)


class ResumableRun:
    """A run that a checkpoint can hold: its name, groups of arrays, and other fields."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("state",)  # attributes: arrays by name, or None
    FIELDS: ClassVar[tuple[str, ...]] = ()  # attributes that JSON can hold
    name: str

    def release(self) -> None:
        """Drop the arrays, whose memory other runs need."""
        for group in self.ARRAYS:
            setattr(self, group, None)


def to_checkpoint(run: ResumableRun) -> Checkpoint:
    """Return what a checkpoint of a run holds.

    Parameters
    ----------
    run : ResumableRun
        A run whose arrays are up to date.

    Returns
    -------
    arrays : dict of ndarray
        Its arrays, each under ``group/name``.
    record : dict
        Its other fields.

    Examples
    --------
    >>> import numpy as np
    >>> class Run(ResumableRun):
    ...     name, state, FIELDS, iteration = "a", {"head.weight": np.ones(2)}, ("iteration",), 20
    >>> arrays, record = to_checkpoint(Run())
    >>> arrays, record
    ({'state/head.weight': array([1., 1.])}, {'iteration': 20})
    >>> select_group(arrays, "state")
    {'head.weight': array([1., 1.])}
    """
    arrays = {f"{g}/{name}": array for g in run.ARRAYS for name, array in (getattr(run, g) or {}).items()}
    return arrays, {field: getattr(run, field) for field in run.FIELDS}


def select_group(arrays: Arrays, group: str) -> Arrays:
    """Return one group of a checkpoint's arrays by their own names, which ``to_checkpoint`` has put after the group's.

    Parameters
    ----------
    arrays : dict of ndarray
        Arrays of a checkpoint.
    group : str
        Name of the group: ``state``, ``sums`` or ``mean``.

    Returns
    -------
    dict of ndarray
        The group's arrays; none if the checkpoint does not have the group.
    """
    return {key.partition("/")[2]: array for key, array in arrays.items() if key.partition("/")[0] == group}


class Checkpointer(Protocol[R]):
    """The interface by which training and averaging have their runs saved."""

    @property
    def interrupted(self) -> bool:
        """True if training must save its runs and raise Interrupted as soon as it can."""

    def due(self) -> bool:
        """Return whether a checkpoint is due."""

    def save(self, run: R) -> None:
        """Save a run that has not ended; its arrays are up to date."""

    def ended(self, run: R) -> None:
        """Save a run that has its outcome, and release its arrays."""


class FileCheckpointer:
    """Saves runs to disk: in intervals, when a signal asks the process to end, and at their end.

    Where saving takes long, intervals grow so that it takes at most SHARE of the time. One thread writes all checkpoints,
    in the order in which they come. The caller does not wait for ended runs while at most WAITING of them are being
    written. An error in writing them is raised at the next gate, or at the end of the block ``with checkpointer``, which
    waits for all of them.

    Parameters
    ----------
    stores : mapping of str to CheckpointStore
        Where the checkpoints of each run are.
    minutes : float
        Time between two checkpoints of a run.
    on_end : callable, optional
        The writing thread calls it with the name of each ended run once its checkpoint is safely on the disk.
    """

    SHARE = 0.02
    WAITING = 2

    def __init__(self, stores: Stores, minutes: float, on_end: Callable[[str], None] | None = None) -> None:
        self._stores, self._seconds, self._on_end = stores, 60 * minutes, on_end
        self._last, self._spent = time.monotonic(), 0.0
        self._writer = ThreadPoolExecutor(1)
        self._ends: deque[Future[None]] = deque()
        self.interrupted = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: object) -> None:
        self.interrupted = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        wait(self._ends)  # for all of them, even if one has failed
        self._settle(0)

    def due(self) -> bool:
        """Return whether a checkpoint is due. OSError if an earlier one could not be written."""
        self._settle(self.WAITING)
        if time.monotonic() - self._last < max(self._seconds, self._spent / self.SHARE):
            return False
        self._last, self._spent = time.monotonic(), 0.0
        return True

    def save(self, run: ResumableRun) -> None:
        """Save a run that has not ended, and wait until it is on the disk."""
        begin = time.monotonic()
        self._writer.submit(self._stores[run.name].save, *to_checkpoint(run)).result()
        self._spent += time.monotonic() - begin

    def ended(self, run: ResumableRun) -> None:
        """Save a run that has ended, without waiting for the disk, and release its arrays."""
        self._settle(self.WAITING - 1)
        self._ends.append(self._writer.submit(self._end, run.name, *to_checkpoint(run)))
        run.release()

    def _end(self, name: str, arrays: Arrays, record: dict[str, Any]) -> None:
        self._stores[name].save(arrays, record)
        if self._on_end:
            self._on_end(name)

    def _settle(self, most: int) -> None:
        """Wait until at most ``most`` ended runs are being written, and raise their errors."""
        while self._ends and (len(self._ends) > most or self._ends[0].done()):
            self._ends.popleft().result()
