"""What claims and comparisons are about: one number per run, from the tables of a study.

The keyword arguments of a quantity are what a claim may say of it: ``{of: area, method: node, low: 0.5, high: 1.0}``.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims.study import Run, Study
from sgdtails.io import tables
from sgdtails.tail_index.mmo import CLIP
from sgdtails.tail_index.network_index import Index

Reals = NDArray[np.float64]
HIDDEN = -1  # as a quantity's layer: the mean over all layers but the head


def column(study: Study, run: Run, *, column: str) -> float | None:
    """Read a numeric column of table ``runs``; None where it is null."""
    value = run.get(column)
    return None if value is None else float(value)


def eta_over_b(study: Study, run: Run) -> float:
    """Return log10 of step size / batch size."""
    return math.log10(run["eta_over_b"])


def test_accuracy(study: Study, run: Run) -> float | None:
    """Return the test accuracy, before pruning, of the network that is pruned."""
    accuracy: float | None = tables.accuracy_of(run, study.weights)
    return accuracy


def generalisation_gap(study: Study, run: Run, *, value: str = "accuracy", weights: str = "") -> float | None:
    """Return how much worse a network is on the test set than on the training set.

    Parameters
    ----------
    study : Study
        Tables of the study.
    run : dict
        Row of table ``runs``.
    value : {"accuracy", "nll"}
        Training less test accuracy, or test less training NLL (nats).
    weights : {"converged", "last", "average"}
        Which of the run's networks; empty: the one that is pruned.

    Returns
    -------
    float or None
        None without one of the two, and of averaged weights, which are evaluated on the test set only.

    Examples
    --------
    >>> run = {"last_train_nll": 0.25, "last_test_nll": 0.75}
    >>> generalisation_gap(None, run, value="nll", weights="last")
    0.5
    """
    prefix = {"converged": "", "last": "last_"}.get(weights or study.weights)
    train, test = (None if prefix is None else run.get(f"{prefix}{split}_{value}") for split in ("train", "test"))
    if train is None or test is None:
        return None
    return float(train - test if value == "accuracy" else test - train)


def alpha(
    study: Study,
    run: Run,
    *,
    estimator: str = "",
    weights: str = "average",
    value: str = "",
    layers: str = "",
    k1: int = 0,
) -> float | None:
    """Return the network's tail index, as config key ``index`` has it but for the parts that are named.

    Parameters
    ----------
    study : Study
        Tables of the study.
    run : dict
        Row of table ``runs``.
    estimator, value, layers : str
        Parts of the index; empty: the study's own.
    weights : str
        Which of the run's networks.
    k1 : int
        Block length as config key ``tails.block_lengths`` asks for it; 0: the aggregate over all of them.

    Returns
    -------
    float or None
        None if no layer has an estimate.
    """
    named = index_of(study, {"estimator": estimator, "value": value, "layers": layers})
    return named.of_network(study.layers(run["run"], named.estimator, weights, k1).values())


def index_of(study: Study, quantity: Mapping[str, Any]) -> Index:
    """Return the study's index with the parts that a quantity names."""
    parts = {part: quantity[part] for part in ("estimator", "value", "layers") if quantity.get(part)}
    return replace(study.index, **parts)


def valued(study: Study, claim: Mapping[str, Any]) -> Study:
    """Return the study with the value of a layer that a claim names."""
    return replace(study, index=index_of(study, {"value": claim["value"]})) if "value" in claim else study


def area(study: Study, run: Run, *, method: str, low: float, high: float) -> float | None:
    """Return the mean relative test accuracy over pruned ratios from ``low`` to ``high``.

    It is linear between measured ratios; None if they do not cover the range.
    """
    curve = study.curves.get(method, {}).get(run["run"])
    if curve is None or curve[0][0] > low or curve[0][-1] < high - 1e-9:
        return None
    ratios, accuracies = curve
    grid = np.unique(np.concatenate([[low, high], ratios[(ratios > low) & (ratios < high)]]))
    return float(np.trapezoid(np.interp(grid, ratios, accuracies), grid) / (high - low))


def accuracy_left(study: Study, run: Run, *, method: str, ratio: float) -> float | None:
    """Return the relative test accuracy at one pruned ratio, linear between measured ones; None outside their range."""
    return _at(study.curves.get(method, {}).get(run["run"]), ratio)


def robust_accuracy(study: Study, run: Run, *, method: str, ratio: float) -> float | None:
    """Return the test accuracy under attack at one pruned ratio, linear between measured ones; None outside their range."""
    return _at(study.robust_curves.get(method, {}).get(run["run"]), ratio)


def _at(curve: tuple[Reals, Reals] | None, ratio: float) -> float | None:
    if curve is None or not curve[0][0] <= ratio <= curve[0][-1] + 1e-9:
        return None
    return float(np.interp(ratio, *curve))


def removable(study: Study, run: Run, *, p: float, epsilon: float, layer: int = HIDDEN) -> float | None:
    """Return 1 - kappa of a layer's entries at a relative error; without ``layer`` the mean over all layers but the head."""
    return _over_layers(study.pruned.get((p, epsilon), {}).get(run["run"], {}), layer)


def stable_rank(study: Study, run: Run, *, layer: int = HIDDEN) -> float | None:
    """Return the stable rank of a layer of the network that is pruned; without ``layer`` the mean over all layers but the head."""
    return _over_layers(study.sparsity["stable_rank"].get(run["run"], {}), layer)


def pq_index(study: Study, run: Run, *, layer: int = HIDDEN) -> float | None:
    """Return the PQ index of a layer of the network that is pruned; without ``layer`` the mean over all layers but the head."""
    return _over_layers(study.sparsity["pq_index"].get(run["run"], {}), layer)


def dependence(study: Study, run: Run, *, measure: str, weights: str = "average", layer: int = HIDDEN) -> float | None:
    """Return a value of table ``dependence``; without ``layer`` the mean over all layers but the head."""
    return _over_layers(study.dependences.get((measure, weights), {}).get(run["run"], {}), layer)


def relative_error(
    study: Study, run: Run, *, structure: str, kappa: float, value: str = "measured", layer: int = HIDDEN
) -> float | None:
    """Return the relative error of keeping a share kappa of a layer, from table ``errors``.

    ``value`` is ``measured``, ``simulated`` (of stable samples of the layer's shape and tail index) or ``excess``, the first
    less the second. Without ``layer`` it is the mean over all layers but the head.
    """
    rows = study.kept_errors.get((structure, kappa), {}).get(run["run"], {})
    return _over_layers({number: _error(row, value) for number, row in rows.items()}, layer)


def log_likelihood(study: Study, run: Run, *, law: str, observed: str = "entries", layer: int = HIDDEN) -> float | None:
    """Return the log-likelihood (nats per weight) of a law fitted to the averaged weights, from table ``laws``.

    ``observed`` says whether the law is of ``entries`` or ``rows``. Without ``layer`` it is the mean over all layers but the head.
    """
    return _over_layers(study.log_likelihoods.get((observed, law), {}).get(run["run"], {}), layer)


def _error(row: Mapping[str, Any], value: str) -> float | None:
    if value != "excess":
        found: float | None = row[value]
        return found
    return None if None in (row["measured"], row["simulated"]) else row["measured"] - row["simulated"]


def _over_layers(values: Mapping[int, float | None], layer: int) -> float | None:
    """Return the value of one layer, or the mean over the hidden ones; None if one of them is missing."""
    wanted = [values.get(number) for number in hidden(values)] if layer == HIDDEN else [values.get(layer)]
    known = [value for value in wanted if value is not None]
    return float(np.mean(known)) if known and len(known) == len(wanted) else None


def distance(study: Study, run: Run, *, structure: str, bins: int) -> float | None:
    """Return the mean distance, in 1 - kappa, of a run's layers from the curve of simulated matrices (figure 8) at their alpha.

    Layers' indices are clipped at 2; layers heavier than any simulated matrix, and the head, are left out.
    """
    rows = study.simulated.get(structure)
    if not rows:
        return None
    xs, ys = study.curve(structure, bins)
    indices, ratios = pruned_layers(study, run, rows[0], xs[0])
    return float(np.abs(ratios - np.interp(indices, xs, ys)).mean()) if len(indices) else None


def pruned_layers(study: Study, run: Run, matrix: Mapping[str, Any], lowest: float) -> Reals:
    """Return the points of figure 3 of a run's layers, less the head: tail indices, and 1 - kappa.

    Parameters
    ----------
    study : Study
        Tables of the study.
    run : dict
        Row of table ``runs``.
    matrix : dict
        Row of table ``synthetic``, whose p and relative error are taken.
    lowest : float
        Heavier layers are left out.

    Returns
    -------
    ndarray of shape (2, layers)
        Tail indices clipped at 2, and 1 - kappa.
    """
    pruned = study.pruned.get((matrix["p"], matrix["epsilon"]), {}).get(run["run"], {})
    layers = study.layers(run["run"])
    values = {layer: study.index.of_layer(layers[layer]) for layer in hidden(layers) if layer in pruned}
    points = [(min(value, CLIP), pruned[layer]) for layer, value in values.items() if value is not None]
    return np.array([point for point in points if point[0] >= lowest]).reshape(-1, 2).T


def hidden(layers: Iterable[int]) -> list[int]:
    """Return the numbers of all layers but the last one, the head.

    Examples
    --------
    >>> hidden([2, 0, 1])
    [0, 1]
    """
    return sorted(layers)[:-1]


QUANTITIES: dict[str, Callable[..., float | None]] = {
    "column": column,
    "eta_over_b": eta_over_b,
    "test_accuracy": test_accuracy,
    "generalisation_gap": generalisation_gap,
    "alpha": alpha,
    "area": area,
    "accuracy_left": accuracy_left,
    "robust_accuracy": robust_accuracy,
    "removable": removable,
    "stable_rank": stable_rank,
    "pq_index": pq_index,
    "dependence": dependence,
    "relative_error": relative_error,
    "distance": distance,
    "log_likelihood": log_likelihood,
}


def measure(study: Study, run: Run, quantity: Mapping[str, Any]) -> float | None:
    """Measure a quantity of a run, as named and described in a claim; None where the tables do not have it."""
    settings = {key: value for key, value in quantity.items() if key != "of"}
    return QUANTITIES[quantity["of"]](study, run, **settings)


_PROPER = {"eta_over_b": "eta/b", "pq_index": "PQ index"}


def words(study: Study, quantity: Mapping[str, Any]) -> str:
    """Put a quantity into words; a tail index with what it is the index of, and how it is defined."""
    of = quantity["of"]
    if of == "column":
        return str(quantity["column"]).replace("_", " ")
    if of != "alpha":
        name = _PROPER.get(of, of.replace("_", " "))
        detail = ", ".join(_detail(key, quantity[key]) for key in _DETAILS if key in quantity)
        return f"{name} ({detail})" if detail else name
    index, weights = index_of(study, quantity), quantity.get("weights", "average")
    block = f", K1 = {quantity['k1']}" if quantity.get("k1") else ""
    return f"{index.label} ({index.estimator}{block}{'' if weights == 'average' else ', ' + weights + ' weights'})"


_DETAILS = (
    "law",
    "observed",
    "method",
    "structure",
    "measure",
    "ratio",
    "kappa",
    "epsilon",
    "value",
    "weights",
    "layer",
)


def _detail(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value.replace("_", " ") if key in ("measure", "law") else value
    return f"{key} {value:g}"


_PARTS = ("x", "y", "control", "first", "second")


def described(study: Study, claim: Mapping[str, Any]) -> str:
    """Say what a claim's effect is of: its quantities or series, or the tail index where the kind of claim has one."""
    named = [claim[part] for part in _PARTS if part in claim]
    if named:
        parts = (part.replace("_", " ") if part == claim.get("x") else part for part in named if isinstance(part, str))
        return "; ".join([*parts, *(words(study, part) for part in named if not isinstance(part, str))])
    index = valued(study, claim).index
    if claim["kind"] == "layer_correlation":
        return f"tail index of each layer{', clipped at 2' * index.clipped} ({index.estimator}); its pruned share"
    return f"{index.label} ({index.estimator})"
