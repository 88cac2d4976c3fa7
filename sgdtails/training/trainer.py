"""Plain SGD, w <- w - eta * mean gradient over a batch (paper, eq. 2.2), until a run converges, diverges or has used its budget.

Several runs of one network, dataset and batch size train in one process, side by side as replicas of engines.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sgdtails.data.datasets import Split
from sgdtails.errors import Interrupted
from sgdtails.runtime import devices
from sgdtails.runtime.progress import Progress
from sgdtails.training import evaluation, snapshots
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.checkpointer import Checkpointer, ResumableRun
from sgdtails.training.convergence import ConvergenceCheck, max_input_norm
from sgdtails.training.engines.base import Engine, State, interleave
from sgdtails.training.engines.sgd import weights_only
from sgdtails.training.evaluation import Network, stoppable
from sgdtails.training.settings import Row, Stop


@dataclass
class Run(ResumableRun):
    """One run in training.

    Parameters
    ----------
    name : str
        The run's id.
    step_size : float
        The step size eta.
    seed : int
        Seed of the initial weights and of the order of images.
    iteration : int
        SGD steps so far.
    gated : int
        Iteration of the last gate that has been decided.
    state : dict of ndarray, optional
        What the engine has last returned; None while a replica holds newer weights. At the end, the weights.
    history : list of dict
        Rows of the run's history.
    trajectory : list of dict
        Rows of its table ``trajectory``: tails of its weights at snapshots.
    seconds : float
        Wall time, shared between runs that train side by side.
    outcome : dict, optional
        When the run has ended, the ``run_schemas.TRAINED`` columns of its row, and its device.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("state",)
    FIELDS: ClassVar[tuple[str, ...]] = ("iteration", "gated", "history", "trajectory", "seconds", "outcome")

    name: str
    step_size: float
    seed: int
    iteration: int = 0
    gated: int = -1
    state: State | None = None
    history: list[Row] = field(default_factory=list)
    trajectory: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    outcome: Row | None = None


@dataclass(frozen=True)
class Task:
    """The data and settings that all runs of a job share.

    Parameters
    ----------
    train, test : Split
        The images on the device.
    batch_size : int
        Images per step.
    stop : Stop
        The stop rule.
    initial : callable
        Returns the initial weights for a seed; they are not changed.
    snapshots : sequence of int
        Iterations at which the tails of the weights are estimated, all of them gates. If there are any, so they are where a run ends.
    layers : sequence of str, optional
        Names of the weights that are layers, in order; without it all of two or more dimensions are.
    """

    train: Split
    test: Split
    batch_size: int
    stop: Stop
    initial: Callable[[int], State]
    snapshots: Sequence[int] = ()
    layers: Sequence[str] | None = None


@dataclass
class _Replica:
    run: Run
    sampler: BatchSampler
    check: ConvergenceCheck


class Trainer:
    """Trains runs side by side.

    Parameters
    ----------
    engines : sequence of Engine
        They take the SGD steps.
    task : Task
        What the runs share.
    checkpointer : Checkpointer
        Saves the runs.
    progress : Progress
        Prints how far they are.
    """

    def __init__(
        self, engines: Sequence[Engine], task: Task, checkpointer: Checkpointer[Run], progress: Progress
    ) -> None:
        self._engines, self._task, self._checkpointer, self._progress = engines, task, checkpointer, progress
        self._replicas: list[list[_Replica]] = [[] for _ in engines]
        self._max_input_norm = max_input_norm(task.train)

    def train(self, runs: Iterable[Run]) -> None:
        """Train runs to the stop rule, smallest step size first. A replica whose run has ended takes the next run.

        A run that diverges is a result, not an error: its values that are not finite are None.

        Parameters
        ----------
        runs : iterable of Run
            The runs.

        Raises
        ------
        Interrupted
            If the checkpointer asks for it; the runs are saved.
        """
        waiting = deque(sorted(runs, key=lambda run: (run.step_size, run.seed)))
        self._charged = time.perf_counter()
        while self._fill(waiting):
            try:
                self._decide(self._step_to_gates())
            except Interrupted:
                self._save()
                raise
            if self._checkpointer.due():
                self._save()

    def _charge(self) -> None:
        """Share the time since the last call among the runs in training."""
        now = time.perf_counter()
        runs = [replica.run for _, _, replica in self._places()]
        for run in runs:
            run.seconds += (now - self._charged) / len(runs)
        self._charged = now

    def _places(self) -> Iterator[tuple[Engine, int, _Replica]]:
        for engine, replicas in zip(self._engines, self._replicas, strict=True):
            for index, replica in enumerate(replicas):
                yield engine, index, replica

    def _fill(self, waiting: deque[Run]) -> bool:
        """Load waiting runs into unused replicas. Return whether any replica is in use."""
        for engine, replicas in zip(self._engines, self._replicas, strict=True):
            while waiting and len(replicas) < engine.replicas:
                run = waiting.popleft()
                task = self._task
                with engine.scope():
                    sampler = BatchSampler(len(task.train), task.batch_size, run.seed)
                    engine.put(len(replicas), run.state or task.initial(run.seed), run.step_size, run.seed)
                    run.state = None
                    check = ConvergenceCheck(task.train, task.stop, self._max_input_norm)
                    replicas.append(_Replica(run, sampler, check))
        return any(self._replicas)

    def _at_gate(self, run: Run) -> bool:
        """Return whether a run is at a gate that is not decided yet. The first gate is before the first step."""
        return run.iteration % self._task.stop.gate == 0 and run.gated != run.iteration

    def _step_to_gates(self) -> dict[str, Tensor]:
        """Step each engine to its next gate, in turn so that their streams run at once; make the runs' quick checks there."""
        gate = self._task.stop.gate
        work, stepping = [], []
        for engine, replicas in zip(self._engines, self._replicas, strict=True):
            if replicas and not any(self._at_gate(replica.run) for replica in replicas):
                steps = min(gate - replica.run.iteration % gate for replica in replicas)
                indices = [replica.sampler.take(replica.run.iteration, steps) for replica in replicas]
                work.append((engine, torch.stack(indices, dim=1)))
                stepping.append(replicas)
        for replicas, done in zip(stepping, interleave(work, lambda: self._checkpointer.interrupted), strict=True):
            for replica in replicas:
                replica.run.iteration += done
        if self._checkpointer.interrupted:
            raise Interrupted
        checks = {}
        for engine, index, replica in self._places():
            if self._at_gate(replica.run) and not self._task.stop.needs_full_pass(replica.run.iteration):
                with engine.scope():
                    bound = engine.lipschitz_bound(index)
                    checks[replica.run.name] = replica.check.quick_check(self._network(engine, index), bound)
        for _, _, replica in self._places():
            replica.sampler.prefetch(replica.run.iteration, gate)
        return checks

    def _decide(self, checks: dict[str, Tensor]) -> None:
        """Decide at each gate, after one wait for all quick checks. Runs that have ended free their replicas."""
        found = dict(zip(checks, _read(list(checks.values())), strict=True))
        for engine, replicas in zip(self._engines, self._replicas, strict=True):
            for index in reversed(range(len(replicas))):
                run, check = replicas[index].run, replicas[index].check
                if not self._at_gate(run):
                    continue
                with engine.scope():
                    if run.name in found and check.extend(self._network(engine, index), found[run.name]):
                        self._progress.report(run.name, run.iteration)
                    else:
                        self._judge(engine, index, replicas[index])
                    self._take_snapshot(engine, index, run)
                run.gated = run.iteration
                if run.outcome:
                    self._charge()
                    with engine.scope():
                        self._vacate(engine, replicas, index)
                    self._checkpointer.ended(run)

    def _judge(self, engine: Engine, index: int, replica: _Replica) -> None:
        """Make the full pass, and a row of the history if one is due. If the run ends here, set its weights and outcome."""
        run, task, network = replica.run, self._task, self._network(engine, index)
        whole = engine.finite(index)  # velocities are finite then, too: they have been added to the weights
        nll, accuracy = replica.check.full_pass(network)
        sound = bool(whole)
        status = task.stop.status(run.iteration, nll, accuracy, sound)
        self._progress.report(run.name, run.iteration, NLL=nll, accuracy=accuracy)
        if not status and not task.stop.needs_full_pass(run.iteration):
            return
        test_nll, test_accuracy = evaluation.evaluate(network, task.test) if sound else (None, None)
        measured = {
            "train_nll": finite_or_none(nll),
            "train_accuracy": accuracy,
            "test_nll": finite_or_none(test_nll),
            "test_accuracy": test_accuracy,
        }
        run.history.append({"iteration": run.iteration, **measured})
        if status:
            run.state = weights_only(engine.get(index))
            ended = {"status": status, "iterations": run.iteration, "device": devices.describe(engine.device)}
            run.outcome = ended | measured

    def _take_snapshot(self, engine: Engine, index: int, run: Run) -> None:
        """Estimate the tails of a run's weights if a snapshot is due; nothing else of the run changes."""
        due = self._task.snapshots
        if due and (run.outcome or run.iteration in due):
            rows = snapshots.per_layer(engine.weights(index), self._task.layers)
            run.trajectory += ({"iteration": run.iteration, **row} for row in rows)

    def _network(self, engine: Engine, index: int) -> Network:
        return stoppable(engine.network(index), lambda: self._checkpointer.interrupted)

    @staticmethod
    def _vacate(engine: Engine, replicas: list[_Replica], index: int) -> None:
        """Free a replica: the last one in use moves there, and the place of the last one is cleared."""
        last = len(replicas) - 1
        if index != last:
            engine.move(last, index)
            replicas[index] = replicas[last]
        engine.clear(last)
        replicas.pop()

    def _save(self) -> None:
        self._charge()
        for engine, index, replica in self._places():
            with engine.scope():
                replica.run.state = engine.get(index)
            self._checkpointer.save(replica.run)
            replica.run.state = None


def _read(tensors: list[Tensor]) -> list[list[float]]:
    if not tensors:
        return []
    if tensors[0].is_cuda:
        torch.cuda.synchronize()  # they come from several streams
    found: list[list[float]] = torch.stack(tensors).tolist()
    return found


def finite_or_none(value: float | None) -> float | None:
    """Return a value if it is a finite number, else None.

    Parameters
    ----------
    value : float, optional
        The value.

    Returns
    -------
    float or None
        The value, or None.

    Examples
    --------
    >>> finite_or_none(0.5), finite_or_none(np.inf)
    (0.5, None)
    """
    return value if value is not None and np.isfinite(value) else None
