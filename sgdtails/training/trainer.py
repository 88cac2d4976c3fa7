"""Plain SGD, w <- w - eta * mean gradient over a batch (paper, eq. 2.2), until it converges, diverges or is out of budget.

Several runs of one network, dataset and batch size train in one process, side by side in the slots of lanes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from sgdtails.data.datasets import Split
from sgdtails.errors import InputError, Interrupted
from sgdtails.runtime import devices
from sgdtails.runtime.progress import Progress
from sgdtails.training import evaluation
from sgdtails.training.engines.lanes import Lane, State, interleave
from sgdtails.training.engines.updates import weights
from sgdtails.training.evaluation import Network, batches, stoppable
from sgdtails.training.gates import Gate, Stop

R = TypeVar("R", contravariant=True)


@lru_cache(maxsize=16)  # runs of one seed that are equally far share it
def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """The order of n images in an epoch, (n,), not to be changed: a function of (seed, epoch) alone, the same on every device."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))


class Order:
    """Which images each step sees: a new permutation each epoch, an incomplete last batch left out.

    InputError if a batch is larger than the data.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        if batch_size > n:
            raise InputError(
                f"batch_size {batch_size} is larger than the training set of {n} images; lower it in the run table."
            )
        self._n, self._batch_size, self._seed = n, batch_size, seed
        self._steps = n // batch_size  # of an epoch
        self._drawn: dict[int, Tensor] = {}  # by epoch

    def take(self, start: int, steps: int) -> Tensor:
        """Indices of the images of ``steps`` steps from step ``start`` on, (steps, batch size)."""
        parts = [torch.empty(0, self._batch_size, dtype=torch.int64)]
        while steps > 0:
            epoch, position = divmod(start, self._steps)
            part = self._batches(epoch)[position : position + steps]
            parts.append(part)
            start, steps = start + len(part), steps - len(part)
        return torch.cat(parts)

    def draw_ahead(self, start: int, steps: int) -> None:
        """Draw what ``take`` will ask for, two epochs at most: it costs no time where a device is at work meanwhile."""
        epoch = start // self._steps
        for each in range(epoch, min(epoch + 1, (start + steps - 1) // self._steps) + 1):
            self._batches(each)

    def _batches(self, epoch: int) -> Tensor:
        if epoch not in self._drawn:
            kept = {each: batches for each, batches in self._drawn.items() if each == epoch - 1}
            order = permutation(self._n, self._seed, epoch)[: self._steps * self._batch_size]
            self._drawn = kept | {epoch: order.view(-1, self._batch_size)}
        return self._drawn[epoch]


@dataclass
class Run:
    """One run: what it is, and how far it has come.

    ``gated`` is the iteration of the last gate that was decided. ``state`` is what a slot held when that was last asked for,
    None while it holds a newer one, and at the end the weights. ``outcome``, the ``TRAINED`` columns of its row and its
    device, is there when it has ended.
    """

    name: str
    step_size: float
    seed: int
    iteration: int = 0
    gated: int = -1
    state: State | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    outcome: dict[str, Any] | None = None

    def release(self) -> None:
        """Let go of the arrays."""
        self.state = None


@dataclass(frozen=True)
class Task:
    """What all runs of a job share; ``initial`` gives the weights that runs of a seed begin with, which stay as they are."""

    train: Split
    test: Split
    batch_size: int
    stop: Stop
    initial: Callable[[int], State]


class Keeper(Protocol[R]):
    """Who looks after runs while they train."""

    interrupted: bool  # end at the next piece of work

    def due(self) -> bool:
        """Whether it is time to save."""

    def save(self, run: R) -> None:
        """A run whose state is up to date."""

    def ended(self, run: R) -> None:
        """A run that has its outcome; what it holds is not used any more."""


@dataclass
class _Slot:
    run: Run
    order: Order
    gate: Gate


class Fleet:
    """Runs that train side by side in lanes."""

    def __init__(self, lanes: Sequence[Lane], task: Task, keeper: Keeper[Run], progress: Progress) -> None:
        self._lanes, self._task, self._keeper, self._progress = lanes, task, keeper, progress
        self._slots: list[list[_Slot]] = [[] for _ in lanes]
        self._reach = largest_norm(task.train)

    def train(self, runs: Iterable[Run]) -> None:
        """Train runs to the stop rule, smallest step size first; a slot whose run has ended takes the next one.

        A run that diverges is a result, not an error: its values that are not finite are None. Interrupted as soon as the
        keeper says so.
        """
        waiting = deque(sorted(runs, key=lambda run: (run.step_size, run.seed)))
        self._charged = time.perf_counter()
        while self._fill(waiting):
            try:
                self._gates(self._window())
            except Interrupted:
                self._save()
                raise
            if self._keeper.due():
                self._save()

    def _charge(self) -> None:
        """Share out the time since this was last done among the runs in the slots."""
        now = time.perf_counter()
        runs = [slot.run for _, _, slot in self._places()]
        for run in runs:
            run.seconds += (now - self._charged) / len(runs)
        self._charged = now

    def _places(self) -> Iterator[tuple[Lane, int, _Slot]]:
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            for index, slot in enumerate(slots):
                yield lane, index, slot

    def _fill(self, waiting: deque[Run]) -> bool:
        """Put waiting runs into free slots; whether any slot is in use."""
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            while waiting and len(slots) < lane.slots:
                run = waiting.popleft()
                task = self._task
                with lane.scope():
                    order = Order(len(task.train), task.batch_size, run.seed)
                    lane.put(len(slots), run.state or task.initial(run.seed), run.step_size, run.seed)
                    run.state = None
                    slots.append(_Slot(run, order, Gate(task.train, task.stop, self._reach)))
        return any(self._slots)

    def _at_gate(self, run: Run) -> bool:
        """Whether it has come to a gate that is not decided yet: also to that before its first step."""
        return run.iteration % self._task.stop.gate == 0 and run.gated != run.iteration

    def _window(self) -> dict[str, Tensor]:
        """Step every lane to its next gate, lanes piece by piece in turn so that their streams run at once; a look at each gate."""
        gate = self._task.stop.gate
        work, stepping = [], []
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            if slots and not any(self._at_gate(slot.run) for slot in slots):
                steps = min(gate - slot.run.iteration % gate for slot in slots)
                orders = [slot.order.take(slot.run.iteration, steps) for slot in slots]
                work.append((lane, torch.stack(orders, dim=1)))
                stepping.append(slots)
        for slots, done in zip(stepping, interleave(work, lambda: self._keeper.interrupted), strict=True):
            for slot in slots:
                slot.run.iteration += done
        if self._keeper.interrupted:
            raise Interrupted
        looks = {}
        for lane, index, slot in self._places():
            if self._at_gate(slot.run) and not self._task.stop.full(slot.run.iteration):
                with lane.scope():
                    looks[slot.run.name] = slot.gate.look(self._network(lane, index), lane.growth(index))
        for _, _, slot in self._places():
            slot.order.draw_ahead(slot.run.iteration, gate)
        return looks

    def _gates(self, looks: dict[str, Tensor]) -> None:
        """Decide at each gate, with one wait for all that was queued; runs that have ended leave their slots."""
        found = dict(zip(looks, _read(list(looks.values())), strict=True))
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            for index in reversed(range(len(slots))):
                run, gate = slots[index].run, slots[index].gate
                if not self._at_gate(run):
                    continue
                with lane.scope():
                    if run.name in found and gate.proof(self._network(lane, index), found[run.name]):
                        self._progress.report(run.name, run.iteration)
                    else:
                        self._judge(lane, index, slots[index])
                run.gated = run.iteration
                if run.outcome:
                    self._charge()
                    with lane.scope():
                        self._vacate(lane, slots, index)
                    self._keeper.ended(run)

    def _judge(self, lane: Lane, index: int, slot: _Slot) -> None:
        """The full pass: a row of the history where one is due; if the run has ended, its weights and outcome."""
        run, task, network = slot.run, self._task, self._network(lane, index)
        whole = lane.finite(index)  # velocities are finite then, too: they have been added to the weights
        nll, accuracy = slot.gate.pass_over(network)
        sound = bool(whole)
        status = task.stop.status(run.iteration, nll, accuracy, sound)
        self._progress.report(run.name, run.iteration, NLL=nll, accuracy=accuracy)
        if not status and not task.stop.full(run.iteration):
            return
        test_nll, test_accuracy = evaluation.evaluate(network, task.test) if sound else (None, None)
        measured = {
            **{"train_nll": number(nll), "train_accuracy": accuracy},
            **{"test_nll": number(test_nll), "test_accuracy": test_accuracy},
        }
        run.history.append({"iteration": run.iteration, **measured})
        if status:
            run.state = weights(lane.get(index))
            ended = {"status": status, "iterations": run.iteration, "device": devices.describe(lane.device)}
            run.outcome = ended | measured

    def _network(self, lane: Lane, index: int) -> Network:
        return stoppable(lane.network(index), lambda: self._keeper.interrupted)

    @staticmethod
    def _vacate(lane: Lane, slots: list[_Slot], index: int) -> None:
        """Free a slot; the last one in use moves there, and what is left behind is zero, so that nothing infinite lingers."""
        last = len(slots) - 1
        if index != last:
            lane.move(last, index)
            slots[index] = slots[last]
        lane.clear(last)
        slots.pop()

    def _save(self) -> None:
        self._charge()
        for lane, index, slot in self._places():
            with lane.scope():
                slot.run.state = lane.get(index)
            self._keeper.save(slot.run)
            slot.run.state = None


def _read(tensors: list[Tensor]) -> list[list[float]]:
    if not tensors:
        return []
    if tensors[0].is_cuda:
        torch.cuda.synchronize()  # they come from several streams
    return torch.stack(tensors).tolist()


@torch.no_grad()
def largest_norm(split: Split) -> float:
    """The largest Euclidean norm of a normalised image."""
    return max(float(torch.linalg.vector_norm(images.flatten(1), dim=1).max()) for images, _ in batches(split))


def finite(state: State) -> bool:
    """Whether every number in it is finite."""
    return all(np.isfinite(value).all() for value in state.values())


def number(value: float | None) -> float | None:
    """The value, or None where it is not a finite number."""
    return value if value is not None and np.isfinite(value) else None
