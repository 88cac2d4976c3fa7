"""Theorems 2, 3, 4 and Proposition 8 simulated: what pruning keeps of stable samples, against their size."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from sgdtails.arrays import Floats, Row
from sgdtails.pruning import compression
from sgdtails.stable import sampling as stable
from sgdtails.stable.limits import columns_limit, entries_kappa, entries_limit, singular_values_limit

LAYERS = (0.8, 0.9, 1.0)  # tail indices of the layers of Theorem 2 (ii), as shares of the largest
Errors = Floats
Found = dict[tuple[str, str, float | None, float], float]  # theorem, quantity, kappa, p: value


def theorem_rows(
    *,
    alpha: Sequence[float],
    kappa: Sequence[float],
    p: Sequence[float],
    epsilon: float,
    entries: Sequence[int],
    widths: Sequence[int],
    draws: int,
    band: Sequence[float],
    seed: int,
) -> Iterator[Row]:
    """Make the rows of table ``theorems``: per theorem, tail index, size, kept fraction and norm, the mean over draws and a band.

    Each point has a generator of its own, so that a point added to the grid changes no other.

    Parameters
    ----------
    alpha : sequence of float
        Tail indices.
    kappa : sequence of float
        Kept fractions.
    p : sequence of float
        Norms.
    epsilon : float
        Relative error of Proposition 8.
    entries : sequence of int
        Sizes of vectors.
    widths : sequence of int
        Sizes of square matrices.
    draws : int
        Samples of each size.
    band : sequence of float
        Two quantiles over the draws.
    seed : int
        Seed of all draws.

    Yields
    ------
    dict
        Columns of table ``theorems``.

    Examples
    --------
    >>> rows = theorem_rows(
    ...     alpha=[1.8], kappa=[0.5], p=[1.0], epsilon=0.1, entries=[100], widths=[10], draws=2, band=[0.1, 0.9], seed=0
    ... )
    >>> sorted({row["theorem"] for row in rows})
    ['proposition_8', 'theorem_2_global', 'theorem_2_layers', 'theorem_3', 'theorem_4']
    """
    experiments: tuple[tuple[Callable[..., Found], Sequence[int]], ...] = (
        (_vector, entries),
        (_layers, entries),
        (_matrix, widths),
    )
    for number, (experiment, sizes) in enumerate(experiments):
        for index in alpha:
            for size in sizes:
                rng = np.random.default_rng([seed, number, round(1e6 * index), size])
                found = [experiment(index, size, kappa, p, epsilon, rng) for _ in range(draws)]
                for key in found[0]:
                    theorem, quantity, kept, norm = key
                    values = np.array([one[key] for one in found])
                    low, high = np.quantile(values, band)
                    yield {
                        "theorem": theorem,
                        "quantity": quantity,
                        "alpha": index,
                        "kappa": kept,
                        "epsilon": epsilon if kept is None else None,
                        "p": norm,
                        "size": size,
                        "mean": float(values.mean()),
                        "low": float(low),
                        "high": float(high),
                        "draws": draws,
                        "limit": _limit(*key, alpha=index, epsilon=epsilon),
                    }


def kept_error(errors: Errors, kappa: float) -> float:
    """Look up the relative error of keeping floor(kappa*d) of d terms.

    Parameters
    ----------
    errors : numpy.ndarray
        From ``compression.relative_errors``, (d+1,).
    kappa : float
        Kept fraction.

    Returns
    -------
    float
        The error.

    Examples
    --------
    >>> kept_error(np.array([0.0, 0.2, 1.0]), 0.5)
    0.2
    """
    terms = len(errors) - 1
    return float(errors[terms - math.floor(Fraction(str(kappa)) * terms)])  # exact, as compression.removed is


def _vector(
    alpha: float, size: int, kappas: Sequence[float], norms: Sequence[float], epsilon: float, rng: np.random.Generator
) -> Found:
    """Simulate Theorem 2 (i) and Proposition 8 on one vector of independent entries: all layers together."""
    vector = stable.sample(alpha, size, rng=rng)
    found: Found = {}
    for p in norms:
        errors = compression.relative_errors(vector, p)
        found["proposition_8", "kappa", None, p] = compression.kappa(errors, epsilon)
        for kappa in kappas:
            found["theorem_2_global", "error", kappa, p] = kept_error(errors, kappa)
    return found


def _layers(
    alpha: float, size: int, kappas: Sequence[float], norms: Sequence[float], epsilon: float, rng: np.random.Generator
) -> Found:
    """Simulate Theorem 2 (ii): the largest relative error of three layers of one size, whose largest tail index is alpha."""
    layers = [stable.sample(share * alpha, size, rng=rng) for share in LAYERS]
    found: Found = {}
    for p in norms:
        errors = [compression.relative_errors(layer, p) for layer in layers]
        for kappa in kappas:
            found["theorem_2_layers", "largest_error", kappa, p] = max(kept_error(each, kappa) for each in errors)
    return found


def _matrix(
    alpha: float, size: int, kappas: Sequence[float], norms: Sequence[float], epsilon: float, rng: np.random.Generator
) -> Found:
    """Simulate Theorems 3 and 4 on one square matrix.

    The eigenvalues of its sample covariance are squared singular values, so their norm is p/2; its normalisation cancels in a
    relative error.
    """
    matrix = stable.sample(alpha, (size, size), rng=rng)
    found: Found = {}
    singular = np.linalg.svd(matrix / np.abs(matrix).max(), compute_uv=False)
    frobenius = compression.relative_errors(singular, 2.0)
    for kappa in kappas:
        found["theorem_3", "matrix_error", kappa, 2.0] = kept_error(frobenius, kappa)
    for p in norms:
        eigenvalues = compression.relative_errors(singular**2, p / 2)
        columns = compression.relative_errors(compression.column_norms(matrix.T, p), p)
        for kappa in kappas:
            found["theorem_3", "eigenvalue_error", kappa, p / 2] = kept_error(eigenvalues, kappa)
            found["theorem_4", "error", kappa, p] = kept_error(columns, kappa)
    return found


def _limit(theorem: str, quantity: str, kappa: float | None, p: float, *, alpha: float, epsilon: float) -> float | None:
    """Compute the limit of a quantity as the size grows: 0 where the theorem says so, None where it is silent and we cannot tell."""
    if kappa is None:
        return entries_kappa(alpha, epsilon, p)
    if theorem == "theorem_2_layers":
        return max(entries_limit(share * alpha, kappa, p) for share in LAYERS)
    if theorem == "theorem_2_global":
        return entries_limit(alpha, kappa, p)
    if theorem == "theorem_4":
        return columns_limit(alpha, kappa, p)
    if quantity == "matrix_error":
        eigenvalues = singular_values_limit(alpha, kappa, 1.0)
        return None if eigenvalues is None else math.sqrt(eigenvalues)
    return singular_values_limit(alpha, kappa, p)
