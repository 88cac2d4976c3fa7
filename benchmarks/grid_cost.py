"""What the paper's 215 runs cost, from the seconds of a step and the number of iterations.

    python -m benchmarks.grid_cost [--iterations 35000] [--steps results/benchmarks/training.json] [--flops F --bandwidth B]

Seconds of a step are those measured at width 2048 by ``benchmarks.training`` (its file is ``--steps``), or, given a device's
peaks in FLOP/s and byte/s, the least that its arithmetic and its memory allow: a bound, not a measurement. A run takes
``--iterations`` until it converges (assumed: no run at full width has been made here), and 10,000 more for its average.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml

from benchmarks import roofline
from sgdtails import grid

BASE = Path(__file__).parent.parent
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
NAMES = {"fcn4": "FCN4-2048", "fcn6": "FCN6-2048", "cnn": "CNN-64..512"}
AVERAGING = 10_000


def microseconds(
    run: grid.Run, config: dict[str, Any], measured: list[dict[str, Any]], peaks: tuple[float, float] | None
) -> float | None:
    """Of one step of a run: the fastest measured one of its network and batch size, or the bound from a device's peaks."""
    if peaks:
        layers = roofline.matrices(config["models"][run["model"]], SHAPES[run["dataset"]], 10)
        return 1e6 * max(roofline.flops(layers, run["batch_size"]) / peaks[0], roofline.traffic(layers) / peaks[1])
    fitting = [
        row["ours"] for row in measured if (row["network"], row["b"]) == (NAMES[run["model"]], run["batch_size"])
    ]
    return min(fitting, default=None)


def table(
    iterations: int, measured: list[dict[str, Any]], peaks: tuple[float, float] | None
) -> list[tuple[str, int, float | None]]:
    """Panel, runs, and hours on one device; None where no step of the panel was measured."""
    config = yaml.safe_load((BASE / "config/config.yaml").read_text())
    runs = grid.read_runs(
        str(BASE / config["runs"]), datasets=config["datasets"]["sources"], models=config["models"], base=BASE
    )
    hours: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    unknown = set()
    for run in runs.values():
        panel = f"{run['model'].upper()}, {run['dataset'].upper()}"
        counts[panel] += 1
        step = microseconds(run, config, measured, peaks)
        if step is None:
            unknown.add(panel)
        else:
            hours[panel] += (iterations + AVERAGING) * step / 3.6e9
    return [(panel, count, None if panel in unknown else hours[panel]) for panel, count in counts.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=35_000)
    parser.add_argument("--steps", default=str(BASE / "results/benchmarks/training.json"))
    parser.add_argument("--flops", type=float)
    parser.add_argument("--bandwidth", type=float)
    arguments = parser.parse_args()
    peaks = (arguments.flops, arguments.bandwidth) if arguments.flops and arguments.bandwidth else None
    measured = [] if peaks else json.loads(Path(arguments.steps).read_text(encoding="utf-8"))["steps"]
    rows = table(arguments.iterations, measured, peaks)
    print("| panel | runs | hours |\n|---|---|---|")
    for panel, count, hours in rows:
        print(f"| {panel} | {count} | {'not measured' if hours is None else f'{hours:,.2f}'} |")
    if all(hours is not None for *_, hours in rows):
        print(f"| all | {sum(count for _, count, _ in rows)} | {sum(hours or 0 for *_, hours in rows):,.2f} |")


if __name__ == "__main__":
    main()
