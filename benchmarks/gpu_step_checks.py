"""Checks of SGD steps on a device: against float64, repeated, and beside other networks."""

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.gpu_bench import Bench, Found, State, at_most, different, none_of
from sgdtails.data import datasets as data
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.training.batch_sampler import BatchSampler


def weights_against_float64(bench: Bench, kind: str) -> Found:
    """Compare one step at step size 0.1 with float64: the largest distance of a layer, relative to its norm.

    The least of three networks counts. A ReLU unit whose input is nearly zero can be on in one precision and off in the other: in
    one of the paper's CNNs that moves a step by 4e-5, on a CPU as on a GPU. What is wrong with a step shows in all of them.
    """
    spec = getattr(bench.size, kind)
    apart = []
    for seed in range(3):
        before, gradients = _in_float64(bench, spec, seed)
        (state,) = bench.states(spec, [seed], steps=1)
        right = {name: before[name] - 0.1 * gradients[name] for name in before}
        apart.append(max(_norm(state[name] - right[name]) / _norm(before[name]) for name in before))
    return at_most(min(apart), 1e-3 if bench.tf32 else 1e-6, "relative distance")


def change_against_float64(bench: Bench, kind: str) -> Found:
    """Compare a step that changes weights by about their norm with float64: its distance, relative to the change.

    ReLU units with inputs near zero may differ, so the limit is larger than rounding.
    """
    spec = getattr(bench.size, kind)
    before, gradients = _in_float64(bench, spec)
    step_size = statistics.median(_norm(before[name]) / _norm(gradients[name]) for name in before)
    (state,) = bench.states(spec, [0], steps=1, step_size=step_size)
    changes = {name: -step_size * gradients[name] for name in before}
    apart = max(_norm(state[name] - before[name] - changes[name]) / _norm(changes[name]) for name in before)
    return at_most(apart, 0.2 if bench.tf32 else 1e-2, "relative distance")


def _in_float64(bench: Bench, spec: Mapping[str, Any], seed: int = 0) -> tuple[State, State]:
    """Return initial weights and the mean gradient over the seed's first batch, by autograd."""
    model = bench.model(spec, seed).to(bench.device, torch.float64)
    index = BatchSampler(len(bench.train), bench.size.batch, seed).take(0, 1)[0].to(bench.device)
    images, labels = bench.train.batch(index)
    gradients = torch.autograd.grad(cross_entropy(model(images.double()), labels), list(model.parameters()))
    names = [name for name, _ in model.named_parameters()]
    found = {name: models.copied(gradient) for name, gradient in zip(names, gradients, strict=True)}
    return models.state(model), found


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def same_twice(bench: Bench, kind: str) -> Found:
    """Take the same steps twice, with all replicas in use."""
    spec, seeds = getattr(bench.size, kind), range(bench.size.replicas[kind])
    once, again = (bench.states(spec, seeds) for _ in range(2))
    found = [name for seed in seeds for name in different(once[seed], again[seed], f"replica {seed} ")]
    return none_of(found, f"{bench.size.steps} steps twice")


def replayed(bench: Bench, kind: str) -> Found:
    """Compare steps replayed as a graph with steps queued one by one."""
    spec, seeds = getattr(bench.size, kind), range(2)
    graphs, single = (bench.states(spec, seeds, at_once=at_once) for at_once in (True, False))
    found = [name for seed in seeds for name in different(graphs[seed], single[seed], f"replica {seed} ")]
    return none_of(found, "graphs and single steps")


def position(bench: Bench, kind: str) -> Found:
    """Compare a network in the first replica with itself in the last one: trainers move networks."""
    spec, others = getattr(bench.size, kind), list(range(1, bench.size.replicas[kind]))
    first, last = bench.states(spec, [0, *others])[0], bench.states(spec, [*others, 0])[-1]
    return none_of(different(first, last), "first and last replica")


def company(bench: Bench, kind: str) -> Found:
    """Compare a network beside others with itself alone, in an engine with as many replicas."""
    spec, replicas = getattr(bench.size, kind), bench.size.replicas[kind]
    among, alone = bench.states(spec, range(replicas))[0], bench.states(spec, [0], replicas=replicas)[0]
    return none_of(different(among, alone), "among others and alone")


def broken_neighbour(bench: Bench, kind: str) -> Found:
    """Compare a network beside one with NaN weights with itself beside a sound one."""
    spec, seeds = getattr(bench.size, kind), range(bench.size.replicas[kind])
    healthy, beside = (bench.states(spec, seeds, broken=broken)[0] for broken in ((), (1,)))
    return none_of(different(beside, healthy), "beside NaN and beside none")


def not_resident(bench: Bench, kind: str) -> Found:
    """Compare images that are normalised batch by batch, as large datasets are, with resident ones."""
    spec, kept = getattr(bench.size, kind), data.RESIDENT
    try:
        data.RESIDENT = 0
        train, _ = data.splits(bench.dataset, bench.device)
    finally:
        data.RESIDENT = kept
    (one,), (other,) = bench.states(spec, [0], steps=5, train=train), bench.states(spec, [0], steps=5)
    apart = max(_norm(one[name] - value) / _norm(value) for name, value in other.items())
    return at_most(apart, 1e-3 if bench.tf32 else 1e-5, "relative distance after 5 steps")


def kernels_agree(bench: Bench, kind: str) -> Found:
    """Compare logits from batches of different sizes, for which a convergence check may use different kernels."""
    spec = getattr(bench.size, kind)
    (state,) = bench.states(spec, [0])
    model = bench.model(spec).to(bench.device)
    models.load(model, state)
    network, (images, _) = models.network(model), bench.train.batch(slice(None))
    whole = network(images)
    parts = torch.cat([network(part) for part in images.split(max(1, len(images) // 16))])
    apart = float(((whole - parts).abs().amax(1) / whole.abs().amax(1)).max())
    return at_most(apart, devices.rounding(bench.device), "largest difference of logits")


CHECKS = {
    "one step against float64": weights_against_float64,
    "the change by one step against float64": change_against_float64,
    "the same bytes twice": same_twice,
    "graphs": replayed,
    "position of a replica": position,
    "what is beside a replica": company,
    "a NaN beside it": broken_neighbour,
    "images that are not resident": not_resident,
    "kernels of gates": kernels_agree,
}
