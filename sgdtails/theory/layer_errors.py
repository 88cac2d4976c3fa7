"""Relative errors of keeping a share of a layer (Theorems 2 to 4), beside those of stable samples of its shape and tail index."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.pruning import compression
from sgdtails.stable import sampling as stable
from sgdtails.tail_index.mmo import CLIP
from sgdtails.theory.theorems import kept_error

Errors = dict[tuple[str, float], float]  # by structure and kept share
STRUCTURES = ("entries", "eigenvalues", "columns")
_HEAVIEST = 0.3  # tail index; samples of a smaller one leave the range of float64


@dataclass(frozen=True)
class Settings:
    """Hold which errors are measured and simulated.

    Parameters
    ----------
    kappa : tuple of float
        Shares of terms that are kept.
    p : float
        Of the lp norm; of eigenvalues p/2.
    draws : int
        Stable samples of each layer's shape.
    seed : int
        Seed of the samples.
    centring : str
        What observations are less: median, mean or none.
    """

    kappa: tuple[float, ...]
    p: float
    draws: int
    seed: int
    centring: str = "median"


def per_layer(
    weights: Mapping[str, NDArray[Any]], alphas: Mapping[int, float | None], settings: Settings
) -> Iterator[dict[str, Any]]:
    """Measure relative errors of each layer, and simulate those of a stable sample of its shape and tail index.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Layers in order, (out, in) or (out, in, *kernel).
    alphas : mapping of int to float
        Tail indices by the layers' numbers; above 2 they count as 2. Layers without one are not simulated.
    settings : Settings
        What is measured.

    Yields
    ------
    dict
        Rows of table ``errors`` less run and weights.

    Examples
    --------
    >>> how = Settings(kappa=(0.1,), p=2.0, draws=2, seed=0)
    >>> rows = list(per_layer({"fc": np.eye(16)}, {0: 1.8}, how))
    >>> [(row["structure"], row["measured"] < 1, row["simulated"] < 1) for row in rows][0]
    ('entries', True, True)
    """
    for layer, (name, weight) in enumerate(weights.items()):
        measured = _of_weight(np.asarray(weight, dtype=np.float64), settings)
        alpha = alphas.get(layer)
        shape = layers.observations(weight, "singular_value").shape
        drawn = [] if alpha is None else _drawn(min(max(alpha, _HEAVIEST), CLIP), shape, layer, settings)
        for (structure, kappa), value in measured.items():
            errors = [found[structure, kappa] for found in drawn]
            yield {
                "layer": layer,
                "layer_name": name,
                "structure": structure,
                "kappa": kappa,
                "p": settings.p / 2 if structure == "eigenvalues" else settings.p,
                "alpha": alpha,
                "measured": value,
                "simulated": float(np.mean(errors)) if errors else None,
                "simulated_low": min(errors, default=None),
                "simulated_high": max(errors, default=None),
            }


def _drawn(alpha: float, shape: tuple[int, int], layer: int, settings: Settings) -> list[Errors]:
    """Errors of each of several stable matrices."""
    rng = np.random.default_rng([settings.seed, layer, *shape])
    return [_of_matrix(stable.sample(alpha, shape, rng=rng), settings) for _ in range(settings.draws)]


def _of_weight(weight: NDArray[np.float64], settings: Settings) -> Errors:
    """Errors of a layer, each structure centred as it is for pruning."""
    matrix = layers.observations(weight, "singular_value")
    columns = matrix.T if weight.ndim > 2 else layers.observations(weight, "node")
    entries, rows, columns = (
        np.asarray(layers.centre(each, how=settings.centring))
        for each in (layers.observations(weight, "univariate"), matrix, columns)
    )
    return _errors(entries, rows, columns, settings)


def _of_matrix(matrix: NDArray[np.float64], settings: Settings) -> Errors:
    return _errors(matrix.ravel(), matrix, matrix.T, settings)


def _errors(
    entries: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64], settings: Settings
) -> Errors:
    p = settings.p
    parts = {"entries": compression.relative_errors(entries, p)}
    if len(rows) > 1:  # one alone is its own centre
        scaled = rows / np.abs(rows).max()
        gram = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
        parts["eigenvalues"] = compression.relative_errors(np.maximum(np.linalg.eigvalsh(gram), 0), p / 2)
    if len(columns) > 1:
        parts["columns"] = compression.relative_errors(compression.column_norms(columns, p), p)
    return {(structure, kappa): kept_error(parts[structure], kappa) for structure in parts for kappa in settings.kappa}
