"""Averaging jobs: converged runs brought to their ergodic average, from wherever their checkpoints are."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sgdtails import stages, storage

if TYPE_CHECKING:
    from sgdtails.averaging import Average


def average(
    settings: Mapping[str, stages.Settings],
    store: stages.Store,
    dataset: str,
    finals: Mapping[str, str],
    *,
    slots: int,
    minutes: float,
) -> None:
    """Average the iterates of converged runs, whose trained weights are in files ``finals``, as far as they are not finished."""
    setup = stages.setup(settings, dataset, lambda: stages.Keeper(store, _packed, minutes))
    stages.while_memory_lasts(store, slots, lambda todo, slots: _average(settings, todo, finals, slots, *setup()))


def _average(
    settings: Mapping[str, stages.Settings],
    todo: Mapping[str, stages.Packed],
    finals: Mapping[str, str],
    slots: int,
    bench: stages.Bench,
    keeper: stages.Keeper,
) -> None:
    from sgdtails import averaging
    from sgdtails.progress import Progress

    runs = []
    for name, (arrays, record) in todo.items():
        begin = storage.read_record(finals[name])["iterations"]
        states: dict[str, Any] = {
            "state": stages.group(arrays, "state") or None,
            "sums": stages.group(arrays, "sums") or None,
        }
        runs.append(
            averaging.Average(
                name,
                **stages.steps(settings[name]),
                begin=begin,
                load=partial(_trained, finals[name]),
                **states,
                **record,
            )
        )
    length = bench.settings["average"]
    averaging.average(
        runs,
        bench.lanes(slots, len(runs)),
        bench.train,
        bench.test,
        batch_size=bench.batch_size,
        **length,
        keeper=keeper,
        progress=Progress(sum(length.values())),
    )


def converged(final: str) -> bool:
    """Whether trained weights are those of a converged run: only these are averaged."""
    return storage.read_record(final)["status"] == "converged"


def _trained(final: str) -> dict[str, Any]:
    return storage.load_arrays(final)[0]


def _packed(run: "Average") -> stages.Packed:
    return stages.packed(run, ("state", "sums"), ("taken", "seconds", "outcome"))
