"""What the checks of a GPU share: data, networks, steps in engines, and how two states are compared."""

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
    """How large networks, batches and stacks are."""

    fcn: dict[str, Any]
    deeper: dict[str, Any]
    cnn: dict[str, Any]
    shape: tuple[int, int, int]
    images: int
    batch: int
    replicas: dict[str, int]  # by kind of network
    steps: int  # of the comparisons by bytes: graphs, and a rest


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
    """What a check has measured: ``value`` against ``limit`` (None: there is none), said in words too."""

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
    """A check that this machine cannot make; the message says why."""


def at_most(value: float, limit: float, what: str) -> Found:
    """A number that must not be above its limit; NaN is."""
    return Found(f"{what} {value:.3g}", f"at most {limit:.3g}", value, limit)


def none_of(different: Sequence[str], what: str) -> Found:
    """Things of which none may be different."""
    said = f"{', '.join(different[:3])} differ" if different else "the same bytes"
    return Found(f"{what}: {said}", "the same bytes", float(len(different)), 0.0)


class Bench:
    """Device, precision, size and data of the checks."""

    def __init__(self, device: torch.device, precision: str, size: Size) -> None:
        self.device, self.precision, self.size = device, precision, size
        self.tf32 = device.type == "cuda" and devices.uses_tf32()
        self.dataset = _images(size)
        self.train, self.test = data.splits(self.dataset, device)
        self._initial: dict[tuple[str, int], State] = {}

    def digits(self) -> tuple[data.Dataset, data.Split, data.Split]:
        """A dataset on which networks converge: some of scikit-learn's digits, and its splits on the device."""
        dataset = loaders.load("digits", {"kind": "digits", "train_size": 400}, root=".", download=False)
        return dataset, *data.splits(dataset, self.device)

    def model(self, spec: Mapping[str, Any], seed: int = 0) -> nn.Module:
        return models.build("m", self.dataset.shape, 10, {"m": spec}, seed=seed)

    def initial(self, spec: Mapping[str, Any], seed: int) -> State:
        """Initial weights, drawn once: not to be changed."""
        key = (f"{spec}", seed)
        if key not in self._initial:
            self._initial[key] = models.state(self.model(spec, seed))
        return self._initial[key]

    def engines(self, spec: Mapping[str, Any], replicas: int, train: data.Split | None = None) -> list[base.Engine]:
        """Engines with so many replicas; on a CPU, where wide networks have one each, as many engines as that takes."""
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
        """States after some steps of the networks of ``seeds``, in this order of replicas; in ``broken`` replicas weights begin as NaN.

        ``at_once``: as orders that a graph is made of, or step by step, without graphs.
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
        """Until the device has done what was queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def release(self) -> None:
        """Give back what nothing uses any more: engines and their graphs refer to each other."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _images(size: Size) -> data.Dataset:
    """Random images of ten classes that a network can tell apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, size.images)
    means = rng.uniform(60, 190, (10, *size.shape))
    images = np.clip(means[labels] + rng.normal(0, 40, (size.images, *size.shape)), 0, 255).astype(np.uint8)
    classes = tuple(map(str, range(10)))
    channels = size.shape[0]
    return data.Dataset(images, labels, images[:50], labels[:50], classes, (0.5,) * channels, (0.25,) * channels)


def different(one: State, other: State, what: str = "") -> list[str]:
    """Names of arrays whose bytes differ."""
    return [f"{what}{name}" for name in other if one[name].tobytes() != other[name].tobytes()]
