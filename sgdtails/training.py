"""Plain SGD, w <- w - eta * mean gradient over a batch (paper, eq. 2.2), until it converges, diverges or is out of budget.

This is the plain loop: one module, one update, nothing clever. Whatever is faster is tested against it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sgdtails import evaluation
from sgdtails.data import Split
from sgdtails.errors import InputError
from sgdtails.progress import Progress

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stop:
    """The stop rule, config key ``stop``; iterations in SGD steps."""

    train_nll: float
    train_accuracy: float
    gate: int
    budget: int
    chance_after: int
    chance_accuracy: float

    def status(self, iteration: int, nll: float, accuracy: float, finite: bool) -> str | None:
        """``diverged``, ``converged``, ``budget``, or None to go on."""
        if not finite or not np.isfinite(nll):
            return "diverged"
        if nll < self.train_nll and accuracy >= self.train_accuracy:
            return "converged"
        if iteration >= self.chance_after and accuracy <= self.chance_accuracy:
            return "diverged"
        return "budget" if iteration >= self.budget else None


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """The order of n images in an epoch, (n,): a function of (seed, epoch) alone, the same on every device."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))


def batches(split: Split, batch_size: int, *, seed: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from step ``start`` on: a new permutation each epoch, an incomplete last batch left out.

    InputError if a batch is larger than the data.
    """
    per_epoch = len(split) // batch_size
    if per_epoch == 0:
        raise InputError(
            f"batch_size {batch_size} is larger than the training set of {len(split)} images; lower it in the run table."
        )
    epoch, position = divmod(start, per_epoch)
    while True:
        order = permutation(len(split), seed, epoch).to(split.images.device)
        for step in range(position, per_epoch):
            yield split.batch(order[step * batch_size : (step + 1) * batch_size])
        epoch, position = epoch + 1, 0


def sgd(
    model: nn.Module, data: Iterable[tuple[Tensor, Tensor]], step_size: float, loss: Loss = cross_entropy
) -> Iterator[None]:
    """One step of SGD per batch and per ``next``; the model's weights change in place."""
    # torch.optim.SGD does the same (a test compares the bits), but imports torch's compiler: seconds in every job.
    parameters = list(model.parameters())
    for inputs, targets in data:
        loss(model(inputs), targets).backward()
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=step_size)
                parameter.grad = None
        yield


@torch.no_grad()
def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean NLL in nats and accuracy over a split, in evaluation mode."""
    training = model.training
    model.eval()
    result = evaluation.evaluate(model, split)
    model.train(training)
    return result


def finite(model: nn.Module) -> bool:
    """Whether every weight is a finite number."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """A copy of the model's state, by name, in order, on the CPU."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def load(model: nn.Module, state: dict[str, np.ndarray]) -> None:
    """Put a state of ``arrays`` into a model."""
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def train(
    model: nn.Module,
    train: Split,
    test: Split,
    *,
    batch_size: int,
    step_size: float,
    seed: int,
    stop: Stop,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train in place. Returns the ``_TRAINED`` columns of the run's row and its history, one row per gate.

    A run that diverges is a result, not an error: its values that are not finite are None.
    """
    begin = time.perf_counter()
    steps = sgd(model, batches(train, batch_size, seed=seed), step_size)
    history: list[dict[str, Any]] = []
    iteration = 0
    while True:
        nll, accuracy = evaluate(model, train)
        sound = finite(model)
        history.append({"iteration": iteration, "train_nll": number(nll), "train_accuracy": accuracy})
        progress.report(iteration, NLL=nll, accuracy=accuracy)
        status = stop.status(iteration, nll, accuracy, sound)
        if status:
            break
        for _ in range(stop.gate):
            next(steps)
        iteration += stop.gate
    test_nll, test_accuracy = evaluate(model, test) if sound else (None, None)
    row = {
        **{"status": status, "iterations": iteration, "train_nll": number(nll), "train_accuracy": accuracy},
        **{"test_nll": number(test_nll), "test_accuracy": test_accuracy, "seconds": time.perf_counter() - begin},
    }
    return row, history


def number(value: float | None) -> float | None:
    """The value, or None where it is not a finite number."""
    return value if value is not None and np.isfinite(value) else None
