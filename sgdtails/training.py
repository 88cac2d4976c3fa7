"""Plain SGD, w <- w - eta * mean gradient over a batch (paper, eq. 2.2), until it converges, diverges or is out of budget.

Several runs of one network, dataset and batch size train in one process, side by side in the slots of lanes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from sgdtails import devices, evaluation
from sgdtails.data import Split
from sgdtails.errors import InputError, Interrupted
from sgdtails.evaluation import batches
from sgdtails.gates import Gate, Stop
from sgdtails.lanes import Lane, State, interleave
from sgdtails.progress import Progress

R = TypeVar("R", contravariant=True)


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """The order of n images in an epoch, (n,): a function of (seed, epoch) alone, the same on every device."""
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
        self._epoch, self._batches = -1, torch.empty(0)

    def take(self, start: int, steps: int) -> Tensor:
        """Indices of the images of ``steps`` steps from step ``start`` on, (steps, batch size)."""
        parts = [torch.empty(0, self._batch_size, dtype=torch.int64)]
        while steps > 0:
            epoch, position = divmod(start, self._n // self._batch_size)
            if epoch != self._epoch:
                used = self._n - self._n % self._batch_size
                self._batches = permutation(self._n, self._seed, epoch)[:used].view(-1, self._batch_size)
                self._epoch = epoch
            part = self._batches[position : position + steps]
            parts.append(part)
            start, steps = start + len(part), steps - len(part)
        return torch.cat(parts)


@dataclass
class Run:
    """One run: what it is, and how far it has come.

    ``initial`` and ``state`` are there from its first step, or from its checkpoint, on; ``outcome``, the ``TRAINED``
    columns of its row and its device, when it has ended.
    """

    name: str
    step_size: float
    seed: int
    iteration: int = 0
    initial: State | None = None
    state: State | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    outcome: dict[str, Any] | None = None

    def release(self) -> None:
        """Let go of the arrays."""
        self.initial = self.state = None


@dataclass(frozen=True)
class Task:
    """What all runs of a job share; ``build`` gives the initial weights of a seed."""

    train: Split
    test: Split
    batch_size: int
    stop: Stop
    build: Callable[[int], State]


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
        while self._fill(waiting):
            begin = time.perf_counter()
            active = [slot.run for slots in self._slots for slot in slots]
            looks = self._window()
            if self._keeper.interrupted:
                self._save()
                raise Interrupted
            ended = self._gates(looks)
            for run in active:
                run.seconds += (time.perf_counter() - begin) / len(active)
            for run in ended:
                self._keeper.ended(run)
            if self._keeper.due():
                self._save()

    def _places(self) -> Iterator[tuple[Lane, int, _Slot]]:
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            for index, slot in enumerate(slots):
                yield lane, index, slot

    def _fill(self, waiting: deque[Run]) -> bool:
        """Put waiting runs into free slots; whether any slot is in use."""
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            while waiting and len(slots) < lane.slots:
                run = waiting.popleft()
                if run.state is None:
                    run.initial = run.state = self._task.build(run.seed)
                task = self._task
                with lane.scope():
                    order = Order(len(task.train), task.batch_size, run.seed)
                    slot = _Slot(run, order, Gate(task.train, task.stop, self._reach))
                    lane.put(len(slots), run.state, run.step_size)
                    begun = bool(run.history) or not self._judge(lane, len(slots), slot)
                if begun:
                    slots.append(slot)
                else:
                    self._keeper.ended(run)
        return any(self._slots)

    def _window(self) -> dict[str, Tensor]:
        """Step every lane to its next gate, lanes piece by piece in turn so that their streams run at once; a look at each gate."""
        gate = self._task.stop.gate
        work, stepping = [], []
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            if slots:
                steps = min(gate - slot.run.iteration % gate for slot in slots)
                orders = [slot.order.take(slot.run.iteration, steps) for slot in slots]
                work.append((lane, torch.stack(orders, dim=1)))
                stepping.append(slots)
        for slots, done in zip(stepping, interleave(work, lambda: self._keeper.interrupted), strict=True):
            for slot in slots:
                slot.run.iteration += done
        looks = {}
        for lane, index, slot in self._places():
            if slot.run.iteration % gate == 0 and not self._task.stop.full(slot.run.iteration):
                with lane.scope():
                    looks[slot.run.name] = slot.gate.look(lane.network(index), lane.growth(index))
        return looks

    def _gates(self, looks: dict[str, Tensor]) -> list[Run]:
        """Decide at each gate, with one wait for all that was queued; the runs that have ended, out of their slots."""
        found = dict(zip(looks, _read(list(looks.values())), strict=True))
        ended = []
        for lane, slots in zip(self._lanes, self._slots, strict=True):
            for index in reversed(range(len(slots))):
                slot, stop = slots[index], self._task.stop
                if slot.run.iteration % stop.gate:
                    continue
                with lane.scope():
                    look = found.get(slot.run.name)
                    if look is not None and slot.gate.proof(lane.network(index), look):
                        self._progress.report(slot.run.name, slot.run.iteration)
                    elif self._judge(lane, index, slot):
                        ended.append(slot.run)
                        self._vacate(lane, slots, index)
        return ended

    def _judge(self, lane: Lane, index: int, slot: _Slot) -> bool:
        """The full pass: a row of the history where one is due, and whether the run has ended, its state and outcome set."""
        run, task, network = slot.run, self._task, lane.network(index)
        nll, accuracy = slot.gate.pass_over(network)
        state = lane.get(index)
        sound = finite(state)
        status = task.stop.status(run.iteration, nll, accuracy, sound)
        self._progress.report(run.name, run.iteration, NLL=nll, accuracy=accuracy)
        if not status and not task.stop.full(run.iteration):
            return False
        test_nll, test_accuracy = evaluation.evaluate(network, task.test) if sound else (None, None)
        measured = {
            **{"train_nll": number(nll), "train_accuracy": accuracy},
            **{"test_nll": number(test_nll), "test_accuracy": test_accuracy},
        }
        run.history.append({"iteration": run.iteration, **measured})
        if status:
            run.state = state
            ended = {"status": status, "iterations": run.iteration, "device": devices.describe(lane.device)}
            run.outcome = ended | measured
        return bool(status)

    @staticmethod
    def _vacate(lane: Lane, slots: list[_Slot], index: int) -> None:
        """Free a slot; the last one in use moves there, and what is left behind is zero, so that nothing infinite lingers."""
        last = len(slots) - 1
        state = lane.get(last)
        if index != last:
            lane.put(index, state, slots[last].run.step_size)
            slots[index] = slots[last]
        lane.put(last, {name: np.zeros_like(value) for name, value in state.items()}, 0.0)
        slots.pop()

    def _save(self) -> None:
        for lane, index, slot in self._places():
            with lane.scope():
                slot.run.state = lane.get(index)
            self._keeper.save(slot.run)


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
