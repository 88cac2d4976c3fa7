"""Data, networks, steps and comparisons that all checks of a GPU share."""

import dataclasses
import gc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import base, factory

State = base.State


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of networks, batches and stacks."""

    fcn: dict[str, Any]
    deeper: dict[str, Any]
    cnn: dict[str, Any]
    shape: tuple[int, int, int]
    images: int
    batch: int
    replicas: dict[str, int]  # by kind of network
    steps: int  # of comparisons by bytes: two graphs and some single steps


PAPERS_CNN = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
SIZES = {
    "full": Size(
        {"fcn": [2048] * 4}, {"fcn": [2048] * 6}, {"cnn": PAPERS_CNN}, (1, 28, 28), 2000, 50, {"fcn": 8, "cnn": 3}, 87
    ),
    "small": Size(
        {"fcn": [16] * 4}, {"fcn": [16] * 6}, {"cnn": [4, "M", 8]}, (1, 8, 8), 120, 20, {"fcn": 3, "cnn": 2}, 9
    ),
}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a check has measured: in words, and as ``value``, which must be at most ``limit`` if there is one."""

    measured: str
    expected: str = ""
    value: float | None = None
    limit: float | None = None

    @property
    def status(self) -> str:
        """``passed``, ``failed``, or ``measured`` where there is no limit."""
        if self.limit is None:
            return "measured"
        return "passed" if self.value is not None and self.value <= self.limit else "failed"


class Skipped(Exception):
    """Raised by a check that this machine cannot make; the message says why."""


def at_most(value: float, limit: float, what: str) -> Found:
    """Return the result of a check whose number must be at most a limit; NaN fails."""
    return Found(f"{what} {value:.3g}", f"at most {limit:.3g}", value, limit)


def none_of(different: Sequence[str], what: str) -> Found:
    """Return the result of a check that passes if nothing is different."""
    said = f"{', '.join(different[:3])} differ" if different else "the same bytes"
    return Found(f"{what}: {said}", "the same bytes", float(len(different)), 0.0)


class Bench:
    """The device, precision, sizes and data of the checks."""

    def __init__(self, device: torch.device, precision: str, size: Size) -> None:
        self.device, self.precision, self.size = device, precision, size
        self.tf32 = device.type == "cuda" and devices.uses_tf32()
        self.dataset = _images(size)
        self.train, self.test = data.splits(self.dataset, device)
        self._initial: dict[tuple[str, int], State] = {}

    def digits(self) -> tuple[data.Dataset, data.Split, data.Split]:
        """Return a dataset on which networks converge, some of scikit-learn's digits, and its splits on the device."""
        dataset = loaders.load("digits", {"kind": "digits", "train_size": 400}, root=".", download=False)
        return dataset, *data.splits(dataset, self.device)

    def model(self, spec: Mapping[str, Any], seed: int = 0) -> nn.Module:
        return models.build("m", self.dataset.shape, 10, {"m": spec}, seed=seed)

    def initial(self, spec: Mapping[str, Any], seed: int) -> State:
        """Return initial weights, which callers must not change: they are drawn once."""
        key = (f"{spec}", seed)
        if key not in self._initial:
            self._initial[key] = models.state(self.model(spec, seed))
        return self._initial[key]

    def engines(self, spec: Mapping[str, Any], replicas: int, train: data.Split | None = None) -> list[base.Engine]:
        """Build engines with this many replicas in all. On a CPU wide networks get an engine each."""
        found: list[base.Engine] = []
        while (missing := replicas - sum(engine.replicas for engine in found)) > 0:
            batch = self.size.batch
            found += factory.build_engines(
                spec, lambda: self.model(spec), train or self.train, batch_size=batch, replicas=missing
            )
        return found

    def states(
        self,
        spec: Mapping[str, Any],
        seeds: Sequence[int],
        *,
        replicas: int | None = None,
        steps: int | None = None,
        train: data.Split | None = None,
        step_size: float = 0.1,
        broken: Sequence[int] = (),
        at_once: bool = True,
    ) -> list[State]:
        """Take steps with the networks of ``seeds``, which are replicas in this order, and return their states.

        Weights of replicas in ``broken`` start as NaN. ``at_once``: many steps per call, so that graphs are replayed; else
        step by step.
        """
        engines = self.engines(spec, replicas or len(seeds), train)
        places = [(engine, replica) for engine in engines for replica in range(engine.replicas)][: len(seeds)]
        steps = steps or self.size.steps
        taking: dict[int, tuple[base.Engine, list[torch.Tensor]]] = {}
        for number, ((engine, replica), seed) in enumerate(zip(places, seeds, strict=True)):
            state = self.initial(spec, seed)
            if number in broken:
                state = {name: np.full_like(value, np.nan) for name, value in state.items()}
            with engine.scope():
                engine.put(replica, state, step_size)
            order = BatchSampler(len(self.train), self.size.batch, seed).take(0, steps)
            taking.setdefault(id(engine), (engine, []))[1].append(order)
        work = [(engine, torch.stack(orders, dim=1)) for engine, orders in taking.values()]
        for part in [slice(None)] if at_once else [slice(step, step + 1) for step in range(steps)]:
            base.interleave([(engine, order[part]) for engine, order in work], lambda: False)
        self.wait()
        return [engine.get(replica) for engine, replica in places]

    def wait(self) -> None:
        """Wait until the device has done all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def release(self) -> None:
        """Return unused memory to the device: engines and their graphs refer to each other."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _images(size: Size) -> data.Dataset:
    """Return random images of ten classes that a network can learn to tell apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, size.images)
    means = rng.uniform(60, 190, (10, *size.shape))
    images = np.clip(means[labels] + rng.normal(0, 40, (size.images, *size.shape)), 0, 255).astype(np.uint8)
    classes = tuple(map(str, range(10)))
    channels = size.shape[0]
    return data.Dataset(images, labels, images[:50], labels[:50], classes, (0.5,) * channels, (0.25,) * channels)


def different(one: State, other: State, what: str = "") -> list[str]:
    """Return the names of arrays whose bytes differ."""
    return [f"{what}{name}" for name in other if one[name].tobytes() != other[name].tobytes()]
