"""How few terms carry a vector: k-best-term approximation, its relative error, and kappa (paper, section 3.2 and eq. D.1).

One sort answers for every k. Columns of a matrix and singular values are compressed the same way, as the vector of
their norms. Arrays may be numpy's or torch's, on any device; sums are float64.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from sgdtails import layers
from sgdtails.arrays import array_namespace
from sgdtails.errors import InputError
from sgdtails.layers import ascending

Array = Any  # numpy.ndarray or torch.Tensor


def removed(ratio: float, n: int) -> int:
    """How many of n terms a pruning ratio in [0, 1] removes: all but floor((1 - ratio)*n), exact for a ratio as written."""
    if not 0 <= ratio <= 1:
        raise InputError(f"pruning ratio {ratio} is not in [0, 1]; give the share of terms to remove.")
    return n - math.floor((1 - Fraction(str(ratio))) * n)


def power_sums(values: Array, norms: Sequence[float]) -> dict[float, float]:
    """Sum of |x|^p over all values, for each p."""
    xp = array_namespace(values)
    magnitudes = xp.abs(xp.astype(values, xp.float64))
    return {p: float(xp.sum(_power(magnitudes, p))) for p in norms}


def relative_errors(vector: Array, p: float) -> Array:
    """Relative lp errors of removing the k smallest of the terms (d,), k = 0...d, as float64 (d+1,), never decreasing.

    ||x - x^(d-k)||_p / ||x||_p for any p > 0. InputError if every term is zero, or p is not above 0.
    """
    _check_norm(p)
    return _errors(_ordered_shares(vector), p)


def _ordered_shares(vector: Array) -> Array:
    """Magnitudes of the terms (d,) over the largest one, ascending, as float64: large powers would leave its range."""
    xp = array_namespace(vector)
    # Sorted in the terms' own precision, which is several times faster for float32.
    ordered = xp.astype(ascending(xp.abs(vector)), xp.float64)
    largest = float(ordered[-1]) if len(ordered) else 0.0
    if not 0 < largest < math.inf:
        raise InputError(
            "a vector of zeros, or one that is not finite, has no relative error: its norm is 0 or infinite."
        )
    return ordered / largest


def _errors(shares: Array, p: float) -> Array:
    sums = array_namespace(shares).cumulative_sum(_power(shares, p), include_initial=True)
    return (sums / sums[-1]) ** (1 / p)


def _power(magnitudes: Array, p: float) -> Array:
    return magnitudes if p == 1 else magnitudes**p


def _check_norm(p: float) -> None:
    if not p > 0:
        raise InputError(f"p = {p} defines no lp norm; give p > 0.")


def k_best(vector: Array, k: int) -> Array:
    """The k-best-term approximation of a vector (d,): all but its k largest magnitudes set to 0 (of equals the last stay)."""
    xp = array_namespace(vector)
    magnitudes = xp.abs(vector)
    return xp.where(mask(magnitudes, ascending(magnitudes), len(vector) - k), vector, xp.zeros_like(vector))


def mask(magnitudes: Array, ordered: Array, count: int) -> Array:
    """What remains, as booleans (d,), when the ``count`` smallest of the magnitudes go; of equal ones the first go first."""
    if count == len(ordered):
        return magnitudes < 0
    threshold = ordered[count]
    kept = magnitudes >= threshold
    surplus = int(array_namespace(kept).count_nonzero(kept)) - (len(ordered) - count)
    if surplus:
        xp = array_namespace(magnitudes)
        (ties,) = xp.nonzero(magnitudes == threshold)
        kept[ties[:surplus]] = False
    return kept


def allowed(errors: Array, epsilon: float) -> int:
    """How many of the smallest terms can go at a relative error of at most epsilon >= 0, from ``relative_errors``."""
    return int(array_namespace(errors).count_nonzero(errors <= epsilon)) - 1


def kappa(errors: Array, epsilon: float) -> float:
    """kappa_p(x, epsilon): the smallest kept fraction whose relative error is at most epsilon, from ``relative_errors`` (eq. D.1)."""
    terms = len(errors) - 1
    return (terms - allowed(errors, epsilon)) / terms


def kappa_of_rank(errors: Array, epsilon: float, shape: Sequence[int]) -> float:
    """kappa of a matrix (m, n) that keeps its r largest singular values, r*(m+n+1)/(m*n), from their ``relative_errors``.

    It exceeds 1 where the factors hold more numbers than the matrix.
    """
    m, n = shape
    rank = round(kappa(errors, epsilon) * (len(errors) - 1))
    return rank * (m + n + 1) / (m * n)


def column_norms(sample: Array, p: float) -> Array:
    """The lp norm of each observation of (N, d), float64 (N,): columns and kernels are compressed as the vector of them."""
    _check_norm(p)
    xp = array_namespace(sample)
    return xp.sum(_power(xp.abs(xp.astype(sample, xp.float64)), p), axis=1) ** (1 / p)


def per_layer(
    weights: Mapping[str, Array], *, p: Sequence[float], epsilon: Sequence[float], centring: str = "median"
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``compression`` (less run and weights): kappa of each layer's centred entries, columns or kernels,
    and singular values (in the Frobenius norm, p = 2, only). A structure that is its own median, such as the row of a layer
    with one output, has no rows. InputError for a layer whose weights are all equal, or an unknown centring.
    """
    for index, (name, weight) in enumerate(weights.items()):
        common = {"layer": index, "layer_name": name}
        try:
            yield from (common | row for row in _kappas(weight, p, epsilon, centring))
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from error


def _kappas(weight: Array, p: Sequence[float], epsilon: Sequence[float], centring: str) -> Iterator[dict[str, Any]]:
    entries = layers.centre(layers.observations(weight, "univariate"), how=centring)
    purpose, structure = ("node", "columns") if weight.ndim == 2 else ("kernel", "kernels")
    blocks = layers.centre(layers.observations(weight, purpose), how=centring)  # type: ignore[arg-type]
    shares = _ordered_shares(entries)  # one sort for every norm
    for norm in p:
        _check_norm(norm)
        found = {"entries": _errors(shares, norm)}
        if len(blocks) > 1:
            found[structure] = relative_errors(column_norms(blocks, norm), norm)
        for name, errors in found.items():
            for level in epsilon:
                yield {"structure": name, "p": norm, "epsilon": level, "kappa": kappa(errors, level)}
    matrix = layers.centre(layers.observations(weight, "singular_value"), how=centring)
    if len(matrix) == 1:
        return
    squares = np.linalg.eigvalsh(matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix)
    errors = relative_errors(np.sqrt(np.maximum(squares, 0)), 2.0)
    for level in epsilon:
        value = kappa_of_rank(errors, level, matrix.shape)
        yield {"structure": "singular_values", "p": 2.0, "epsilon": level, "kappa": value}
