"""Ergodic averages of SGD iterates, which converge to a multivariate stable law (paper, section 5), and the last iterate.

The last iterate, which is published, is that at the end of the averaging, or at the first gate after it where the run meets
the stop rule again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch

from sgdtails.errors import Interrupted
from sgdtails.runtime.progress import Progress
from sgdtails.schemas.run_schemas import AVERAGES
from sgdtails.training import evaluation
from sgdtails.training.average_run import Average, Task
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.checkpointer import Checkpointer
from sgdtails.training.convergence import ConvergenceCheck, max_input_norm
from sgdtails.training.engines.base import Engine, State, close_up, interleave, is_finite
from sgdtails.training.engines.sgd import weights_only
from sgdtails.training.settings import Row
from sgdtails.training.trainer import finite_or_none

WINDOW = 200  # SGD steps after which a checkpoint may be due


def average(
    runs: Iterable[Average],
    engines: Sequence[Engine],
    task: Task,
    checkpointer: Checkpointer[Average],
    progress: Progress,
) -> None:
    """Take SGD steps from the end of training, average the iterates after a burn-in, and find each run's last iterate.

    The last iterate is that at the end of the average. With ``until_converged``, SGD goes on from there to the first gate
    where the run meets the stop rule, or to the first gate at or after the budget of all its steps. Sums are kept in
    float64. Buffers that are not floating-point numbers (counters) are those at the end of the averaging.

    Parameters
    ----------
    runs : iterable of Average
        The runs.
    engines : sequence of Engine
        They take the SGD steps.
    task : Task
        What the runs share.
    checkpointer : Checkpointer
        Saves the runs.
    progress : Progress
        Prints how far they are.

    Raises
    ------
    Interrupted
        If the checkpointer asks for it; the runs are saved.
    """
    runs = list(runs)
    job = _Job(task, checkpointer, progress)
    _each(_take_average, [run for run in runs if run.mean is None], engines, job)
    _each(_take_last_iterate, [run for run in runs if run.outcome is None], engines, job)


Seats = list[tuple[Engine, list[Average]]]  # engines, and the run of each replica
Placed = list[tuple[Engine, int, Average]]  # engine, replica and run


@dataclass(frozen=True)
class _Job:
    task: Task
    checkpointer: Checkpointer[Average]
    progress: Progress

    @cached_property
    def max_input_norm(self) -> float:
        return max_input_norm(self.task.train)

    def samplers(self, placed: Placed) -> dict[str, BatchSampler]:
        task = self.task
        return {run.name: BatchSampler(len(task.train), task.batch_size, run.seed) for _, _, run in placed}

    def checks(self, placed: Placed) -> dict[str, ConvergenceCheck]:
        checks = {}
        for engine, _, run in placed:
            with engine.scope():
                checks[run.name] = ConvergenceCheck(self.task.train, self.task.stop, self.max_input_norm)
        return checks


def _each(advance: Callable[[Seats, _Job], None], runs: list[Average], engines: Sequence[Engine], job: _Job) -> None:
    """Advance as many runs at a time as there are replicas. Save them if the job is interrupted."""
    for seats in _groups(runs, engines):
        try:
            advance(seats, job)
        except Interrupted:
            _save(_placed(seats), job)
            raise


def _take_average(seats: Seats, job: _Job) -> None:
    """Take runs with equally many steps to their averages. Runs whose last iterate is there end."""
    placed = _placed(seats)
    samplers, burn_in = job.samplers(placed), job.task.averaging.burn_in
    summing = placed[0][2].taken >= burn_in
    _place(placed, summing=summing)
    if not summing:
        _advance(seats, samplers, burn_in, job)
        for engine, _ in seats:
            with engine.scope():
                engine.accumulate(True)
    _advance(seats, samplers, job.task.averaged_at, job)
    for engine, replica, run in placed:
        _collect(engine, replica, run, job)
        run.mean, run.sums = _mean(run, job.task.averaging.length), None
    _check(placed, job.checks(placed), job)
    for _, _, run in placed:
        if run.outcome is None:
            job.checkpointer.save(run)  # other runs have their averages taken before this one goes on


def _take_last_iterate(seats: Seats, job: _Job) -> None:
    """Take averaged runs with equally many steps from gate to gate, until each has its last iterate.

    Runs that end leave ``seats``.
    """
    checks, samplers, stop = job.checks(_placed(seats)), job.samplers(_placed(seats)), job.task.stop
    job.progress.extend(max(stop.budget - min(run.begin for _, part in seats for run in part), 0))
    _place(_placed(seats), summing=False)
    while seats:
        placed = _placed(seats)
        taken = placed[0][2].taken
        at_gate = taken == job.task.averaged_at or taken % stop.gate == 0
        if at_gate and any(run.gated != taken for _, _, run in placed):
            _check(placed, checks, job)
            for engine, part in seats:
                close_up(engine, part, lambda run: run.outcome is None)
            seats[:] = [(engine, part) for engine, part in seats if part]
        else:
            _advance(seats, samplers, taken - taken % stop.gate + stop.gate, job)


def _groups(runs: Iterable[Average], engines: Sequence[Engine]) -> Iterator[Seats]:
    """Yield as many runs at a time as there are replicas, all with equally many steps."""
    for _, equal in groupby(sorted(runs, key=lambda run: run.taken), key=lambda run: run.taken):
        waiting = list(equal)
        while waiting:
            seats: Seats = []
            for engine in engines:
                part, waiting = waiting[: engine.replicas], waiting[engine.replicas :]
                if part:
                    seats.append((engine, part))
            yield seats


def _placed(seats: Seats) -> Placed:
    return [(engine, replica, run) for engine, part in seats for replica, run in enumerate(part)]


def _place(placed: Placed, *, summing: bool) -> None:
    """Load runs into their replicas; sums start, or go on."""
    for engine, replica, run in placed:
        with engine.scope():
            if replica == 0:
                engine.accumulate(summing)
            state = run.state or run.load()
            engine.put(replica, state, run.step_size, [run.seed, run.begin])  # a seed that training has not used
            if summing and run.sums is not None:
                engine.put_sums(replica, run.sums)
            run.state = run.sums = None


def _advance(seats: Seats, samplers: Mapping[str, BatchSampler], end: int, job: _Job) -> None:
    """Take steps until ``end`` have been taken. Save the runs whenever a checkpoint is due."""
    checkpointer, placed = job.checkpointer, _placed(seats)
    first = placed[0][2]
    while first.taken < end:
        begin = time.perf_counter()
        _step(seats, samplers, min(WINDOW, end - first.taken), checkpointer)
        _charge(placed, begin)
        job.progress.report(first.name, first.taken)
        if checkpointer.interrupted:
            raise Interrupted
        if checkpointer.due():
            _save(placed, job)


def _charge(placed: Placed, begin: float) -> None:
    """Share the time since ``begin`` among runs."""
    for _, _, run in placed:
        run.seconds += (time.perf_counter() - begin) / len(placed)


def _step(seats: Seats, samplers: Mapping[str, BatchSampler], steps: int, checkpointer: Checkpointer[Average]) -> None:
    work = []
    for engine, part in seats:
        indices = [samplers[run.name].take(run.begin + run.taken, steps) for run in part]
        work.append((engine, torch.stack(indices, dim=1)))
    done = interleave(work, lambda: checkpointer.interrupted)
    for (_, part), count in zip(seats, done, strict=True):
        for run in part:
            run.taken += count


def _collect(engine: Engine, replica: int, run: Average, job: _Job) -> None:
    """Copy to a run what only its replica holds."""
    if run.state is None:
        with engine.scope():
            run.state = engine.get(replica)
            summed = run.mean is None and run.taken > job.task.averaging.burn_in
            run.sums = engine.sum_of(replica) if summed else None


def _save(placed: Placed, job: _Job) -> None:
    """Save runs that have not ended; they stay in their replicas."""
    for engine, replica, run in placed:
        if run.outcome is None:
            _collect(engine, replica, run, job)
            job.checkpointer.save(run)
            run.state = run.sums = None


def _mean(run: Average, length: int) -> State:
    assert run.state is not None
    assert run.sums is not None
    means = {name: np.asarray(total / length, run.state[name].dtype) for name, total in run.sums.items()}
    return weights_only(run.state) | means


def _check(placed: Placed, checks: Mapping[str, ConvergenceCheck], job: _Job) -> None:
    """Check the runs' convergence. Runs whose last iterate this is end."""
    begin = time.perf_counter()
    found = [_measured(engine, replica, run, checks[run.name], job) for engine, replica, run in placed]
    _charge(placed, begin)
    for (engine, replica, run), measured in zip(placed, found, strict=True):
        if measured is None:
            run.gated = run.taken
        else:
            _collect(engine, replica, run, job)
            with engine.scope():
                _end(engine, replica, run, measured, job)
            job.checkpointer.ended(run)


def _measured(
    engine: Engine, replica: int, run: Average, check: ConvergenceCheck, job: _Job
) -> tuple[float, float] | None:
    """Return cross-entropy and accuracy on the training set if this is a run's last iterate, else None."""
    stop = job.task.stop
    final = not job.task.averaging.until_converged or run.begin + run.taken >= stop.budget
    with engine.scope():
        network = _network(engine, replica, job)
        if not final:
            found = check.quick_check(network, engine.lipschitz_bound(replica)).tolist()
            if check.extend(network, found):
                return None
        nll, accuracy = check.full_pass(network)
    return (nll, accuracy) if final or stop.met(nll, accuracy) or not np.isfinite(nll) else None


def _end(engine: Engine, replica: int, run: Average, measured: tuple[float, float], job: _Job) -> None:
    """Set the last iterate and the outcome of a run."""
    assert run.state is not None
    assert run.mean is not None
    nll, accuracy = measured
    last = weights_only(run.state)
    outcome: Row
    if np.isfinite(nll) and bool(engine.finite(replica)) and is_finite(run.mean):
        test_nll, test_accuracy = evaluation.evaluate(_network(engine, replica, job), job.task.test)
        engine.put(replica, run.mean, 0.0)
        outcome = {
            "status": "averaged",
            "average_test_accuracy": evaluation.evaluate(_network(engine, replica, job), job.task.test)[1],
            "last_iterations": run.begin + run.taken,
            "last_converged": job.task.stop.met(nll, accuracy),
            "last_train_nll": nll,
            "last_train_accuracy": accuracy,
            "last_test_nll": finite_or_none(test_nll),
            "last_test_accuracy": test_accuracy,
        }
    else:
        outcome = {"status": "diverged"} | dict.fromkeys(name for name, *_ in AVERAGES)
    run.state, run.outcome = last, outcome


def _network(engine: Engine, replica: int, job: _Job) -> evaluation.Network:
    return evaluation.stoppable(engine.network(replica), lambda: job.checkpointer.interrupted)
