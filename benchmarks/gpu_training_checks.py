"""Checks of whole trainings on a device: refills, convergence checks, interruption, averages; and of analyses of networks."""

import copy
import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.gpu_bench import Bench, Found, State, at_most, different, none_of
from sgdtails import layers
from sgdtails.data import datasets as data
from sgdtails.errors import Interrupted
from sgdtails.models import building as models
from sgdtails.pruning import evaluate, latency
from sgdtails.runtime import devices
from sgdtails.runtime.progress import Progress
from sgdtails.training import average_run, averaging, trainer
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.convergence import ConvergenceCheck
from sgdtails.training.engines import factory
from sgdtails.training.settings import AveragingSettings, Stop

SPECS: dict[str, dict[str, Any]] = {"fcn": {"fcn": [16, 16]}, "cnn": {"cnn": [4, "M", 4, "M"]}}
BATCH, REPLICAS = 50, 2
# Gates and averages are at least as long as a CUDA graph, so that graphs are replayed.
STOP = Stop(train_nll=0.5, train_accuracy=0.85, gate=40, budget=320, chance_after=200, chance_accuracy=0.1, history=5)
BURN_IN, LENGTH = 80, 97
RATES = (0.1, 0.2, 1e6, 0.15)  # one diverges; all end at other gates


class MemoryCheckpointer:
    """Keeps copies of the runs that it is given; asks training to end after some calls."""

    def __init__(self, patience: float = float("inf")) -> None:
        self._patience = patience
        self.saved: dict[str, Any] = {}
        self.ends: dict[str, Any] = {}

    @property
    def interrupted(self) -> bool:
        self._patience -= 1
        return self._patience < 0

    def due(self) -> bool:
        return False

    def save(self, run: Any) -> None:
        self.saved[run.name] = copy.deepcopy(run)

    def ended(self, run: Any) -> None:
        self.saved.pop(run.name, None)
        self.ends[run.name] = run


class Digits:
    """Trains on scikit-learn's digits as jobs do."""

    def __init__(self, bench: Bench, kind: str) -> None:
        self.spec, (self.dataset, self.train, self.test) = SPECS[kind], bench.digits()

    def build(self, seed: int = 0) -> Any:
        return models.build("m", self.dataset.shape, 10, {"m": self.spec}, seed=seed)

    def state(self, seed: int) -> State:
        return models.state(self.build(seed))

    def engines(self, replicas: int = REPLICAS) -> Any:
        return factory.build_engines(self.spec, self.build, self.train, batch_size=BATCH, replicas=replicas)

    def runs(self) -> list[trainer.Run]:
        return [trainer.Run(f"{seed}", rate, seed) for seed, rate in enumerate(RATES)]

    def trained(self, runs: Iterable[trainer.Run], checkpointer: Any = None) -> dict[str, trainer.Run]:
        checkpointer = checkpointer or MemoryCheckpointer()
        task = trainer.Task(self.train, self.test, BATCH, STOP, self.state)
        trainer.Trainer(self.engines(), task, checkpointer, Progress(STOP.budget)).train(runs)
        ends: dict[str, trainer.Run] = checkpointer.ends
        return ends

    def average(self, checkpointer: MemoryCheckpointer, runs: list[average_run.Average], length: int = LENGTH) -> None:
        stop = dataclasses.replace(STOP, budget=2 * STOP.budget)
        how = AveragingSettings(burn_in=BURN_IN, length=length, until_converged=True)
        task = average_run.Task(self.train, self.test, BATCH, stop, how)
        averaging.average(runs, self.engines(), task, checkpointer, Progress(1))

    def averages(self) -> list[average_run.Average]:
        return [average_run.Average(f"{s}", 0.2, s, 40, partial(self.state, s)) for s in range(3)]


def _unlike(found: dict[str, Any], expected: dict[str, Any], arrays: tuple[str, ...] = ("state",)) -> list[str]:
    """Return what differs between ended runs: outcomes, histories, bytes of arrays."""
    unlike = []
    for name, run in expected.items():
        other = found.get(name)
        if other is None or other.outcome != run.outcome or getattr(other, "history", 0) != getattr(run, "history", 0):
            unlike.append(f"outcome of {name}")
            continue
        for group in arrays:
            one, two = getattr(other, group) or {}, getattr(run, group) or {}
            unlike += different(one, two, f"{name} ")
    return unlike


def refills(bench: Bench, kind: str) -> Found:
    """Compare more runs than replicas, of which one diverges, with each run alone."""
    digits = Digits(bench, kind)
    together = digits.trained(digits.runs())
    alone: dict[str, trainer.Run] = {}
    for run in digits.runs():
        alone |= digits.trained([run])
    return none_of(_unlike(together, alone), f"{len(alone)} runs in {REPLICAS} replicas and alone")


def checks(bench: Bench, kind: str) -> Found:
    """Compare cheap convergence checks with a full pass at each gate."""
    digits = Digits(bench, kind)
    quick = digits.trained(digits.runs())
    with mock.patch.object(ConvergenceCheck, "extend", return_value=False):
        full = digits.trained(digits.runs())
    return none_of(_unlike(quick, full), "with cheap checks and with full passes")


def resumed(bench: Bench, kind: str) -> Found:
    """Compare runs that are interrupted several times and resumed with runs that are not."""
    digits = Digits(bench, kind)
    straight = digits.trained(digits.runs())
    found, times = _again_and_again(digits.runs(), lambda checkpointer, runs: digits.trained(runs, checkpointer))
    return none_of(_unlike(found, straight) if times else ["no interruption"], f"with {times} interruptions and none")


def _again_and_again(
    todo: list[Any], bring: Callable[[MemoryCheckpointer, list[Any]], Any]
) -> tuple[dict[str, Any], int]:
    """Take runs to their end with checkpointers that interrupt, each later than the last; return the ends and how many did."""
    ends: dict[str, Any] = {}
    patience, times = 4, 0
    while todo:
        checkpointer = MemoryCheckpointer(patience)
        try:
            bring(checkpointer, todo)
        except Interrupted:
            times += 1
        ends |= checkpointer.ends
        todo = [checkpointer.saved.get(run.name, run) for run in todo if run.name not in ends]
        patience *= 3
    return ends, times


def averaged(bench: Bench, kind: str) -> Found:
    """Compare an average with the mean of iterates that are read one by one."""
    digits, checkpointer = Digits(bench, kind), MemoryCheckpointer()
    first = digits.averages()[0]
    digits.average(checkpointer, [first])
    engine = digits.engines()[0]
    with engine.scope():
        engine.put(0, digits.state(0), first.step_size)
    iterates = []
    for index in BatchSampler(len(digits.train), BATCH, first.seed).take(first.begin, BURN_IN + LENGTH):
        with engine.scope():
            engine.advance(index[None, None].to(bench.device))
        bench.wait()
        iterates.append(engine.get(0))
    ended = checkpointer.ends["0"]
    if ended.mean is None or ended.outcome["status"] != "averaged":
        return Found(f"status {ended.outcome['status']}", "averaged", 1.0, 0.0)
    apart = 0.0
    for name, mean in ended.mean.items():
        expected = np.mean([state[name].astype(np.float64) for state in iterates[BURN_IN:]], axis=0)
        apart = max(apart, float(np.abs(mean - expected).max() / np.abs(expected).max()))
    return at_most(apart, 1e-6, "relative distance from the mean of iterates")


def averages_resumed(bench: Bench, kind: str) -> Found:
    """Compare averages that are interrupted several times and resumed with averages that are not."""
    digits, straight = Digits(bench, kind), MemoryCheckpointer()
    digits.average(straight, digits.averages())
    found, times = _again_and_again(digits.averages(), digits.average)
    unlike = _unlike(found, straight.ends, ("state", "mean")) if times else ["no interruption"]
    return none_of(unlike, f"averages with {times} interruptions and none")


TRAININGS = {
    "refills": refills,
    "gates against full passes": checks,
    "interruption": resumed,
    "an average": averaged,
    "interruption of averages": averages_resumed,
}


def _trained(digits: Digits) -> State:
    (run,) = digits.trained([trainer.Run("one", 0.3, 0)]).values()
    assert run.state is not None
    return run.state


def pruned(bench: Bench, kind: str) -> Found:
    """Compare accuracies of a pruned network on the device with numpy's."""
    digits = Digits(bench, kind)
    weights = layers.weights(_trained(digits), None)
    _, here = data.splits(digits.dataset, None)
    methods, ratios = ("layer_magnitude", "global_magnitude", "singular_value", "node"), (0, 0.3, 0.6, 0.9, 1)
    found: list[list[float]] = []
    for device, split in ((bench.device, digits.test), (None, here)):
        measure = evaluate.fully_connected({"test": split})
        rows = [
            row["test_accuracy"]
            for method in methods
            for row in evaluate.pruning_rows(
                layers.placed(weights, device), measure, evaluate.Sweep(method, ratios), positions={}
            )
        ]
        found.append(rows)
    images = max(abs(one - other) for one, other in zip(*found, strict=True)) * len(digits.test)
    return at_most(round(images), 10 if bench.tf32 else 2, f"{len(found[0])} accuracies; images that differ at most:")


def timed_columns(bench: Bench, kind: str) -> Found:
    """Compare the logits of a network without its pruned columns with those of one in which they are zero."""
    digits = Digits(bench, kind)
    weights = layers.placed(layers.weights(_trained(digits), None), bench.device)
    rows = list(latency.latency_rows(weights, digits.test, ratios=(0, 0.5), p=2.0))
    apart = max(row["difference"] for row in rows)
    return at_most(apart, devices.rounding(bench.device), "relative difference of logits")


ANALYSES = {"pruning": pruned, "latency": timed_columns}
