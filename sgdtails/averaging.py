"""Ergodic averages of SGD iterates, which converge to a multivariate stable law (paper, section 5)."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from sgdtails import evaluation
from sgdtails.data import Split
from sgdtails.errors import Interrupted
from sgdtails.lanes import Lane, State, interleave
from sgdtails.progress import Progress
from sgdtails.training import Keeper, Order, finite, stoppable
from sgdtails.updates import weights

WINDOW = 200  # steps between two looks at the clock


@dataclass
class Average:
    """One converged run on its way to its average: it goes on from iteration ``begin`` and the state that ``load`` gives.

    ``taken`` steps have been taken since, ``sums`` are there once the burn-in is over. At the end ``state`` is the mean and
    ``outcome`` has status (averaged or diverged) and average_test_accuracy.
    """

    name: str
    step_size: float
    seed: int
    begin: int
    load: Callable[[], State]
    state: State | None = None
    taken: int = 0
    sums: State | None = None
    seconds: float = 0.0
    outcome: dict[str, Any] | None = None

    def release(self) -> None:
        """Let go of the arrays."""
        self.state = self.sums = None


def average(
    runs: Iterable[Average],
    lanes: Sequence[Lane],
    train: Split,
    test: Split,
    *,
    batch_size: int,
    burn_in: int,
    length: int,
    keeper: Keeper[Average],
    progress: Progress,
) -> None:
    """Take ``burn_in`` SGD steps from each run's state, then ``length`` more whose iterates are averaged.

    Sums are kept in float64. Buffers that are not floating point (counters) stay as the last iterate has them.
    Interrupted as soon as the keeper says so.
    """
    work = _Work(train, test, batch_size, burn_in, length, keeper, progress)
    for seats in _groups(runs, lanes):
        placed = [(lane, slot, run) for lane, part in seats for slot, run in enumerate(part)]
        try:
            _through(seats, placed, work)
        except Interrupted:
            for _, _, run in placed:
                if run.outcome is None:
                    keeper.save(run)
            raise


Seats = list[tuple[Lane, list[Average]]]
Placed = list[tuple[Lane, int, Average]]


@dataclass(frozen=True)
class _Work:
    train: Split
    test: Split
    batch_size: int
    burn_in: int
    length: int
    keeper: Keeper[Average]
    progress: Progress


def _through(seats: Seats, placed: Placed, work: _Work) -> None:
    """Bring runs that are equally far to their ends; if Interrupted is raised, their arrays are up to date."""
    keeper, total = work.keeper, work.burn_in + work.length
    orders = {run.name: Order(len(work.train), work.batch_size, run.seed) for _, _, run in placed}
    taken = placed[0][2].taken
    summing = taken >= work.burn_in
    _place(placed, summing=summing)
    while taken < total:
        begin = time.perf_counter()
        if not summing and taken == work.burn_in:
            _collect(placed, summing=False)
            summing = True
            _place(placed, summing=True)
        _advance(seats, orders, min(WINDOW, (total if summing else work.burn_in) - taken), keeper)
        for _, _, run in placed:
            run.seconds += (time.perf_counter() - begin) / len(placed)
        taken = placed[0][2].taken
        work.progress.report(placed[0][2].name, taken)
        if keeper.interrupted or keeper.due():
            _collect(placed, summing=summing)
            if keeper.interrupted:
                raise Interrupted
            for _, _, run in placed:
                keeper.save(run)
    _collect(placed, summing=True)
    for lane, slot, run in placed:
        with lane.scope():
            _end(lane, slot, run, work)
        keeper.ended(run)


def _groups(runs: Iterable[Average], lanes: Sequence[Lane]) -> Iterator[Seats]:
    """As many runs at once as there are slots, all of them equally far."""
    for _, equal in groupby(sorted(runs, key=lambda run: run.taken), key=lambda run: run.taken):
        waiting = list(equal)
        while waiting:
            seats: Seats = []
            for lane in lanes:
                part, waiting = waiting[: lane.slots], waiting[lane.slots :]
                if part:
                    seats.append((lane, part))
            yield seats


def _place(placed: Placed, *, summing: bool) -> None:
    """Into their slots, from their slots if they were there before: sums begin, or go on."""
    for lane, slot, run in placed:
        with lane.scope():
            if slot == 0:
                lane.accumulate(summing)
            run.state = run.state or run.load()
            lane.put(slot, run.state, run.step_size, [run.seed, run.begin])  # noise other than in training
            if summing and run.sums is not None:
                lane.put_sums(slot, run.sums)


def _advance(seats: Seats, orders: dict[str, Order], steps: int, keeper: Keeper[Average]) -> None:
    work = []
    for lane, part in seats:
        taking = [orders[run.name].take(run.begin + run.taken, steps) for run in part]
        work.append((lane, torch.stack(taking, dim=1)))
    done = interleave(work, lambda: keeper.interrupted)
    for (_, part), count in zip(seats, done, strict=True):
        for run in part:
            run.taken += count


def _collect(placed: Placed, *, summing: bool) -> None:
    for lane, slot, run in placed:
        with lane.scope():
            run.state = lane.get(slot)
            run.sums = lane.sum_of(slot) if summing else None


def _end(lane: Lane, slot: int, run: Average, work: _Work) -> None:
    assert run.state is not None
    assert run.sums is not None
    mean = weights(run.state) | {
        name: np.asarray(total / work.length, run.state[name].dtype) for name, total in run.sums.items()
    }
    if finite(mean):
        lane.put(slot, mean, 0.0)
        network = stoppable(lane.network(slot), lambda: work.keeper.interrupted)
        accuracy = evaluation.evaluate(network, work.test)[1]
        run.outcome = {"status": "averaged", "average_test_accuracy": accuracy}
    else:
        run.outcome = {"status": "diverged", "average_test_accuracy": None}
    run.state, run.sums = mean, None
