"""Measure tail indices of one FCN4: every estimator with intervals, and the two published ones in the plainest way.

    python -m benchmarks.tails [--width 2048]

The plain way shuffles the observations, sums blocks and takes logarithms again for each permutation and K1, in float64,
and computes no intervals. Seconds are core seconds, user and system, of one hidden layer and of the network. Memory is the
peak that numpy allocates for one layer beside its weights, divided by the layer's size.
"""

import argparse
import json
import math
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pruning import network
from sgdtails import layers
from sgdtails.io import storage
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.block_estimates import Settings

BASE = Path(__file__).parent.parent
WITHOUT = Settings(robustness=False)


def ours(weights: dict[str, Any]) -> dict[str, list[float]]:
    """Return published values by estimator; ten estimators with intervals are computed, too."""
    rows = [row for row in layer_tails.per_layer(weights, seed=0, settings=WITHOUT) if row["k1"] is None]
    return {
        name: [row["alpha_published"] for row in rows if row["estimator"] == name] for name in layer_tails.ESTIMATORS
    }


def plain(weights: dict[str, Any]) -> dict[str, list[float]]:
    """Return the published aggregates only."""
    rng = np.random.default_rng(0)
    result: dict[str, list[float]] = {name: [] for name in layer_tails.ESTIMATORS}
    for index, weight in enumerate(weights.values()):
        for name, purpose in layer_tails.ESTIMATORS.items():
            sample = layers.centre(layers.observations(weight, purpose, head=index == len(weights) - 1))  # type: ignore[arg-type]
            sample = sample.reshape(len(sample), -1)
            per_permutation = []
            for _ in range(tail_index.PERMUTATIONS):
                alphas = []
                for k1 in tail_index.block_lengths(len(sample)):
                    shuffled = sample[rng.permutation(len(sample))]
                    sums = shuffled.reshape(-1, k1, sample.shape[1]).sum(axis=1)
                    norms, whole = (np.linalg.norm(each, axis=1) for each in (shuffled, sums))
                    inverse = (np.log(whole).mean() - np.log(norms[norms > 0]).mean()) / math.log(k1)
                    alphas.append(1 / inverse)
                per_permutation.append(np.median(alphas))
            result[name].append(min(float(np.median(per_permutation)), tail_index.CLIP))
    return result


def measured(ways: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the core seconds of each way, and its values."""
    seconds, found = {}, {}
    for name, way in ways.items():
        begin = time.process_time()
        found[name] = way()
        seconds[name] = time.process_time() - begin
    return seconds, found


def peak(weight: Any, settings: Settings) -> float:
    """Return the peak memory of one layer's tails, divided by the layer's size."""
    tracemalloc.start()
    list(layer_tails.of_layer(weight, settings=settings))
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(largest / weight.nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/tails.json"))
    arguments = parser.parse_args()
    weights = network(arguments.width, 784)
    list(layer_tails.of_layer(weights["head"]))  # imports scipy
    layer = weights["fc2"]
    seconds, found = measured(
        {
            "plain": lambda: plain(weights),
            "ours": lambda: ours(weights),
            "with variants": lambda: list(layer_tails.per_layer(weights, seed=0)),
            "readings": lambda: list(layer_tails.per_layer_classes(weights, seed=0)),
            "layer": lambda: list(layer_tails.of_layer(layer, settings=WITHOUT)),
            "layer with variants": lambda: list(layer_tails.of_layer(layer)),
        }
    )
    memory = {"layer": peak(layer, WITHOUT), "layer with variants": peak(layer, Settings())}
    apart = max(np.abs(np.subtract(found["ours"][name], found["plain"][name])).max() for name in found["ours"])
    print("| core seconds | network | over the plain way | one layer | memory / layer |\n|---|---|---|---|---|")
    print(f"| plain, two estimators without intervals | {seconds['plain']:.1f} | 1 | | |")
    for name, single, words in (
        ("ours", "layer", "ten estimators with intervals"),
        ("with variants", "layer with variants", "and the published variants"),
    ):
        ratio = seconds[name] / seconds["plain"]
        print(f"| {words} | {seconds[name]:.1f} | {ratio:.2f} | {seconds[single]:.2f} | {memory[single]:.1f} |")
    print(f"| readings | {seconds['readings']:.1f} | {seconds['readings'] / seconds['plain']:.2f} | | |")
    print(f"| tails and readings | {seconds['with variants'] + seconds['readings']:.1f} | | | |")
    print(f"\nLargest difference of ours from the plain way: {apart:.4f}")
    with storage.atomic(arguments.output) as temporary:
        record = {
            "arguments": vars(arguments),
            "seconds": seconds,
            "memory": memory,
            "alpha": {name: found[name] for name in ("ours", "plain")},
        }
        temporary.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
