"""What claims are about: one number per run, per layer of a run, or per bin, from the tables of a study."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sgdtails import tables
from sgdtails.tail_index import CLIP

Reals = NDArray[np.float64]
Run = dict[str, Any]
Layers = dict[str, dict[int, Any]]  # by run, then by layer


@dataclass(frozen=True, eq=False)
class Study:
    """The tables that claims are tested on; ``clip``: whether tail indices are taken as published, clipped at 2.

    ``weights``: which of a run's networks is pruned, whose accuracy counts.
    """

    runs: pa.Table
    tails: pa.Table
    compression: pa.Table
    pruning: pa.Table
    synthetic: pa.Table
    histograms: pa.Table
    clip: bool = False
    weights: str = "last"

    @cached_property
    def panels(self) -> dict[str, list[Run]]:
        """Every run by panel title, such as FCN4, DIGITS."""
        groups = tables.panels(self.runs.to_pylist()).values()
        return {tables.panel_title(rows[0]): rows for rows in groups}

    @cached_property
    def aggregates(self) -> dict[tuple[str, str], Layers]:
        """Rows of aggregated tail indices (those without a block length) by (estimator, weights), run and layer."""
        found: dict[tuple[str, str], Layers] = defaultdict(lambda: defaultdict(dict))
        for row in self.tails.filter(pc.field("k1").is_null()).to_pylist():
            if self.clip and row["alpha"] is not None:
                row["alpha"] = min(row["alpha"], CLIP)
            found[row["estimator"], row["weights"]][row["run"]][row["layer"]] = row
        return found

    def layers(self, run: str, estimator: str, weights: str) -> dict[int, Any]:
        """Aggregated rows of one run by layer; none if the table has none."""
        return self.aggregates.get((estimator, weights), {}).get(run, {})

    @cached_property
    def curves(self) -> dict[str, dict[str, tuple[Reals, Reals]]]:
        """By method and run: pruned ratios, ascending, and relative test accuracies of the trained network."""
        rows: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        wanted = (pc.field("weights") != "initial") & pc.field("relative_test_accuracy").is_valid()
        if "epsilon" in self.pruning.column_names:  # tables of earlier versions have ratios only
            wanted &= pc.field("epsilon").is_null()
        columns = ["method", "run", "pruned_ratio", "relative_test_accuracy"]
        for row in self.pruning.filter(wanted).select(columns).to_pylist():
            rows[row["method"]][row["run"]].append((row["pruned_ratio"], row["relative_test_accuracy"]))
        return {
            method: {run: tuple(np.array(sorted(points)).T) for run, points in runs.items()}
            for method, runs in rows.items()
        }

    @cached_property
    def pruned(self) -> dict[tuple[float, float], Layers]:
        """1 - kappa of the entries of each trained layer, by (p, epsilon), run and layer."""
        found: dict[tuple[float, float], Layers] = defaultdict(lambda: defaultdict(dict))
        wanted = (pc.field("weights") != "initial") & (pc.field("structure") == "entries")
        columns = ["run", "layer", "p", "epsilon", "kappa"]
        for row in self.compression.filter(wanted).select(columns).to_pylist():
            found[row["p"], row["epsilon"]][row["run"]][row["layer"]] = 1 - row["kappa"]
        return found

    @cached_property
    def simulated(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of simulated matrices by structure."""
        found = defaultdict(list)
        for row in self.synthetic.to_pylist():
            found[row["structure"]].append(row)
        return found


def eta_over_b(study: Study, run: Run) -> float:
    """log10 of step size / batch size."""
    return math.log10(run["eta_over_b"])


def test_accuracy(study: Study, run: Run) -> float | None:
    """Of the network that is pruned, before pruning."""
    return tables.accuracy_of(run, study.weights)


def alpha(study: Study, run: Run, *, estimator: str = "mmo_multivariate", weights: str = "average") -> float | None:
    """Mean tail index over the layers that have one, as the paper takes it; None if none has.

    Of estimators other than the paper's, which can be infinite, it is the harmonic mean: that of 1/alpha.
    """
    values = np.array([row["alpha"] for row in estimated(study.layers(run["run"], estimator, weights))])
    if not len(values):
        return None
    if estimator.startswith("mmo"):
        return float(values.mean())
    inverse = float((1 / values).mean())
    return 1 / inverse if inverse > 0 else math.inf


def estimated(layers: Mapping[int, Any]) -> list[Any]:
    """The rows of layers that have an estimate."""
    return [row for row in layers.values() if row["alpha"] is not None]


def area(study: Study, run: Run, *, method: str, low: float, high: float) -> float | None:
    """Mean relative test accuracy over pruned ratios from low to high, linear between measured ratios; None if not covered."""
    curve = study.curves.get(method, {}).get(run["run"])
    if curve is None or curve[0][0] > low or curve[0][-1] < high - 1e-9:
        return None
    ratios, accuracies = curve
    grid = np.unique(np.concatenate([[low, high], ratios[(ratios > low) & (ratios < high)]]))
    return float(np.trapezoid(np.interp(grid, ratios, accuracies), grid) / (high - low))


def distance(study: Study, run: Run, *, structure: str, bins: int) -> float | None:
    """Mean distance, in 1 - kappa, of a run's layers from the curve of medians of simulated matrices (figure 8) at their alpha.

    Layers' indices are clipped at 2; layers heavier than any simulated matrix, and the head, are left out.
    """
    rows = study.simulated.get(structure)
    if not rows:
        return None
    simulated = np.array([(row["alpha"], 1 - row["kappa"]) for row in rows]).T
    pruned = study.pruned.get((rows[0]["p"], rows[0]["epsilon"]), {}).get(run["run"], {})
    layers = study.layers(run["run"], "mmo_multivariate", "average")
    points = [
        (min(layers[layer]["alpha"], CLIP), pruned[layer])
        for layer in hidden(layers)
        if layer in pruned and layers[layer]["alpha"] is not None
    ]
    points = [point for point in points if point[0] >= simulated[0].min()]
    if not points:
        return None
    indices, ratios = np.array(points).T
    return float(np.abs(ratios - np.interp(indices, *median_curve(*simulated, bins=bins))).mean())


def median_curve(x: Reals, y: Reals, *, bins: int) -> tuple[Reals, Reals]:
    """Median x and y of ``bins`` groups of points (n,), in the order of x, of sizes equal to within one; at most n groups."""
    order = np.array_split(np.argsort(x, kind="stable"), min(bins, len(x)))
    return np.array([np.median(x[part]) for part in order]), np.array([np.median(y[part]) for part in order])


def hidden(layers: Iterable[int]) -> list[int]:
    """All layers but the last one, the head."""
    return sorted(layers)[:-1]


QUANTITIES: dict[str, Callable[..., float | None]] = {
    "eta_over_b": eta_over_b,
    "test_accuracy": test_accuracy,
    "alpha": alpha,
    "area": area,
    "distance": distance,
}


def measure(study: Study, run: Run, quantity: Mapping[str, Any]) -> float | None:
    """A quantity of a run, as named and described in a claim."""
    settings = {key: value for key, value in quantity.items() if key != "of"}
    return QUANTITIES[quantity["of"]](study, run, **settings)


def standard_error(study: Study, run: Run) -> float | None:
    """Standard error of the mean tail index from the layers' own 95% intervals; None where an estimate has none."""
    return interval_error(estimated(study.layers(run["run"], "mmo_multivariate", "average")))


def interval_error(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Standard error of the mean of independent estimates from their 95% intervals; None where one is missing or infinite."""
    rows = list(rows)
    bounds = [(row["alpha_low"], row["alpha_high"]) for row in rows]
    if not rows or any(end is None or not math.isfinite(end) for pair in bounds for end in pair):
        return None
    return math.sqrt(sum(((high - low) / (2 * 1.96)) ** 2 for low, high in bounds)) / len(rows)


def bin_counts(study: Study, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Weights per bin of each series of one panel's histograms, and below and above all bins; empty if N is not known.

    A half is half of the layer's N weights. What lies outside the bins is split evenly: the laws are symmetric.
    """
    first = rows[0]
    matches = study.layers(first["run"], "mmo_univariate", "average").values()
    size = next((row["observations"] for row in matches if row["layer_name"] == first["layer_name"]), None)
    if size is None:
        return {}
    counts = {}
    for series in dict.fromkeys(row["series"] for row in rows):
        bins = sorted((row["low"], row["high"], row["density"]) for row in rows if row["series"] == series)
        n = {"half_a": size // 2, "half_b": size - size // 2}.get(series, size)
        inside = np.array([round(density * (high - low) * n) for low, high, density in bins])
        outside = max(n - int(inside.sum()), 0)
        counts[series] = np.array([outside // 2, *inside, outside - outside // 2], dtype=np.int64)
    return counts
