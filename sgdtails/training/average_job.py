"""Averaging jobs: they take converged runs to the ergodic averages of their iterates, from their checkpoints."""

from collections.abc import Callable, Mapping
from functools import partial

from sgdtails.io import storage
from sgdtails.training import resume
from sgdtails.training.checkpointer import FileCheckpointer, Stores, select_group
from sgdtails.training.checkpoints import Arrays, Checkpoint
from sgdtails.training.context import TrainingContext
from sgdtails.training.settings import RunSettings


def average(
    settings: Mapping[str, RunSettings],
    stores: Stores,
    *,
    trained: Mapping[str, str],
    dataset: str,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Average the iterates of converged runs that have not ended. Their results are checkpoints afterwards.

    Parameters
    ----------
    settings : mapping of str to RunSettings
        Settings by run, which differ in step size and seed only.
    stores : mapping of str to CheckpointStore
        Checkpoints by run.
    trained : mapping of str to str
        Paths of files of trained weights, by run.
    dataset, slots, minutes, on_end
        As ``resume.advance_unfinished`` has them.

    Raises
    ------
    Interrupted
        If a signal asks the process to end; the runs are saved.
    """
    work = partial(_average, settings, trained)
    resume.advance_unfinished(work, settings, stores, dataset=dataset, slots=slots, minutes=minutes, on_end=on_end)


def _average(
    settings: Mapping[str, RunSettings],
    trained: Mapping[str, str],
    todo: Mapping[str, Checkpoint],
    slots: int,
    context: TrainingContext,
    checkpointer: FileCheckpointer,
) -> None:
    from sgdtails.runtime.progress import Progress
    from sgdtails.training.average_run import Average, Task
    from sgdtails.training.averaging import average

    runs = []
    for name, (arrays, record) in todo.items():
        run = Average(
            name,
            settings[name].step_size,
            settings[name].seed,
            begin=storage.read_record(trained[name])["iterations"],
            load=partial(_weights, trained[name]),
            **record,
        )
        for group in Average.ARRAYS:
            setattr(run, group, select_group(arrays, group) or None)
        runs.append(run)
    how = context.settings.average
    assert how is not None
    task = Task(context.train, context.test, context.batch_size, context.settings.stop, how)
    with checkpointer:
        average(runs, context.engines(slots), task, checkpointer, Progress(how.burn_in + how.length))


def converged(trained: str) -> bool:
    """Return whether a file of trained weights is of a converged run. Other runs are not averaged.

    Parameters
    ----------
    trained : str
        Path of the file.

    Returns
    -------
    bool
        True if the run has converged.
    """
    return bool(storage.read_record(trained)["status"] == "converged")


def _weights(path: str) -> Arrays:
    return storage.load_arrays(path)[0]
