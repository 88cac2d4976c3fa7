"""Averaging jobs: converged runs brought to their ergodic average, from wherever their checkpoints are."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sgdtails.io import storage
from sgdtails.training import stages

if TYPE_CHECKING:
    from sgdtails.training.averaging import Average

GROUPS = ("state", "sums", "mean")  # of arrays in a checkpoint


def average(
    settings: Mapping[str, stages.Settings],
    store: stages.Store,
    *,
    trained: Mapping[str, str],
    dataset: str,
    slots: int,
    minutes: float,
    on_end: Callable[[str], None] | None = None,
) -> None:
    """Average the iterates of converged runs, whose trained weights are in files ``trained``, as far as they are not finished.

    ``on_end`` is called with the name of each run that comes to its end here, once its checkpoint is on the disk.
    """
    setup = stages.setup(settings, dataset, lambda: stages.Keeper(store, _packed, minutes, on_end))
    stages.while_memory_lasts(store, slots, lambda todo, slots: _average(settings, todo, trained, slots, *setup()))


def _average(
    settings: Mapping[str, stages.Settings],
    todo: Mapping[str, stages.Packed],
    trained: Mapping[str, str],
    slots: int,
    bench: stages.Bench,
    keeper: stages.Keeper,
) -> None:
    from sgdtails.runtime.progress import Progress
    from sgdtails.training import averaging
    from sgdtails.training.gates import Stop

    runs = []
    for name, (arrays, record) in todo.items():
        begin = storage.read_record(trained[name])["iterations"]
        states: dict[str, Any] = {group: stages.group(arrays, group) or None for group in GROUPS}
        runs.append(
            averaging.Average(
                name,
                **stages.steps(settings[name]),
                begin=begin,
                load=partial(_loaded, trained[name]),
                **states,
                **record,
            )
        )
    how = bench.settings["average"]
    with keeper:
        averaging.average(
            runs,
            bench.lanes(slots, len(runs)),
            bench.train,
            bench.test,
            batch_size=bench.batch_size,
            stop=Stop(**bench.settings["stop"]),
            **how,
            keeper=keeper,
            progress=Progress(how["burn_in"] + how["length"]),
        )


def converged(trained: str) -> bool:
    """Whether trained weights are those of a converged run: only these are averaged."""
    return storage.read_record(trained)["status"] == "converged"


def _loaded(trained: str) -> dict[str, Any]:
    return storage.load_arrays(trained)[0]


def _packed(run: "Average") -> stages.Packed:
    return stages.packed(run, GROUPS, ("taken", "gated", "seconds", "outcome"))
