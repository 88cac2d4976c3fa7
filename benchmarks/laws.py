"""Measure the laws of one FCN4: all fits, labels and tests of fit.

    python -m benchmarks.laws [--width 2048]

Seconds are core seconds, user and system, in one process that has made no table of stable densities yet. Memory is the peak that
numpy allocates for one hidden layer beside its weights, divided by the layer's size.
"""

import argparse
import json
import time
import tracemalloc
from pathlib import Path

from benchmarks.pruning import network
from sgdtails.io import storage
from sgdtails.tail_index.laws import layer_laws

BASE = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/laws.json"))
    arguments = parser.parse_args()
    weights = network(arguments.width, 784)
    begin = time.process_time()
    rows = list(layer_laws.per_layer(weights, seed=0))
    seconds = time.process_time() - begin
    layer = weights["fc2"]
    begin = time.process_time()
    layer_laws.of_layer(layer)
    again = time.process_time() - begin
    tracemalloc.start()
    layer_laws.of_layer(layer)
    memory = tracemalloc.get_traced_memory()[1] / layer.nbytes
    tracemalloc.stop()
    labels = {row["layer_name"]: row["label"] for row in rows}
    print("| network, core seconds | one layer, once tables are made | memory / layer |\n|---|---|---|")
    print(f"| {seconds:.1f} | {again:.1f} | {memory:.1f} |")
    print(f"\nLabels: {labels}")
    with storage.atomic(arguments.output) as temporary:
        record = {"arguments": vars(arguments), "seconds": seconds, "again": again, "memory": memory, "labels": labels}
        temporary.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
