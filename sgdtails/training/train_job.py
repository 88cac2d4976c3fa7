"""Training jobs: they take runs to the stop rule from their checkpoints, or from their initial weights."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from sgdtails.io import storage
from sgdtails.training import resume
from sgdtails.training.checkpointer import FileCheckpointer, Stores, select_group
from sgdtails.training.checkpoints import Arrays, Checkpoint
from sgdtails.training.context import TrainingContext
from sgdtails.training.settings import RunSettings


def train(
    settings: Mapping[str, RunSettings],
    stores: Stores,
    *,
    initial: Mapping[str, str],
    dataset: str,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Train the runs that have not ended. Their results are checkpoints afterwards.

    Parameters
    ----------
    settings : mapping of str to RunSettings
        Settings by run, which differ in step size and seed only.
    stores : mapping of str to CheckpointStore
        Checkpoints by run.
    initial : mapping of str to str
        Paths of files of initial weights, by run.
    dataset, slots, minutes, on_end
        As ``resume.advance_unfinished`` has them.

    Raises
    ------
    Interrupted
        If a signal asks the process to end; the runs are saved.
    """
    work = partial(_train, settings, initial)
    resume.advance_unfinished(work, settings, stores, dataset=dataset, slots=slots, minutes=minutes, on_end=on_end)


def _train(
    settings: Mapping[str, RunSettings],
    initial: Mapping[str, str],
    todo: Mapping[str, Checkpoint],
    slots: int,
    context: TrainingContext,
    checkpointer: FileCheckpointer,
) -> None:
    from sgdtails.runtime.progress import Progress
    from sgdtails.training.trainer import Run, Task, Trainer

    by_seed = {settings[name].seed: initial[name] for name in todo}

    @lru_cache(8)
    def initial_weights(seed: int) -> Arrays:
        return storage.load_arrays(by_seed[seed])[0]

    runs = [
        Run(
            name,
            settings[name].step_size,
            settings[name].seed,
            state=select_group(arrays, "state") or None,
            **record,
        )
        for name, (arrays, record) in todo.items()
    ]
    stop = context.settings.stop
    snapshots = context.settings.snapshots
    layers = storage.read_record(next(iter(initial.values())))["layers"] if snapshots else None
    task = Task(context.train, context.test, context.batch_size, stop, initial_weights, snapshots, layers)
    with checkpointer:
        Trainer(context.engines(slots), task, checkpointer, Progress(stop.budget)).train(runs)
