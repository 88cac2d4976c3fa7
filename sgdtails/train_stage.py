"""Training jobs: runs brought to the stop rule, from wherever their checkpoints are."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sgdtails import stages

if TYPE_CHECKING:
    from sgdtails.lanes import State
    from sgdtails.training import Run


def train(
    settings: Mapping[str, stages.Settings],
    store: stages.Store,
    dataset: str,
    *,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Train runs equal but for step size and seed, by name, as far as they are not finished.

    ``on_end`` is called with the name of each run that comes to its end here, once its checkpoint is on the disk.
    """
    setup = stages.setup(settings, dataset, lambda: stages.Keeper(store, _packed, minutes, on_end))
    stages.while_memory_lasts(store, slots, lambda todo, slots: _train(settings, todo, slots, *setup()))


def initial(settings: stages.Settings, dataset: str) -> "State":
    """The weights that a run begins with."""
    from sgdtails import data, models

    read, name, seed = data.read(dataset), settings["run"]["model"], settings["run"]["seed"]
    return models.state(models.build(name, read.shape, len(read.classes), {name: settings["model"]}, seed=seed))


def layer_keys(settings: stages.Settings, dataset: str, state: Iterable[str]) -> list[str]:
    """The keys of a network's ``state`` that are its layers, the head last: of networks of ours all of them."""
    spec = settings["model"]
    if "factory" not in spec:
        return list(state)
    from sgdtails import data, models

    read, name = data.read(dataset), settings["run"]["model"]
    model = models.build(name, read.shape, len(read.classes), {name: spec})
    return models.layer_keys(name, spec, model, read.shape, len(read.classes))


def _train(
    settings: Mapping[str, stages.Settings],
    todo: Mapping[str, stages.Packed],
    slots: int,
    bench: stages.Bench,
    keeper: stages.Keeper,
) -> None:
    from sgdtails import models, training
    from sgdtails.progress import Progress

    runs = []
    for name, (arrays, record) in todo.items():
        state = stages.group(arrays, "state") or None
        runs.append(training.Run(name, **stages.steps(settings[name]), state=state, **record))
    task = training.Task(
        bench.train,
        bench.test,
        batch_size=bench.batch_size,
        stop=training.Stop(**bench.settings["stop"]),
        initial=lru_cache(8)(lambda seed: models.state(bench.model(seed))),
    )
    fleet = training.Fleet(bench.lanes(slots, len(runs)), task, keeper, Progress(task.stop.budget))
    with keeper:
        fleet.train(runs)


def _packed(run: "Run") -> stages.Packed:
    return stages.packed(run, ("state",), ("iteration", "gated", "history", "seconds", "outcome"))
