"""Measure SGD of this library, and of what a user would write instead.

    python -m benchmarks.training [--device cpu] [--precision fp32] [--root FOLDER] [--output FILE]

Steps, for networks of several widths, batch sizes, threads and numbers of runs side by side (K): (a) ours, (b) a module
and torch.optim.SGD on normalised images on the device. Both run in one process, in turn; the median of the rounds counts.
To convergence on one thread, an FCN4 of width 256: (a) ours, run; (b) as above with a full pass at every gate; (c) what
most people write: a torchvision dataset, transforms image by image, a loader, both sets evaluated once per epoch; (d) the
same with the paper's procedure, both sets every 200 iterations. (b), (c) and (d) would take hours: their
seconds are predicted from measured steps and passes, for as many iterations as (a) took. ``--root`` is where torchvision
finds MNIST; without it, digits are used.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import convergence, roofline
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.io import storage
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import base, factory
from sgdtails.training.settings import Stop

BASE = Path(__file__).parent.parent
NARROW_CNN = {"cnn": [16, "M", 32, "M", 64, 64, "M"]}
STEP_SIZE = 0.01
PAPERS_CNN = {"cnn": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]}


def fcn(depth: int, width: int) -> dict[str, Any]:
    return {"fcn": [width] * depth}


# Name, entry of ``models``, batch size, runs side by side, threads.
ON_CPU = [
    *[(f"FCN4-{width}", fcn(4, width), 50, replicas, 1) for width in (32, 128) for replicas in (1, 4)],
    *[(f"FCN4-{width}", fcn(4, width), batch, 1, 1) for width, batch in ((256, 50), (128, 100), (256, 100))],
    *[
        (f"FCN{depth}-2048", fcn(depth, 2048), batch, 1, threads)
        for depth in (4, 6)
        for batch in (50, 100)
        for threads in (1, 2)
    ],
    *[("FCN6-128", fcn(6, 128), 50, replicas, 1) for replicas in (1, 4)],
    ("CNN-16..64", NARROW_CNN, 50, 1, 1),
]
ON_GPU = [
    *[
        (f"FCN{depth}-2048", fcn(depth, 2048), batch, k, 1)
        for depth in (4, 6)
        for batch in (50, 100)
        for k in (1, 8, 16)
    ],
    *[("CNN-64..512", PAPERS_CNN, batch, k, 1) for batch in (50, 100) for k in (1, 8)],
]


Steps = Callable[[int], None]  # takes this many more steps
States = Callable[[], list[base.State]]  # the weights of each run


def ours(spec: dict[str, Any], train: data.Split, batch: int, replicas: int) -> tuple[Steps, States]:
    """Return functions that take steps of ``replicas`` runs as the trainer does, and that return their states."""
    nets = _nets(spec, train, replicas)
    engines = factory.build_engines(spec, lambda: _nets(spec, train, 1)[0], train, batch_size=batch, replicas=replicas)
    places = [(engine, replica) for engine in engines for replica in range(engine.replicas)]
    for model, (engine, replica) in zip(nets, places, strict=True):
        engine.put(replica, models.state(model), STEP_SIZE)
    orders = [BatchSampler(len(train), batch, seed) for seed in range(replicas)]
    begun = 0

    def steps(count: int) -> None:
        nonlocal begun
        taking, work = iter(orders), []
        for engine in engines:
            taken = [next(taking).take(begun, count) for _ in range(engine.replicas)]
            work.append((engine, torch.stack(taken, dim=1)))
        begun += count
        base.interleave(work, lambda: False)

    return steps, lambda: [engine.get(replica) for engine, replica in places]


def plain(spec: dict[str, Any], train: data.Split, batch: int, replicas: int) -> tuple[Steps, States]:
    """Return the same for modules under torch.optim.SGD, ``replicas`` networks one after the other."""
    images, labels = train.batch(slice(None))
    nets = _nets(spec, train, replicas)
    optimizers = [torch.optim.SGD(model.parameters(), lr=STEP_SIZE) for model in nets]
    orders = [BatchSampler(len(train), batch, seed) for seed in range(replicas)]
    begun = 0

    def steps(count: int) -> None:
        nonlocal begun
        for model, optimizer, order in zip(nets, optimizers, orders, strict=True):
            for index in order.take(begun, count).to(images.device):
                optimizer.zero_grad()
                cross_entropy(model(images[index]), labels[index]).backward()
                optimizer.step()
        begun += count

    return steps, lambda: [models.state(model) for model in nets]


def _nets(spec: dict[str, Any], train: data.Split, count: int) -> list[nn.Module]:
    shape, device = tuple(train.images.shape[1:]), train.labels.device
    return [models.build("m", shape, 10, {"m": spec}, seed=seed).to(device) for seed in range(count)]


def compare(
    spec: dict[str, Any], train: data.Split, batch: int, replicas: int, *, seconds: float, rounds: int = 9
) -> dict[str, float]:
    """Return the median microseconds per run and step of both ways, which run in turn for about ``seconds`` each."""
    device = train.labels.device
    ways = {name: way(spec, train, batch, replicas)[0] for name, way in (("ours", ours), ("plain", plain))}
    times: dict[str, list[float]] = {name: [] for name in ways}
    once = roofline.best(lambda: ways["plain"](3), 2, device) / 3
    # A whole number of graphs on a GPU; at most an epoch.
    count = max(1, min(int(seconds / rounds / once), len(train) // batch))
    count = max(count // 40, 1) * 40 if device.type == "cuda" else count
    for way in ways.values():
        way(count)
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(roofline.best(lambda way=way: way(count), 1, device))  # type: ignore[misc]
    return {name: 1e6 * statistics.median(found) / count / replicas for name, found in times.items()}


def step_table(dataset: data.Dataset, device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """Return a row per network, batch size and K."""
    train, _ = data.splits(dataset, device)
    rows = []
    for name, spec, batch, replicas, threads in ON_GPU if device.type == "cuda" else ON_CPU:
        torch.set_num_threads(threads)
        arithmetic, bandwidth = roofline.peaks(device)
        layers = roofline.matrices(spec, dataset.shape, len(dataset.classes))
        flops, traffic = roofline.flops(layers, batch), roofline.traffic(layers)
        times = compare(spec, train, batch, replicas, seconds=seconds)
        limit = 1e6 * max(
            flops / arithmetic, traffic / bandwidth if traffic > 2**25 else 0
        )  # smaller networks stay in caches
        row = {
            "network": name,
            "b": batch,
            "K": replicas,
            "threads": threads,
            **times,
            "plain / ours": times["plain"] / times["ours"],
        }
        row |= {"MFLOP": flops / 1e6, "MB": traffic / 1e6, "limit": limit, "share of peak": limit / times["ours"]}
        rows.append(row)
        print(_line(row), flush=True)
    torch.set_num_threads(1)
    return rows


def _line(row: dict[str, Any]) -> str:
    numbers = [f"{row[key]:,.{digits}f}" for key, digits in (("ours", 0), ("plain", 0), ("plain / ours", 2))]
    counts = [f"{row['MFLOP']:,.0f}", f"{row['MB']:,.1f}", f"{row['limit']:,.0f}", f"{row['share of peak']:.0%}"]
    return (
        "| " + " | ".join([row["network"], str(row["b"]), str(row["K"]), str(row["threads"]), *numbers, *counts]) + " |"
    )


HEADER = "| network | b | K | threads | ours, µs | plain, µs | plain / ours | MFLOP | MB | limit, µs | share of peak |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32"), default="fp32")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each way and network")
    parser.add_argument("--root")
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/training.json"))
    arguments = parser.parse_args()
    config = yaml.safe_load((BASE / "config/config.yaml").read_text())
    device = devices.select(arguments.device, arguments.precision, 1)
    name = "mnist" if arguments.root else "digits"
    dataset = loaders.load(name, config["datasets"]["sources"][name], root=arguments.root or ".", download=False)
    arithmetic, bandwidth = roofline.peaks(device)
    print(
        f"{devices.describe(device)}, {arguments.precision}, {name}: "
        f"{arithmetic / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.0f} GB/s\n\n{HEADER}\n{'|---' * 11}|"
    )
    steps = step_table(dataset, device, arguments.seconds)
    same = next((row for row in steps if (row["network"], row["b"], row["K"]) == ("FCN4-256", 50, 1)), None)
    stop = Stop(**config["stop"])
    whole = convergence.table(arguments.root, dataset, device, stop, same["plain"] / 1e6) if same else {}
    with storage.atomic(arguments.output) as temporary:
        record = {
            "arguments": vars(arguments),
            "device": devices.describe(device),
            "steps": steps,
            "convergence": whole,
        }
        temporary.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
