"""How few terms carry a vector: k-best-term approximation, its relative error, and kappa (paper, section 3.2 and eq. D.1).

One sort answers for every k. Columns of a matrix and singular values are compressed the same way, as the vector of
their norms. Arrays may be numpy's or torch's, on any device; sums are float64.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from sgdtails import layers
from sgdtails.arrays import Array, Row, array_namespace
from sgdtails.errors import InputError
from sgdtails.layers import ascending
from sgdtails.pruning.sparsity import pq_index, stable_rank


def removed(ratio: float, n: int) -> int:
    """Count the terms that a pruning ratio removes: all but floor((1 - ratio)*n), exact for a ratio as written.

    Parameters
    ----------
    ratio : float
        Share of the terms to remove, in [0, 1].
    n : int
        Number of terms.

    Returns
    -------
    int
        Number of terms to remove.

    Raises
    ------
    InputError
        For a ratio outside [0, 1].

    Examples
    --------
    >>> removed(0.9, 10), removed(0.9, 15)
    (9, 14)
    """
    if not 0 <= ratio <= 1:
        raise InputError(f"pruning ratio {ratio} is not in [0, 1]; give the share of terms to remove.")
    return n - math.floor((1 - Fraction(str(ratio))) * n)


def power_sums(values: Array, norms: Sequence[float]) -> dict[float, float]:
    """Sum |x|^p over all values, for each p.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Values, of any shape.
    norms : sequence of float
        The powers p.

    Returns
    -------
    dict of float to float
        The sum by p, in double precision.

    Examples
    --------
    >>> power_sums(np.array([3.0, -4.0]), [1, 2])
    {1: 7.0, 2: 25.0}
    """
    xp = array_namespace(values)
    magnitudes = xp.abs(xp.astype(values, xp.float64))
    return {p: float(xp.sum(_power(magnitudes, p))) for p in norms}


def relative_errors(vector: Array, p: float) -> Array:
    """Compute the relative lp errors of removing the k smallest terms, ||x - x^(d-k)||_p / ||x||_p, for every k.

    Parameters
    ----------
    vector : numpy.ndarray or torch.Tensor
        Terms, (d,).
    p : float
        The norm, above 0.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Errors for k = 0...d, float64 (d+1,), never decreasing.

    Raises
    ------
    InputError
        If every term is zero, one is not finite, or p is not above 0.

    Examples
    --------
    >>> relative_errors(np.array([4.0, 0.0, -3.0]), 2.0)
    array([0. , 0. , 0.6, 1. ])
    """
    _check_norm(p)
    return _errors(_ordered_shares(vector), p)


def _ordered_shares(vector: Array) -> Array:
    """Return magnitudes of the terms (d,) over the largest one, ascending, as float64: large powers would leave its range."""
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
    """Compute the k-best-term approximation of a vector.

    Parameters
    ----------
    vector : numpy.ndarray or torch.Tensor
        Terms, (d,).
    k : int
        Number of terms that stay; of equal magnitudes the last stay.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The vector with all other terms set to 0, (d,).

    Examples
    --------
    >>> k_best(np.array([4.0, 1.0, -3.0]), 2)
    array([ 4.,  0., -3.])
    """
    xp = array_namespace(vector)
    magnitudes = xp.abs(vector)
    return xp.where(mask(magnitudes, ascending(magnitudes), len(vector) - k), vector, xp.zeros_like(vector))


def mask(magnitudes: Array, ordered: Array, count: int) -> Array:
    """Mark what remains when the smallest magnitudes are removed; of equal ones the first are removed first.

    Parameters
    ----------
    magnitudes : numpy.ndarray or torch.Tensor
        Magnitudes, (d,).
    ordered : numpy.ndarray or torch.Tensor
        The same, ascending.
    count : int
        How many are removed.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        True for what remains, (d,).

    Examples
    --------
    >>> mask(np.array([2.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0]), 1)
    array([ True, False,  True])
    """
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
    """Count the smallest terms that can be removed at a relative error.

    Parameters
    ----------
    errors : numpy.ndarray or torch.Tensor
        From ``relative_errors``, (d+1,).
    epsilon : float
        Largest relative error, at least 0.

    Returns
    -------
    int
        Number of terms.

    Examples
    --------
    >>> allowed(np.array([0.0, 0.0, 0.6, 1.0]), 0.1)
    1
    """
    return int(array_namespace(errors).count_nonzero(errors <= epsilon)) - 1


def kappa(errors: Array, epsilon: float) -> float:
    """Compute kappa_p(x, epsilon): the smallest kept fraction whose relative error is at most epsilon (paper, eq. D.1).

    Parameters
    ----------
    errors : numpy.ndarray or torch.Tensor
        From ``relative_errors``, (d+1,).
    epsilon : float
        Largest relative error, at least 0.

    Returns
    -------
    float
        The fraction, in [0, 1].

    Examples
    --------
    >>> kappa(relative_errors(np.array([4.0, 0.0, -3.0, 0.0]), 2.0), 0.1)
    0.5
    """
    terms = len(errors) - 1
    return (terms - allowed(errors, epsilon)) / terms


def kappa_of_rank(errors: Array, epsilon: float, shape: Sequence[int]) -> float:
    """Compute kappa of a matrix that keeps its r largest singular values: r*(m+n+1)/(m*n).

    Parameters
    ----------
    errors : numpy.ndarray or torch.Tensor
        From ``relative_errors`` of the singular values, (min(m, n)+1,).
    epsilon : float
        Largest relative error, at least 0.
    shape : sequence of int
        Shape of the matrix, (m, n).

    Returns
    -------
    float
        Numbers in the factors over numbers in the matrix; above 1 where the factors hold more.

    Examples
    --------
    >>> kappa_of_rank(np.array([0.0, 0.05, 1.0]), 0.1, (2, 10))
    0.65
    """
    m, n = shape
    rank = round(kappa(errors, epsilon) * (len(errors) - 1))
    return rank * (m + n + 1) / (m * n)


def column_norms(sample: Array, p: float) -> Array:
    """Compute the lp norm of each observation: columns and kernels are compressed as the vector of these.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d).
    p : float
        The norm, above 0.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Norms, float64 (N,).

    Raises
    ------
    InputError
        If p is not above 0.

    Examples
    --------
    >>> column_norms(np.array([[3.0, -4.0], [0.0, 1.0]]), 2.0)
    array([5., 1.])
    """
    _check_norm(p)
    xp = array_namespace(sample)
    return xp.sum(_power(xp.abs(xp.astype(sample, xp.float64)), p), axis=1) ** (1 / p)


def per_layer(
    weights: Mapping[str, Array], *, p: Sequence[float], epsilon: Sequence[float], centring: str = "median"
) -> Iterator[Row]:
    """Make the rows of table ``compression``: kappa of each layer's centred entries, columns or kernels, and singular values.

    Each row also has the layer's stable rank and PQ index, of its weights as they are.

    Singular values are compressed in the Frobenius norm, p = 2, only. A structure that is its own median, such as the row of a
    layer with one output, has no rows.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers in order, the last one being the head.
    p : sequence of float
        The norms.
    epsilon : sequence of float
        The relative errors.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.

    Yields
    ------
    dict
        Columns of table ``compression``, without run and weights.

    Raises
    ------
    InputError
        For a layer whose weights are all equal, or an unknown centring.

    Examples
    --------
    >>> rows = per_layer({"fc1": np.diag([3.0, 2.0, 1.0])}, p=[2], epsilon=[0.5])
    >>> [(row["structure"], round(row["kappa"], 3)) for row in rows]
    [('entries', 0.222), ('columns', 0.667), ('singular_values', 1.556)]
    """
    for index, (name, weight) in enumerate(weights.items()):
        common = {"layer": index, "layer_name": name}
        try:
            found = list(_kappas(weight, p, epsilon, centring))
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from error
        common |= {"stable_rank": stable_rank(weight), "pq_index": pq_index(weight)}
        yield from (common | row for row in found)


def _kappas(weight: Array, p: Sequence[float], epsilon: Sequence[float], centring: str) -> Iterator[Row]:
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
