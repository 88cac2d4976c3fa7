"""What claims are about: one number per run, per layer of a run, or per bin, from the tables of a study."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sgdtails.claims import claim_curves
from sgdtails.io import tables
from sgdtails.tail_index.mmo import CLIP
from sgdtails.tail_index.network_index import Index

Reals = NDArray[np.float64]
Run = dict[str, Any]
Layers = dict[str, dict[int, Any]]  # by run, then by layer


@dataclass(frozen=True, eq=False)
class Study:
    """The tables that claims are tested on.

    ``index``: what a network's tail index is, as in figure 1; ``weights``: which of a run's networks is pruned, whose accuracy counts.
    """

    runs: pa.Table
    tails: pa.Table
    compression: pa.Table
    pruning: pa.Table
    synthetic: pa.Table
    histograms: pa.Table
    index: Index = field(default_factory=Index)
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
            found[row["estimator"], row["weights"]][row["run"]][row["layer"]] = row
        return found

    def layers(self, run: str, estimator: str = "", weights: str = "average") -> dict[int, Any]:
        """Aggregated rows of one run by layer, of the index's own estimator if none is named; none if the table has none."""
        return self.aggregates.get((estimator or self.index.estimator, weights), {}).get(run, {})

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
    def curve(self) -> Callable[[str, int], tuple[Reals, Reals]]:
        """The curve of simulated matrices of a structure, given with its number of groups."""
        return cache(lambda structure, bins: claim_curves.curve(self.simulated[structure], bins=bins))

    @cached_property
    def resampled_curves(self) -> Callable[[str, int, int, int], tuple[Reals, Reals]]:
        """Curves of bootstrap resamples of a structure's matrices, given with groups, number of resamples and seed."""

        @cache
        def curves(structure: str, bins: int, bootstrap: int, seed: int) -> tuple[Reals, Reals]:
            rng = np.random.default_rng([seed, len(self.simulated[structure])])
            return claim_curves.resampled(self.simulated[structure], bins=bins, bootstrap=bootstrap, rng=rng)

        return curves

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


def alpha(
    study: Study, run: Run, *, estimator: str = "", weights: str = "average", value: str = "", layers: str = ""
) -> float | None:
    """The network's tail index, as config key ``index`` has it but for the parts that are named; None if no layer has one."""
    named = index_of(study, {"estimator": estimator, "value": value, "layers": layers})
    return named.of_network(study.layers(run["run"], named.estimator, weights).values())


def index_of(study: Study, quantity: Mapping[str, Any]) -> Index:
    """The study's index with the parts that a quantity names."""
    parts = {part: quantity[part] for part in ("estimator", "value", "layers") if quantity.get(part)}
    return replace(study.index, **parts)


def valued(study: Study, claim: Mapping[str, Any]) -> Study:
    """The study with the value of a layer that a claim names."""
    return replace(study, index=index_of(study, {"value": claim["value"]})) if "value" in claim else study


def words(study: Study, quantity: Mapping[str, Any]) -> str:
    """A quantity in words; a tail index with what it is the index of, and how it is defined."""
    of = quantity["of"]
    if of != "alpha":
        detail = quantity.get("method") or quantity.get("structure")
        name = {"eta_over_b": "eta/b", "test_accuracy": "test accuracy"}.get(of, of)
        return f"{name} ({detail})" if detail else name
    index, weights = index_of(study, quantity), quantity.get("weights", "average")
    return f"{index.label} ({index.estimator}{'' if weights == 'average' else ', ' + weights + ' weights'})"


_PARTS = ("x", "y", "control", "first", "second")


def described(study: Study, claim: Mapping[str, Any]) -> str:
    """What a claim's effect is of, in words: its quantities or series, or the tail index where the kind of claim has one."""
    named = [claim[part] for part in _PARTS if part in claim]
    if named:
        return "; ".join(part if isinstance(part, str) else words(study, part) for part in named)
    index = valued(study, claim).index
    if claim["kind"] == "layer_correlation":
        return f"tail index of each layer{', clipped at 2' * index.clipped} ({index.estimator}); its pruned share"
    return f"{index.label} ({index.estimator})"


def area(study: Study, run: Run, *, method: str, low: float, high: float) -> float | None:
    """Mean relative test accuracy over pruned ratios from low to high, linear between measured ratios; None if not covered."""
    curve = study.curves.get(method, {}).get(run["run"])
    if curve is None or curve[0][0] > low or curve[0][-1] < high - 1e-9:
        return None
    ratios, accuracies = curve
    grid = np.unique(np.concatenate([[low, high], ratios[(ratios > low) & (ratios < high)]]))
    return float(np.trapezoid(np.interp(grid, ratios, accuracies), grid) / (high - low))


def distance(study: Study, run: Run, *, structure: str, bins: int) -> float | None:
    """Mean distance, in 1 - kappa, of a run's layers from the curve of simulated matrices (figure 8) at their alpha.

    Layers' indices are clipped at 2; layers heavier than any simulated matrix, and the head, are left out.
    """
    rows = study.simulated.get(structure)
    if not rows:
        return None
    xs, ys = study.curve(structure, bins)
    indices, ratios = _pruned_layers(study, run, rows[0], xs[0])
    return float(np.abs(ratios - np.interp(indices, xs, ys)).mean()) if len(indices) else None


def _pruned_layers(study: Study, run: Run, matrix: Mapping[str, Any], lowest: float) -> Reals:
    """Tail indices from ``lowest`` on and 1 - kappa, at a simulated matrix's p and error, of a run's layers, (2, layers)."""
    pruned = study.pruned.get((matrix["p"], matrix["epsilon"]), {}).get(run["run"], {})
    layers = study.layers(run["run"])
    values = {layer: study.index.of_layer(layers[layer]) for layer in hidden(layers) if layer in pruned}
    points = [(min(value, CLIP), pruned[layer]) for layer, value in values.items() if value is not None]
    return np.array([point for point in points if point[0] >= lowest]).reshape(-1, 2).T


def shared_shifts(
    study: Study, runs: Sequence[Run], quantity: Mapping[str, Any], *, bootstrap: int, seed: int
) -> Reals:
    """How far errors that runs share may move the mean of a quantity over runs, (bootstrap,); 0 where they share none.

    All layers are compared with one curve, and all runs of a seed with one initial network, whose errors don't average out.
    """
    if quantity["of"] == "distance":
        return _curve_shifts(study, runs, quantity["structure"], quantity["bins"], bootstrap, seed)
    if quantity["of"] == "alpha" and quantity.get("weights") == "initial":
        return _initial_shifts(study, runs, index_of(study, quantity), bootstrap, seed)
    return np.zeros(bootstrap)


def _curve_shifts(study: Study, runs: Sequence[Run], structure: str, bins: int, bootstrap: int, seed: int) -> Reals:
    xs, ys = study.resampled_curves(structure, bins, bootstrap, seed)
    layers = [_pruned_layers(study, run, study.simulated[structure][0], xs[0, 0]) for run in runs]
    indices, ratios = np.concatenate(layers, axis=1)
    found = claim_curves.distances(indices, ratios, xs, ys)
    weights = np.concatenate([np.full(part.shape[1], 1 / part.shape[1]) for part in layers]) / len(layers)
    means = found @ weights
    return means - means.mean()


def _initial_shifts(study: Study, runs: Sequence[Run], index: Index, bootstrap: int, seed: int) -> Reals:
    by_seed: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[run["seed"]].append(run)
    errors = [(standard_error(study, alike[0], index, "initial") or 0) * len(alike) for alike in by_seed.values()]
    rng = np.random.default_rng([seed, len(runs), len(errors)])
    return rng.standard_normal((bootstrap, len(errors))) @ np.array(errors) / len(runs)


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


def standard_error(study: Study, run: Run, index: Index | None = None, weights: str = "average") -> float | None:
    """Standard error of a network's index from the 95% intervals of its layers' alpha, which are independent.

    Each layer counts with what the index changes by between the ends of its interval, clipped where the index is.
    None where an estimate has no interval, or an infinite one.
    """
    index = index or study.index
    layers, changes = study.layers(run["run"], index.estimator, weights), []
    for layer, row in layers.items():
        low, high = (_with_value(index, layers, layer, row[end]) for end in ("alpha_low", "alpha_high"))
        if low is None or high is None or not math.isfinite(high - low):
            return None
        changes.append((high - low) / (2 * 1.96))
    return math.hypot(*changes) if changes else None


def _with_value(index: Index, layers: Mapping[int, Any], layer: int, value: float | None) -> float | None:
    """The index of a network with another value of one layer, if that has one; NaN for one that is not known."""
    row = layers[layer]
    if index.of_layer(row) is not None:
        value = math.nan if value is None else value
        row = row | {"alpha": value, "alpha_published": value}
    return index.of_network([*(other for key, other in layers.items() if key != layer), row])


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
