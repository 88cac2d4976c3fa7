"""Measure what snapshots of tails add to training: config key ``snapshots`` as shipped, on a CPU.

    python -m benchmarks.snapshots --root FOLDER

FOLDER has MNIST. A narrow FCN4 trains to the stop rule. For width 2,048 one snapshot and some steps are timed, and the share is
computed for a number of iterations.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from benchmarks.convergence import MemoryCheckpointer
from sgdtails.config import study
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.runtime.progress import Progress
from sgdtails.training import snapshots, trainer
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import factory
from sgdtails.training.engines.base import Engine, State
from sgdtails.training.settings import Stop, snapshot_iterations

BATCH, STEP_SIZE, STEPS = 50, 0.2, 40


def network(width: int, dataset: data.Dataset, train: data.Split) -> tuple[Engine, Callable[[int], State]]:
    """Build an engine of an FCN4, and the function of a seed that returns its initial weights."""
    spec = {"fcn": [width] * 4}

    def build(seed: int = 0) -> torch.nn.Module:
        return models.build("m", dataset.shape, len(dataset.classes), {"m": spec}, seed=seed)

    (engine,) = factory.build_engines(spec, build, train, batch_size=BATCH, replicas=1)
    return engine, lambda seed: models.state(build(seed))


def converged(width: int, dataset: data.Dataset, stop: Stop, due: list[int]) -> dict[str, float]:
    """Train to the stop rule; return iterations, snapshots, and seconds: all of them, and those in snapshots."""
    train, test = data.splits(dataset, torch.device("cpu"))
    engine, initial = network(width, dataset, train)
    seconds: list[float] = []
    take = trainer.Trainer._take_snapshot

    def timed(*arguments: Any) -> None:
        begin = time.perf_counter()
        take(*arguments)
        seconds.append(time.perf_counter() - begin)

    checkpointer = MemoryCheckpointer()
    task = trainer.Task(train, test, BATCH, stop, initial, due)
    begin = time.perf_counter()
    with mock.patch.object(trainer.Trainer, "_take_snapshot", timed):
        trainer.Trainer([engine], task, checkpointer, Progress(stop.budget)).train([trainer.Run("run", STEP_SIZE, 0)])
    total = time.perf_counter() - begin
    (run,) = checkpointer.runs
    number = len({row["iteration"] for row in run.trajectory})
    return {"iterations": run.iteration, "snapshots": number, "seconds": total, "of snapshots": sum(seconds)}


def extrapolated(width: int, dataset: data.Dataset, iterations: int, due: list[int]) -> dict[str, float]:
    """Time steps and one snapshot of a network of this width; return ``converged`` for so many iterations, steps alone counted."""
    train, _ = data.splits(dataset, torch.device("cpu"))
    engine, initial = network(width, dataset, train)
    engine.put(0, initial(0), STEP_SIZE)
    order = BatchSampler(len(train), BATCH, 0).take(0, STEPS)[:, None]

    def fastest(work: Callable[[], object]) -> float:
        found = []
        for _ in range(4):
            begin = time.perf_counter()
            work()
            found.append(time.perf_counter() - begin)
        return min(found)

    step = fastest(lambda: engine.advance(order)) / STEPS
    snapshot = fastest(lambda: list(snapshots.per_layer(engine.weights(0))))
    number = sum(iteration < iterations for iteration in due) + 1
    spent = number * snapshot
    return {
        "iterations": iterations,
        "snapshots": number,
        "seconds": iterations * step + spent,
        "of snapshots": spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with MNIST")
    parser.add_argument("--narrow", type=int, default=256, help="width of the network that trains to the stop rule")
    parser.add_argument("--wide", type=int, default=2048, help="width whose share is extrapolated")
    parser.add_argument(
        "--iterations", type=int, default=44_177, help="of that one: the estimated median of FCN4 on MNIST"
    )
    how = parser.parse_args()
    config = study.read_config(None)
    stop = Stop(**config["stop"])
    due = snapshot_iterations(config["snapshots"], stop)
    devices.select("cpu", "fp32", 1)
    dataset = loaders.load("mnist", config["datasets"]["sources"]["mnist"], root=how.root, download=False)
    print("| width | iterations | snapshots | s training | s in snapshots | share |\n|---|---|---|---|---|---|")
    narrow = converged(how.narrow, dataset, stop, due)
    for width, found in ((how.narrow, narrow), (how.wide, extrapolated(how.wide, dataset, how.iterations, due))):
        share = found["of snapshots"] / found["seconds"]
        cells = [
            f"{found['iterations']:,}",
            f"{found['snapshots']}",
            f"{found['seconds']:.0f}",
            f"{found['of snapshots']:.2f}",
        ]
        print("| " + " | ".join([str(width), *cells, f"{share:.2%}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
