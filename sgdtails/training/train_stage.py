"""Training jobs: runs brought to the stop rule, from wherever their checkpoints are."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sgdtails.io import storage
from sgdtails.training import stages

if TYPE_CHECKING:
    from sgdtails.training.trainer import Run


def train(
    settings: Mapping[str, stages.Settings],
    store: stages.Store,
    *,
    initial: Mapping[str, str],
    dataset: str,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Train runs equal but for step size and seed, by name, from the weights in files ``initial``, as far as they are not finished.

    ``on_end`` is called with the name of each run that comes to its end here, once its checkpoint is on the disk.
    """
    setup = stages.setup(settings, dataset, lambda: stages.Keeper(store, _packed, minutes, on_end))
    stages.while_memory_lasts(store, slots, lambda todo, slots: _train(settings, todo, initial, slots, *setup()))


def _train(
    settings: Mapping[str, stages.Settings],
    todo: Mapping[str, stages.Packed],
    initial: Mapping[str, str],
    slots: int,
    bench: stages.Bench,
    keeper: stages.Keeper,
) -> None:
    from sgdtails.runtime.progress import Progress
    from sgdtails.training import trainer as training

    runs = []
    for name, (arrays, record) in todo.items():
        state = stages.group(arrays, "state") or None
        runs.append(training.Run(name, **stages.steps(settings[name]), state=state, **record))
    by_seed = {settings[name]["run"]["seed"]: initial[name] for name in todo}
    task = training.Task(
        bench.train,
        bench.test,
        batch_size=bench.batch_size,
        stop=training.Stop(**bench.settings["stop"]),
        initial=lru_cache(8)(lambda seed: storage.load_arrays(by_seed[seed])[0]),
    )
    fleet = training.Fleet(bench.lanes(slots, len(runs)), task, keeper, Progress(task.stop.budget))
    with keeper:
        fleet.train(runs)


def _packed(run: "Run") -> stages.Packed:
    return stages.packed(run, ("state",), ("iteration", "gated", "history", "seconds", "outcome"))
