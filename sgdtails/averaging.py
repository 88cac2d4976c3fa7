"""Ergodic averages of SGD iterates, which converge to a multivariate stable law (paper, section 5)."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from sgdtails import evaluation
from sgdtails.data import Split
from sgdtails.errors import Interrupted
from sgdtails.lanes import Lane, State, interleave
from sgdtails.progress import Progress
from sgdtails.training import Keeper, Order, finite

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
    for seats in _groups(runs, lanes):
        placed = [(lane, slot, run) for lane, part in seats for slot, run in enumerate(part)]
        orders = {run.name: Order(len(train), batch_size, run.seed) for _, _, run in placed}
        summing = None
        while (taken := placed[0][2].taken) < burn_in + length:
            begin = time.perf_counter()
            if summing != (taken >= burn_in):
                if summing is not None:
                    _collect(placed, summing=False)
                summing = taken >= burn_in
                _place(placed, summing=summing)
            steps = min(WINDOW, (burn_in + length if summing else burn_in) - taken)
            _advance(seats, orders, steps, keeper)
            for _, _, run in placed:
                run.seconds += (time.perf_counter() - begin) / len(placed)
            progress.report(placed[0][2].name, taken + steps)
            if keeper.interrupted or keeper.due():
                _collect(placed, summing=summing)
                for _, _, run in placed:
                    keeper.save(run)
            if keeper.interrupted:
                raise Interrupted
        _collect(placed, summing=True)
        for lane, slot, run in placed:
            with lane.scope():
                _end(lane, slot, run, test, length)
            keeper.ended(run)


Seats = list[tuple[Lane, list[Average]]]
Placed = list[tuple[Lane, int, Average]]


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
            lane.put(slot, run.state, run.step_size)
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


def _end(lane: Lane, slot: int, run: Average, test: Split, length: int) -> None:
    assert run.state is not None
    assert run.sums is not None
    run.state |= {name: (total / length).astype(run.state[name].dtype) for name, total in run.sums.items()}
    run.sums = None
    if finite(run.state):
        lane.put(slot, run.state, 0.0)
        accuracy = evaluation.evaluate(lane.network(slot), test)[1]
        run.outcome = {"status": "averaged", "average_test_accuracy": accuracy}
    else:
        run.outcome = {"status": "diverged", "average_test_accuracy": None}
