"""What training and averaging jobs do: bring runs to their end, from wherever their checkpoints are, and leave them finished.

A finished run stays a checkpoint until the job makes the run's files of it: Snakemake removes the files of a job that fails.
"""

import dataclasses
import gc
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtails.config import batches, run_ids
from sgdtails.data import datasets as data
from sgdtails.errors import InputError, out_of_memory
from sgdtails.io import storage
from sgdtails.runtime import devices
from sgdtails.training.checkpoints import Arrays, Checkpoints

if TYPE_CHECKING:
    from torch import nn

    from sgdtails.training.engines.lanes import Lane

Settings = Mapping[str, Any]  # a rule's parameter ``settings``: the run, its model, device and precision, and more
Store = Mapping[str, Checkpoints]  # by run
Packed = tuple[Arrays, dict[str, Any]]  # a run as arrays and record


class Keeper:
    """Saves runs: every so many minutes, when a signal asks the process to end, and at their end.

    Where saving takes long, it is done so much more rarely that it stays below SHARE of the time. One thread writes all
    checkpoints, in the order in which they come. Ended runs are not waited for while at most WAITING of them are on their
    way to the disk: what goes wrong there is raised at the next gate, or by the end of the block ``with keeper``, which waits
    for all. The same thread calls ``on_end`` with the name of each ended run once it is safely on the disk.
    """

    SHARE = 0.02
    WAITING = 2

    def __init__(
        self,
        store: Store,
        pack: Callable[[Any], Packed],
        minutes: float,
        on_end: Callable[[str], None] | None = None,
    ) -> None:
        self._store, self._pack, self._seconds, self._on_end = store, pack, 60 * minutes, on_end
        self._last, self._spent = time.monotonic(), 0.0
        self._writer = ThreadPoolExecutor(1)
        self._ends: deque[Future[None]] = deque()
        self.interrupted = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: object) -> None:
        self.interrupted = True

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *_: object) -> None:
        wait(self._ends)  # for all, also where one has failed
        self._settle(0)

    def due(self) -> bool:
        self._settle(self.WAITING)
        if time.monotonic() - self._last < max(self._seconds, self._spent / self.SHARE):
            return False
        self._last, self._spent = time.monotonic(), 0.0
        return True

    def save(self, run: Any) -> None:
        begin = time.monotonic()
        self._writer.submit(self._store[run.name].save, *self._pack(run)).result()
        self._spent += time.monotonic() - begin

    def ended(self, run: Any) -> None:
        self._settle(self.WAITING - 1)
        self._ends.append(self._writer.submit(self._end, run.name, *self._pack(run)))
        run.release()

    def _end(self, name: str, arrays: Arrays, record: dict[str, Any]) -> None:
        self._store[name].save(arrays, record)
        if self._on_end:
            self._on_end(name)

    def _settle(self, most: int) -> None:
        """Wait while more than ``most`` ended runs are not on the disk, and raise what went wrong."""
        while self._ends and (len(self._ends) > most or self._ends[0].done()):
            self._ends.popleft().result()


def of_run(common: Settings, run: str) -> dict[str, Any]:
    """The settings of a run: those that a job's runs have in common, and what the run's id says."""
    return {**common, "run": {"run": run, **common["run"], **run_ids.steps(run)}}


def store(stage: str, settings: Mapping[str, Settings], smk: Any, *files: Mapping[str, str]) -> Store:
    """Checkpoints of runs, by name: in the study of a job's outputs, of its code, from ``files`` by run."""
    folder = Path(batches.networks(smk)[0].output.row).parents[2] / "checkpoints"
    checkpoints = {}
    for run, values in settings.items():
        inputs = [storage.digest(paths[run]) for paths in files]
        # Another torch may compute another last digit.
        depends = {"settings": values, "code": smk.params.code, "inputs": inputs, "torch": version("torch")}
        checkpoints[run] = Checkpoints(folder, stage, run, depends=depends)
    return checkpoints


def limits(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a job takes from the config that changes no result."""
    return {"slots": config["slots"], "minutes": config["checkpoint_minutes"]}


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """No other process works on these runs; in an order that cannot deadlock."""
    with ExitStack() as stack:
        for run in sorted(store):
            stack.enter_context(store[run].lock())
        yield


Bring = Callable[..., None]  # called with settings, store and on_end: brings these runs to their ends


def through(
    bring: Bring, settings: Mapping[str, Settings], store: Store, write: Callable[[str, Arrays, dict[str, Any]], None]
) -> None:
    """Bring runs to the end of a stage, and ``write`` each as soon as it has ended, from its last checkpoint.

    What was damaged in between is done again, up to three times; then InputError.
    """
    written: set[str] = set()

    def on_end(run: str) -> None:
        loaded = store[run].load()
        if loaded and loaded[1]["outcome"]:
            write(run, *loaded)
            written.add(run)

    for _ in range(3):
        for run in settings:
            if run not in written and store[run].record().get("outcome"):  # a job that was killed has left it
                on_end(run)
        left = [run for run in settings if run not in written]
        if not left:
            return
        bring({run: settings[run] for run in left}, {run: store[run] for run in left}, on_end=on_end)
    if left := sorted(settings.keys() - written):
        raise InputError(
            f"{store[left[0]].folder} cannot be read back as it was written; check the disk, then run again."
        )


def written(outputs: Any, weights: str, checkpoints: Checkpoints) -> bool:
    """Whether the process that had the lock before has written a run's files, of the same settings, code and inputs.

    It may be a job that outlived its driver. Snakemake removes the files before a job starts, so they are not older ones.
    ``outputs`` has the paths by name; those of ``weights`` say what they depend on.
    """
    paths = vars(outputs)
    if not all(Path(path).exists() for path in paths.values()):
        return False
    try:
        return storage.read_record(paths[weights]).get("depends") == checkpoints.key
    except InputError:
        return False


def group(arrays: Arrays, name: str) -> Arrays:
    """The arrays of one group of a checkpoint (state, sums or mean), by their own names."""
    return {key.partition("/")[2]: array for key, array in arrays.items() if key.partition("/")[0] == name}


class Bench:
    """Device, data and networks for runs whose settings differ in step size and seed alone."""

    def __init__(self, settings: Settings, dataset: str) -> None:
        self.settings, self.batch_size = settings, settings["run"]["batch_size"]
        device = devices.select(settings["device"], settings["precision"], settings["threads"])
        read = data.read(dataset)
        self._shape, self._classes = read.shape, len(read.classes)
        self.train, self.test = data.splits(read, device)

    def model(self, seed: int = 0) -> "nn.Module":
        from sgdtails.models import building as models

        name = self.settings["run"]["model"]
        return models.build(name, self._shape, self._classes, {name: self.settings["model"]}, seed=seed)

    def lanes(self, slots: int, runs: int) -> "list[Lane]":
        """Lanes for so many runs, at most ``slots`` of them at once."""
        from sgdtails.training.engines import lane_builder
        from sgdtails.training.engines.updates import Sgd

        sgd = Sgd(**{field.name: self.settings["run"][field.name] for field in dataclasses.fields(Sgd)})
        if not self.train.labels.is_cuda:  # on a GPU the number of slots decides the last bits
            slots = min(slots, runs)
        spec, size = self.settings["model"], self.batch_size
        return lane_builder.build(spec, self.model, self.train, batch_size=size, slots=slots, sgd=sgd)


def setup(
    settings: Mapping[str, Settings], dataset: str, keeper: Callable[[], Keeper]
) -> Callable[[], tuple[Bench, Keeper]]:
    """Bench and keeper of runs that share a job, made when first asked for: a job whose runs are finished needs no torch."""
    return cache(lambda: (Bench(next(iter(settings.values())), dataset), keeper()))


def unfinished(store: Store) -> dict[str, Packed]:
    """The runs that are not finished, with what their checkpoints hold: nothing at first."""
    loaded = {run: checkpoints.load() or ({}, {}) for run, checkpoints in store.items()}
    return {run: packed for run, packed in loaded.items() if packed[1].get("outcome") is None}


def while_memory_lasts(store: Store, slots: int, work: Callable[[dict[str, Packed], int], None]) -> None:
    """Call ``work`` with the unfinished runs and ``slots``; again with half as many each time that memory runs out.

    Runs then go on from their last checkpoints. What one slot has no room for is raised as it is.
    """
    while todo := unfinished(store):
        try:
            return work(todo, slots)
        except (RuntimeError, MemoryError) as error:
            if slots == 1 or not out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0][:200]
        # Only now: the exception's frames hold all that was allocated.
        print(
            f"out of memory with {slots} slots ({reason}): going on from the last checkpoints with {slots // 2}. Set config "
            "key slots to that to begin with it; on a GPU the last digits of results may differ from those of more slots.",
            file=sys.stderr,
            flush=True,
        )
        slots //= 2
        _release()


def _release() -> None:
    """Give back what nothing uses any more: lanes and their graphs refer to each other."""
    gc.collect()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def steps(settings: Settings) -> dict[str, Any]:
    """In what runs of one job differ."""
    return {key: settings["run"][key] for key in ("step_size", "seed")}


def packed(run: Any, groups: tuple[str, ...], fields: tuple[str, ...]) -> Packed:
    """A run's groups of arrays, as ``group/name``, and its other fields."""
    arrays = {f"{g}/{name}": array for g in groups for name, array in (getattr(run, g) or {}).items()}
    return arrays, {field: getattr(run, field) for field in fields}
