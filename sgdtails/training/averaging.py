"""Ergodic averages of SGD iterates, which converge to a multivariate stable law (paper, section 5), and the last iterate.

The published networks are those at the end of the averaging, or at the first gate after it where they are still converged.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch

from sgdtails.data.datasets import Split
from sgdtails.errors import Interrupted
from sgdtails.runtime.progress import Progress
from sgdtails.schemas.run_schemas import AVERAGES
from sgdtails.training import evaluation
from sgdtails.training.engines.lanes import Lane, State, close_up, interleave
from sgdtails.training.engines.updates import weights
from sgdtails.training.gates import Gate, Stop
from sgdtails.training.trainer import Keeper, Order, finite, largest_norm, number

WINDOW = 200  # steps between two looks at the clock


@dataclass
class Average:
    """One converged run on its way to its average: it goes on from iteration ``begin``, a gate, and the state that ``load`` gives.

    ``taken`` steps have been taken since. ``state`` and, once the burn-in is over, ``sums`` are what a slot held when that was
    last asked for, and None while it holds newer ones; ``mean`` is there once all iterates are averaged; ``gated`` is the value
    of ``taken`` at the last look at the training set. At the end ``state`` is the last iterate and ``outcome`` has status
    (averaged or diverged) and the columns ``run_schemas.AVERAGES``.
    """

    name: str
    step_size: float
    seed: int
    begin: int
    load: Callable[[], State]
    state: State | None = None
    taken: int = 0
    sums: State | None = None
    mean: State | None = None
    gated: int = -1
    seconds: float = 0.0
    outcome: dict[str, Any] | None = None

    def release(self) -> None:
        """Let go of the arrays."""
        self.state = self.sums = self.mean = None


def average(
    runs: Iterable[Average],
    lanes: Sequence[Lane],
    train: Split,
    test: Split,
    *,
    batch_size: int,
    stop: Stop,
    burn_in: int,
    length: int,
    until_converged: bool,
    keeper: Keeper[Average],
    progress: Progress,
) -> None:
    """Take ``burn_in`` SGD steps from each run's state, then ``length`` more whose iterates are averaged.

    The iterate after them is the last one. ``until_converged``: it is, if the stop rule is met there, else SGD goes on and
    the last iterate is that of the first gate where the rule is met, or of the first at or after the budget (in all).
    Sums are kept in float64. Buffers that are not floating point (counters) stay as they are when the averaging ends.
    Interrupted as soon as the keeper says so.
    """
    runs = list(runs)
    work = _Work(train, test, batch_size, stop, burn_in, length, until_converged, keeper, progress)
    _each(_through, [run for run in runs if run.mean is None], lanes, work)
    _each(_onward, [run for run in runs if run.outcome is None], lanes, work)


Seats = list[tuple[Lane, list[Average]]]
Placed = list[tuple[Lane, int, Average]]


@dataclass(frozen=True)
class _Work:
    train: Split
    test: Split
    batch_size: int
    stop: Stop
    burn_in: int
    length: int
    until_converged: bool
    keeper: Keeper[Average]
    progress: Progress

    @cached_property
    def reach(self) -> float:
        return largest_norm(self.train)

    def orders(self, placed: Placed) -> dict[str, Order]:
        return {run.name: Order(len(self.train), self.batch_size, run.seed) for _, _, run in placed}

    def gates(self, placed: Placed) -> dict[str, Gate]:
        gates = {}
        for lane, _, run in placed:
            with lane.scope():
                gates[run.name] = Gate(self.train, self.stop, self.reach)
        return gates


def _each(bring: Callable[[Seats, _Work], None], runs: list[Average], lanes: Sequence[Lane], work: _Work) -> None:
    """Bring runs on, as many at once as there are slots; if Interrupted is raised, they are saved. ``seats`` are kept up to date."""
    for seats in _groups(runs, lanes):
        try:
            bring(seats, work)
        except Interrupted:
            _save(_placed(seats), work)
            raise


def _through(seats: Seats, work: _Work) -> None:
    """Bring runs that are equally far to their averages, and those to their ends whose last iterate this is."""
    placed = _placed(seats)
    orders = work.orders(placed)
    summing = placed[0][2].taken >= work.burn_in
    _place(placed, summing=summing)
    if not summing:
        _advance(seats, orders, work.burn_in, work)
        for lane, _ in seats:
            with lane.scope():
                lane.accumulate(True)
    _advance(seats, orders, work.burn_in + work.length, work)
    for lane, slot, run in placed:
        _collect(lane, slot, run, work)
        run.mean, run.sums = _mean(run, work.length), None
    _look(placed, work.gates(placed), work)
    for _, _, run in placed:
        if run.outcome is None:
            work.keeper.save(run)  # others come before it goes on


def _onward(seats: Seats, work: _Work) -> None:
    """Take runs with an average that are equally far from gate to gate, until each has its last iterate."""
    gates, orders = work.gates(_placed(seats)), work.orders(_placed(seats))
    gate = work.stop.gate
    work.progress.extend(max(work.stop.budget - min(run.begin for _, part in seats for run in part), 0))
    _place(_placed(seats), summing=False)
    while seats:
        placed = _placed(seats)
        taken = placed[0][2].taken
        at_gate = taken == work.burn_in + work.length or taken % gate == 0
        if at_gate and any(run.gated != taken for _, _, run in placed):
            _look(placed, gates, work)
            for lane, part in seats:
                close_up(lane, part, lambda run: run.outcome is None)
            seats[:] = [(lane, part) for lane, part in seats if part]
        else:
            _advance(seats, orders, taken - taken % gate + gate, work)


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


def _placed(seats: Seats) -> Placed:
    return [(lane, slot, run) for lane, part in seats for slot, run in enumerate(part)]


def _place(placed: Placed, *, summing: bool) -> None:
    """Into their slots: sums begin, or go on."""
    for lane, slot, run in placed:
        with lane.scope():
            if slot == 0:
                lane.accumulate(summing)
            state = run.state or run.load()
            lane.put(slot, state, run.step_size, [run.seed, run.begin])  # noise other than in training
            if summing and run.sums is not None:
                lane.put_sums(slot, run.sums)
            run.state = run.sums = None


def _advance(seats: Seats, orders: Mapping[str, Order], end: int, work: _Work) -> None:
    """Take steps until ``end`` have been taken; at times, save."""
    keeper, placed = work.keeper, _placed(seats)
    first = placed[0][2]
    while first.taken < end:
        begin = time.perf_counter()
        _step(seats, orders, min(WINDOW, end - first.taken), keeper)
        for _, _, run in placed:
            run.seconds += (time.perf_counter() - begin) / len(placed)
        work.progress.report(first.name, first.taken)
        if keeper.interrupted:
            raise Interrupted
        if keeper.due():
            _save(placed, work)


def _step(seats: Seats, orders: Mapping[str, Order], steps: int, keeper: Keeper[Average]) -> None:
    work = []
    for lane, part in seats:
        taking = [orders[run.name].take(run.begin + run.taken, steps) for run in part]
        work.append((lane, torch.stack(taking, dim=1)))
    done = interleave(work, lambda: keeper.interrupted)
    for (_, part), count in zip(seats, done, strict=True):
        for run in part:
            run.taken += count


def _collect(lane: Lane, slot: int, run: Average, work: _Work) -> None:
    """From its slot what this alone holds."""
    if run.state is None:
        with lane.scope():
            run.state = lane.get(slot)
            run.sums = lane.sum_of(slot) if run.mean is None and run.taken > work.burn_in else None


def _save(placed: Placed, work: _Work) -> None:
    """Runs that have not ended; they stay in their slots."""
    for lane, slot, run in placed:
        if run.outcome is None:
            _collect(lane, slot, run, work)
            work.keeper.save(run)
            run.state = run.sums = None


def _mean(run: Average, length: int) -> State:
    assert run.state is not None
    assert run.sums is not None
    means = {name: np.asarray(total / length, run.state[name].dtype) for name, total in run.sums.items()}
    return weights(run.state) | means


def _look(placed: Placed, gates: Mapping[str, Gate], work: _Work) -> None:
    """Look at the training set; runs whose last iterate this is end."""
    begin = time.perf_counter()
    found = [_judged(lane, slot, run, gates[run.name], work) for lane, slot, run in placed]
    for _, _, run in placed:
        run.seconds += (time.perf_counter() - begin) / len(placed)
    for (lane, slot, run), measured in zip(placed, found, strict=True):
        if measured is None:
            run.gated = run.taken
        else:
            _collect(lane, slot, run, work)
            with lane.scope():
                _end(lane, slot, run, measured, work)
            work.keeper.ended(run)


def _judged(lane: Lane, slot: int, run: Average, gate: Gate, work: _Work) -> tuple[float, float] | None:
    """Mean NLL and accuracy on the training set if this is a run's last iterate, else None."""
    final = not work.until_converged or run.begin + run.taken >= work.stop.budget
    with lane.scope():
        network = _network(lane, slot, work)
        if not final and gate.proof(network, gate.look(network, lane.growth(slot)).tolist()):
            return None
        nll, accuracy = gate.pass_over(network)
    return (nll, accuracy) if final or work.stop.met(nll, accuracy) or not np.isfinite(nll) else None


def _end(lane: Lane, slot: int, run: Average, measured: tuple[float, float], work: _Work) -> None:
    assert run.state is not None
    assert run.mean is not None
    nll, accuracy = measured
    last = weights(run.state)
    if np.isfinite(nll) and bool(lane.finite(slot)) and finite(run.mean):
        test_nll, test_accuracy = evaluation.evaluate(_network(lane, slot, work), work.test)
        lane.put(slot, run.mean, 0.0)
        outcome = {
            "status": "averaged",
            "average_test_accuracy": evaluation.evaluate(_network(lane, slot, work), work.test)[1],
            "last_iterations": run.begin + run.taken,
            "last_converged": work.stop.met(nll, accuracy),
            "last_train_nll": nll,
            "last_train_accuracy": accuracy,
            "last_test_nll": number(test_nll),
            "last_test_accuracy": test_accuracy,
        }
    else:
        outcome = {"status": "diverged"} | dict.fromkeys(name for name, *_ in AVERAGES)
    run.state, run.outcome = last, outcome


def _network(lane: Lane, slot: int, work: _Work) -> evaluation.Network:
    return evaluation.stoppable(lane.network(slot), lambda: work.keeper.interrupted)
