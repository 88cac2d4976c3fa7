"""How well a network's tail index is known, and errors that several runs of a study share."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims import curves, quantities
from sgdtails.claims.study import Run, Study
from sgdtails.tail_index.network_index import Index

Reals = NDArray[np.float64]


def standard_error(study: Study, run: Run, index: Index | None = None, weights: str = "average") -> float | None:
    """Estimate the standard error of a network's index from the 95% intervals of its layers' alpha.

    The layers' errors are independent. Each layer counts with what the index changes by between the ends of its interval,
    clipped where the index is.

    Parameters
    ----------
    study : Study
        Tables of the study.
    run : dict
        Row of table ``runs``.
    index : Index, optional
        What the network's index is; the study's own by default.
    weights : str
        Which of the run's networks.

    Returns
    -------
    float or None
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
    """Compute the index of a network with another value of one layer, if that has one; NaN for one that is not known."""
    row = layers[layer]
    if index.of_layer(row) is not None:
        value = math.nan if value is None else value
        row = row | {"alpha": value, "alpha_published": value}
    return index.of_network([*(other for key, other in layers.items() if key != layer), row])


def shared_shifts(
    study: Study, runs: Sequence[Run], quantity: Mapping[str, Any], *, bootstrap: int, seed: int
) -> Reals:
    """Draw how far errors that runs share move the mean of a quantity over runs.

    All layers are compared with one curve, and all runs of a seed with one initial network. More runs do not average these
    errors out.

    Parameters
    ----------
    study : Study
        Tables of the study.
    runs : sequence of dict
        Rows of table ``runs`` over which the mean is taken.
    quantity : mapping
        A quantity as a claim names it.
    bootstrap : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of shape (bootstrap,)
        Draws around 0; zeros where the runs share no error.
    """
    if quantity["of"] == "distance":
        return _curve_shifts(study, runs, quantity["structure"], quantity["bins"], bootstrap, seed)
    if quantity["of"] == "alpha" and quantity.get("weights") == "initial":
        return _initial_shifts(study, runs, quantities.index_of(study, quantity), bootstrap, seed)
    return np.zeros(bootstrap)


def _curve_shifts(study: Study, runs: Sequence[Run], structure: str, bins: int, bootstrap: int, seed: int) -> Reals:
    xs, ys = study.resampled_curves(structure, bins, bootstrap, seed)
    layers = [quantities.pruned_layers(study, run, study.simulated[structure][0], xs[0, 0]) for run in runs]
    indices, ratios = np.concatenate(layers, axis=1)
    found = curves.distances(indices, ratios, xs, ys)
    weights = np.concatenate([np.full(part.shape[1], 1 / part.shape[1]) for part in layers]) / len(layers)
    means = found @ weights
    shifts: Reals = means - means.mean()
    return shifts


def _initial_shifts(study: Study, runs: Sequence[Run], index: Index, bootstrap: int, seed: int) -> Reals:
    by_seed: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[run["seed"]].append(run)
    errors = [(standard_error(study, alike[0], index, "initial") or 0) * len(alike) for alike in by_seed.values()]
    rng = np.random.default_rng([seed, len(runs), len(errors)])
    shifts: Reals = rng.standard_normal((bootstrap, len(errors))) @ np.array(errors) / len(runs)
    return shifts
