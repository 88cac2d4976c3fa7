"""What tests of training share: small networks, engines, trainings, and the plain loop that they are compared with."""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sgdtails.data.datasets import Dataset, Split
from sgdtails.errors import Interrupted
from sgdtails.models import building as models
from sgdtails.runtime.progress import Progress
from sgdtails.training import average_run, averaging, trainer
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.checkpointer import ResumableRun
from sgdtails.training.engines import factory
from sgdtails.training.engines.base import Engine, State
from sgdtails.training.engines.module import ModuleEngine
from sgdtails.training.engines.stacked_mlp import StackedMLPEngine
from sgdtails.training.settings import PLAIN_SGD, AveragingSettings, SGDSettings, Stop

R = TypeVar("R", bound=ResumableRun)
Digits = tuple[Dataset, Split, Split]

# Trainings on scikit-learn's digits, in batches of 50.
STOP = Stop(train_nll=0.05, train_accuracy=1.0, gate=20, budget=1000, chance_after=200, chance_accuracy=0.1, history=5)
SPECS: dict[str, dict[str, Any]] = {
    "fcn": {"fcn": [16]},
    "cnn": {"cnn": [4, "M", 8, "M"]},
    "wide": {"fcn": [factory.STACKED_BELOW]},
}

# Steps on N random images, in batches of BATCH.
CONFIG: dict[str, dict[str, Any]] = {"fcn": {"fcn": [16, 12, 16]}, "cnn": {"cnn": [4, "M", 6, 6]}}
SHAPE = (2, 8, 8)
N, BATCH = 120, 20
EVERYTHING = SGDSettings(momentum=0.8, weight_decay=1e-3, noise_scale=1e-3, noise_alpha=1.7)


class MemoryCheckpointer(Generic[R]):
    """Keeps copies of the runs that it is given; asks to end after so many pieces of work."""

    def __init__(self, pieces: float = float("inf"), always_due: bool = False) -> None:
        self.pieces, self.always_due = pieces, always_due
        self.saved: list[R] = []
        self.finished: dict[str, R] = {}

    @property
    def interrupted(self) -> bool:
        self.pieces -= 1
        return self.pieces < 0

    def due(self) -> bool:
        return self.always_due

    def save(self, run: R) -> None:
        self.saved.append(copy.deepcopy(run))

    def ended(self, run: R) -> None:
        self.finished[run.name] = run


def _model(digits: Digits, model: str, seed: int = 0) -> nn.Module:
    return models.build(model, digits[0].shape, 10, SPECS, seed=seed)


def _state(digits: Digits, model: str, seed: int) -> State:
    return models.state(_model(digits, model, seed))


def engines_of(digits: Digits, model: str = "fcn", replicas: int = 1, sgd: SGDSettings = PLAIN_SGD) -> list[Engine]:
    build = partial(_model, digits, model)
    return factory.build_engines(SPECS[model], build, digits[1], batch_size=50, replicas=replicas, sgd=sgd)


def train_runs(
    digits: Digits,
    runs: Iterable[trainer.Run],
    *,
    model: str = "fcn",
    replicas: int = 1,
    stop: Stop = STOP,
    checkpointer: MemoryCheckpointer[trainer.Run] | None = None,
    sgd: SGDSettings = PLAIN_SGD,
    snapshots: tuple[int, ...] = (),
) -> dict[str, trainer.Run]:
    """Train runs on digits; the ended runs by name."""
    checkpointer = checkpointer or MemoryCheckpointer()
    task = trainer.Task(*digits[1:], 50, stop, partial(_state, digits, model), snapshots)
    engines = engines_of(digits, model, replicas, sgd)
    trainer.Trainer(engines, task, checkpointer, Progress(stop.budget)).train(runs)
    return checkpointer.finished


def average_runs(
    digits: Digits,
    runs: Iterable[average_run.Average],
    *,
    model: str = "fcn",
    replicas: int = 1,
    burn_in: int = 4,
    length: int = 5,
    checkpointer: MemoryCheckpointer[average_run.Average] | None = None,
    sgd: SGDSettings = PLAIN_SGD,
    stop: Stop = STOP,
    until_converged: bool = False,
) -> dict[str, average_run.Average]:
    """Average runs on digits; the ended runs by name."""
    checkpointer = checkpointer or MemoryCheckpointer()
    task = average_run.Task(*digits[1:], 50, stop, AveragingSettings(burn_in, length, until_converged))
    averaging.average(runs, engines_of(digits, model, replicas, sgd), task, checkpointer, Progress(1))
    return checkpointer.finished


def averages(digits: Digits, model: str, seeds: Iterable[int] = (3,)) -> list[average_run.Average]:
    """Runs to be averaged, which begin at random weights."""
    return [average_run.Average(str(s), 0.1, s, 30, partial(_state, digits, model, s)) for s in seeds]


def interrupt_and_resume(
    advance: Callable[..., dict[str, R]], runs: Callable[[], Iterable[R]], pieces: int
) -> dict[str, R]:
    """Ended runs, by name, of a job that is interrupted after some pieces of work and then resumed.

    ``runs`` makes the runs, and ``advance`` takes them to their ends.
    """
    checkpointer: MemoryCheckpointer[R] = MemoryCheckpointer(pieces)
    with pytest.raises(Interrupted):
        advance(runs(), checkpointer=checkpointer)
    saved = {run.name: run for run in checkpointer.saved}
    left = [saved.get(run.name, run) for run in runs() if run.name not in checkpointer.finished]
    return advance(left) | checkpointer.finished


def same_bytes(one: State, other: State) -> bool:
    """Whether two states hold the same arrays."""
    return {name: value.tobytes() for name, value in one.items()} == {
        name: value.tobytes() for name, value in other.items()
    }


def assert_equal(one: trainer.Run | average_run.Average, other: trainer.Run | average_run.Average) -> None:
    """Two ended runs are equal, to the last bit."""
    assert one.outcome == other.outcome
    for rows in ("history", "trajectory"):
        assert getattr(one, rows, None) == getattr(other, rows, None)
    for group in one.ARRAYS:
        assert same_bytes(getattr(one, group) or {}, getattr(other, group) or {})


def count_calls(monkeypatch: pytest.MonkeyPatch, kind: type, *names: str) -> list[str]:
    """A list to which every call of a method of a class, from now on, adds its name."""
    calls: list[str] = []

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            return method(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(kind, name, counted(name, getattr(kind, name)))
    return calls


def random_images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (N,), generator=generator)
    noise = torch.randn(N, *SHAPE, generator=generator, dtype=torch.float64)
    return noise + labels[:, None, None, None] * 0.3, labels


def build(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    return models.build(name, SHAPE, 5, CONFIG, seed=seed).to(dtype)


def build_engine(
    name: str,
    images: tuple[Tensor, Tensor],
    dtype: torch.dtype = torch.float64,
    replicas: int = 1,
    sgd: SGDSettings = PLAIN_SGD,
) -> Engine:
    inputs, labels = images
    model = build(name, dtype=dtype)
    if name == "cnn":
        return ModuleEngine(model, inputs.to(dtype), labels, batch_size=BATCH, sgd=sgd)
    shapes = {key: (len(weight), weight.shape[1]) for key, weight in model.state_dict().items()}
    return StackedMLPEngine(shapes, inputs.to(dtype), labels, batch_size=BATCH, replicas=replicas, dtype=dtype, sgd=sgd)


def plain(model: nn.Module, images: tuple[Tensor, Tensor], indices: Tensor, step_size: float, **more: Any) -> State:
    """The loop that everybody writes; ``more`` are arguments of the optimiser."""
    inputs, labels = images
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size, **more)
    for index in indices:
        optimizer.zero_grad()
        cross_entropy(model(inputs[index]), labels[index]).backward()
        optimizer.step()
    return models.state(model)


def batch_indices(steps: int, seeds: Iterable[int]) -> Tensor:
    """Images of some steps of replicas with these seeds, (steps, replicas, BATCH)."""
    return torch.stack([BatchSampler(N, BATCH, seed).take(0, steps) for seed in seeds], dim=1)


def apart(one: State, other: State) -> float:
    """Largest difference of two states, relative to the largest weight."""
    found: list[float] = [np.abs(one[name] - other[name]).max() / np.abs(other[name]).max() for name in other]
    return max(found)
