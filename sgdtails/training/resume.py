"""Jobs that resume: they take runs to their end from their checkpoints, wherever an earlier job has stopped."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sgdtails.config import batches
from sgdtails.errors import InputError, out_of_memory
from sgdtails.io import storage
from sgdtails.training.checkpointer import FileCheckpointer, Stores
from sgdtails.training.checkpoints import Arrays, Checkpoint, CheckpointStore
from sgdtails.training.context import TrainingContext
from sgdtails.training.settings import RunSettings


def checkpoint_stores(stage: str, settings: Mapping[str, RunSettings], smk: Any, *files: Mapping[str, str]) -> Stores:
    """Return where the checkpoints of a job's runs are: in the study of the job's outputs.

    Parameters
    ----------
    stage : str
        ``train`` or ``average``.
    settings : mapping of str to RunSettings
        Settings by run.
    smk : object
        The job as Snakemake describes it.
    *files : mapping of str to str
        Paths by run of files whose contents the runs depend on.

    Returns
    -------
    dict of CheckpointStore
        By run.
    """
    folder = Path(batches.networks(smk)[0].output.row).parents[2] / "checkpoints"
    stores = {}
    for run, values in settings.items():
        inputs = [storage.digest(paths[run]) for paths in files]
        # Another version of torch may compute other last digits.
        depends = {"settings": values.as_dict(), "code": smk.params.code, "inputs": inputs, "torch": version("torch")}
        stores[run] = CheckpointStore(folder, stage, run, depends=depends)
    return stores


@contextmanager
def locked(stores: Stores) -> Iterator[None]:
    """Hold the locks of all runs. Processes take them in the same order, so that none waits for another forever."""
    with ExitStack() as stack:
        for run in sorted(stores):
            stack.enter_context(stores[run].lock())
        yield


def finish_runs(
    advance: Callable[..., None],
    settings: Mapping[str, RunSettings],
    stores: Stores,
    write: Callable[[str, Arrays, dict[str, Any]], None],
) -> None:
    """Take runs to the end of a stage, and write each run's files from its last checkpoint as soon as it has ended.

    Parameters
    ----------
    advance : callable
        Takes runs to their ends; called with settings, stores and ``on_end``.
    settings : mapping of str to RunSettings
        Settings by run.
    stores : mapping of str to CheckpointStore
        Checkpoints by run.
    write : callable
        Writes the files of a run; called with its name, arrays and record.

    Raises
    ------
    InputError
        If a checkpoint turned out to be damaged three times.
    """
    written: set[str] = set()

    def on_end(run: str) -> None:
        loaded = stores[run].load()
        if loaded and loaded[1]["outcome"]:
            write(run, *loaded)
            written.add(run)

    for _ in range(3):
        for run in settings:
            if run not in written and stores[run].record().get("outcome"):  # an earlier job was killed before it wrote
                on_end(run)
        left = [run for run in settings if run not in written]
        if not left:
            return
        advance({run: settings[run] for run in left}, {run: stores[run] for run in left}, on_end=on_end)
    if left := sorted(settings.keys() - written):
        raise InputError(
            f"{stores[left[0]].folder} cannot be read back as it was written; check the disk, then run again."
        )


def already_written(outputs: Any, weights: str, store: CheckpointStore) -> bool:
    """Return whether another process has written a run's files from the same settings, code and inputs.

    That process had the lock before, as a job that outlived its driver. Older files cannot be there: Snakemake removes
    them before a job starts.

    Parameters
    ----------
    outputs : object
        Paths of the run's files, as attributes.
    weights : str
        Name of the file that says what it depends on.
    store : CheckpointStore
        Checkpoints of the run.

    Returns
    -------
    bool
        True if all files are there and this job need not make them.
    """
    paths = vars(outputs)
    if not all(Path(path).exists() for path in paths.values()):
        return False
    try:
        return bool(storage.read_record(paths[weights]).get("depends") == store.key)
    except InputError:
        return False


def _unfinished(stores: Stores) -> dict[str, Checkpoint]:
    """Load the checkpoints of the runs that have not ended; an empty one for a run that begins."""
    loaded = {run: store.load() or ({}, {}) for run, store in stores.items()}
    return {run: checkpoint for run, checkpoint in loaded.items() if checkpoint[1].get("outcome") is None}


Work = Callable[[dict[str, Checkpoint], int, TrainingContext, FileCheckpointer], None]


def advance_unfinished(
    work: Work,
    settings: Mapping[str, RunSettings],
    stores: Stores,
    *,
    dataset: str,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Take the runs that have not ended to their end, with fewer at once each time that memory runs out.

    Parameters
    ----------
    work : callable
        Called with the checkpoints of these runs, ``slots``, the context and the checkpointer. If memory runs out it is
        called again, with the last checkpoints and half the slots.
    settings : mapping of str to RunSettings
        Settings by run, which differ in step size and seed only.
    stores : mapping of str to CheckpointStore
        Checkpoints by run.
    dataset : str
        Path of the prepared dataset.
    slots : int
        Most runs that step side by side.
    minutes : float
        Time between two checkpoints.
    on_end : callable, optional
        Called with the name of each run that ends here, once its checkpoint is on the disk.

    Raises
    ------
    RuntimeError, MemoryError
        If one slot is already too much for the memory.
    """
    shared: tuple[TrainingContext, FileCheckpointer] | None = None  # a job whose runs have ended needs no torch
    while todo := _unfinished(stores):
        if shared is None:
            context = TrainingContext(next(iter(settings.values())), dataset)
            shared = context, FileCheckpointer(stores, minutes, on_end)
        slots = shared[0].used(slots, len(todo))
        try:
            return work(todo, slots, *shared)
        except (RuntimeError, MemoryError) as error:
            if slots == 1 or not out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0][:200]
        # After the except block, because the exception's frames hold all that was allocated.
        print(
            f"out of memory with {slots} slots ({reason}): going on from the last checkpoints with {slots // 2}. Set config "
            "key slots to that to begin with it; on a GPU the last digits of results may differ from those of more slots.",
            file=sys.stderr,
            flush=True,
        )
        slots //= 2
        _release_memory()


def _release_memory() -> None:
    """Return unused memory to the device. Engines and their CUDA graphs refer to each other, so that it takes a collection."""
    gc.collect()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()
