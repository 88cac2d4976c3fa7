"""Predict what a study costs: iterations, hours and disk of each panel. Without a config: of the paper's 215 runs.

    python -m benchmarks.grid_cost [--configfile FILE] [--steps results/benchmarks/training.json] [--flops F --bandwidth B]

*Iterations* until runs converge are those of ``benchmarks.iterations``, which was fitted on narrow networks on MNIST, at
most ``stop.budget``; ``--iterations N`` takes N for all instead. A run that converges is then averaged (``average.burn_in``
and ``length``), pruned and analysed; one at its budget is not.

*Seconds of a step* are those measured at width 2048 by ``benchmarks.training`` (its file is ``--steps``), or, given a
device's peaks in FLOP/s and byte/s, the least that its arithmetic and its memory allow: a bound, not a measurement.

*Pruning* evaluates a network once for each method and ratio, or relative error, on each image of ``pruning.evaluate``: each
image costs a third of a step's share of it (with peaks: its products forward), for each of ``--networks`` of a run.
*Analyses* (tails, compression, perturbation, bounds) take ``--analysis`` core-seconds for a million weights.
*GB* are weights on disk, as many at one time as config key ``weights.keep`` lets there be.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import iterations, roofline
from sgdtails.config import prunable_layers, study, study_size
from sgdtails.config.types import Model, Run

BASE = Path(__file__).parent.parent
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
IMAGES = {"mnist": {"train": 60_000, "test": 10_000}, "cifar10": {"train": 50_000, "test": 10_000}}
NAMES = {"fcn4": "FCN4-2048", "fcn6": "FCN6-2048", "cnn": "CNN-64..512"}
CLASSES = 10
ANALYSIS = 4.2  # core-seconds per million weights: 60 for an FCN4-2048, docs/performance.md
NOT_ADAPTIVE = "global_magnitude"
Config = dict[str, Any]
Layers = list[tuple[int, int]]


@dataclass(frozen=True)
class How:
    """How costs are predicted: from measured steps, or peaks in FLOP/s and byte/s; with ``fixed`` iterations, or laws by model."""

    measured: Sequence[Mapping[str, Any]] = ()
    peaks: tuple[float, float] | None = None
    laws: Mapping[str, iterations.Law] | None = None
    fixed: int | None = None
    networks: int = 1
    analysis: float = ANALYSIS


@dataclass(frozen=True)
class Cost:
    """Cost of one run: iterations to convergence or to its budget, and seconds (None if no such step was measured)."""

    iterations: float
    at_budget: bool
    training: float | None
    pruning: float | None
    analysis: float


def run_cost(run: Run, layers: Layers, config: Config, how: How) -> Cost:
    """Predict the cost of one run; ``layers`` are from ``layers_of``."""
    spec, budget = config["models"][run["model"]], config["stop"]["budget"]
    wanted = how.fixed or _law(run, how).iterations(run["step_size"], run["batch_size"])
    at_budget = wanted >= budget
    averaged = 0 if at_budget else config["average"]["burn_in"] + config["average"]["length"]
    step, image = seconds(run, layers, how)
    forwards = 0 if at_budget else how.networks * evaluations(spec, config["pruning"]) * _images(run, config)
    weights = sum(count for count, _ in layers)
    return Cost(
        iterations=min(wanted, budget),
        at_budget=at_budget,
        training=None if step is None else (min(wanted, budget) + averaged) * step,
        pruning=None if image is None else forwards * image,
        analysis=0.0 if at_budget else how.analysis * weights / 1e6,
    )


def layers_of(run: Run, config: Config) -> Layers:
    """Return weights and output positions per image of each layer of a run's network."""
    return roofline.matrices(config["models"][run["model"]], SHAPES[run["dataset"]], CLASSES)


def _law(run: Run, how: How) -> iterations.Law:
    if not how.laws or run["model"] not in how.laws:
        raise SystemExit(f"no study says how many iterations {run['model']} takes; give --iterations, or its --tables.")
    return how.laws[run["model"]]


def seconds(run: Run, layers: Layers, how: How) -> tuple[float | None, float | None]:
    """Return the seconds of a step and of one image forward: from the fastest measured step, or bounds from peaks."""
    if how.peaks:
        flops, bandwidth = how.peaks
        step = max(roofline.flops(layers, run["batch_size"]) / flops, roofline.traffic(layers) / bandwidth)
        return step, sum(2 * weights * positions for weights, positions in layers) / flops
    name = NAMES.get(run["model"])
    fitting = [row["ours"] for row in how.measured if (row["network"], row["b"]) == (name, run["batch_size"])]
    if not fitting:
        return None, None
    return min(fitting) / 1e6, min(fitting) / 1e6 / run["batch_size"] / 3


def evaluations(spec: Model, pruning: Mapping[str, Any]) -> int:
    """Count the evaluations of a network while it is pruned: one per ratio or relative error of each method."""
    methods = prunable_layers.methods(spec, pruning)
    adaptive = len(pruning["adaptive"]["epsilon"]) * sum(method != NOT_ADAPTIVE for method in methods)
    own = sum(len(method["ratios"]) for method in pruning["own"].values())
    return sum(len(pruning[method]["ratios"]) for method in methods) + adaptive + own


def _images(run: Run, config: Config) -> int:
    return sum(IMAGES[run["dataset"]][split] for split in config["pruning"]["evaluate"])


def table(config: Config, how: How) -> list[str]:
    """Return a Markdown table with a line per panel and one for all of them."""
    runs = study.Study.read(config, BASE).runs
    panels: dict[str, list[str]] = {}
    for name, run in runs.items():
        panels.setdefault(f"{run['model'].upper()}, {run['dataset'].upper()}", []).append(name)
    costs: dict[str, Cost] = {}
    for names in panels.values():
        layers = layers_of(runs[names[0]], config)
        costs |= {name: run_cost(runs[name], layers, config, how) for name in names}
    lines = [
        "| panel | runs | iterations, median | at the budget | h training | h pruning | core-h analyses | GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for panel, names in [*panels.items(), ("all", list(runs))]:
        some = [costs[name] for name in names]
        size = study_size.measure(config, {name: runs[name] for name in names}, Path("nowhere")).most
        lines.append(f"| {panel} | {len(names)} | {_counts(some)} | {_hours(some)} | {size / 1e9:,.1f} |")
    return lines


def _counts(costs: Sequence[Cost]) -> str:
    share = sum(cost.at_budget for cost in costs) / len(costs)
    return f"{statistics.median(cost.iterations for cost in costs):,.0f} | {share:.0%}"


def _hours(costs: Sequence[Cost]) -> str:
    parts = [[getattr(cost, name) for cost in costs] for name in ("training", "pruning", "analysis")]
    return " | ".join("not measured" if None in part else f"{sum(part) / 3600:,.2f}" for part in parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, help="of a study on MNIST and CIFAR10")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--tables", type=Path, nargs="+", default=iterations.TABLES, help="runs.parquet of studies")
    parser.add_argument("--steps", type=Path, default=BASE / "results/benchmarks/training.json")
    parser.add_argument("--flops", type=float)
    parser.add_argument("--bandwidth", type=float)
    parser.add_argument("--networks", type=int, default=1, help="of each run that are pruned")
    parser.add_argument("--analysis", type=float, default=ANALYSIS, help="core-seconds per million weights")
    given = parser.parse_args(arguments)
    peaks = (given.flops, given.bandwidth) if given.flops and given.bandwidth else None
    if not peaks and not given.steps.is_file():
        parser.error(f"there is no {given.steps}; run python -m benchmarks.training, or give --flops and --bandwidth")
    measured = [] if peaks else json.loads(given.steps.read_text(encoding="utf-8"))["steps"]
    laws = None if given.iterations else iterations.laws(iterations.read(given.tables))
    how = How(measured, peaks, laws, given.iterations, given.networks, given.analysis)
    print(*table(study.read_config(given.configfile), how), sep="\n")


if __name__ == "__main__":
    main()
