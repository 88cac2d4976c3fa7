"""Tail index of multivariate stable samples: Mohammadi, Mohammadpour and Ogata (2015), cited as MMO15.

For N = K1*K2 observations X and the K2 sums Y of K1 consecutive ones,
1/alpha = (mean log||Y|| - mean log||X||) / log K1  (MMO15, Corollary 2.4; Corollary 2.2 for scalars).
"""

import importlib
import math
import typing
from collections.abc import Iterator, Sequence

import numpy as np

from sgdtails.arrays import AnyArray, Array, Floats, array_namespace, is_torch_array, mean
from sgdtails.tail_index.permutations import permuted

if typing.TYPE_CHECKING:
    from sgdtails.audit.estimation import estimate as estimate

BLOCK_LENGTHS = (2, 5, 10, 20, 50, 100, 500, 1000)  # aimed at, beside the square root of N, as published
PERMUTATIONS = 5
CLIP = 2.0  # a stable law has alpha <= 2: the published values stop there
SQUARE_ROOT = "sqrt(N)"  # its name among the targets
_ESTIMATE: typing.Final = "sgdtails.audit.estimation"  # imported when it is used, since it imports this module


def divisors(n: int) -> list[int]:
    """List the divisors of a number.

    Parameters
    ----------
    n : int
        A number, at least 1.

    Returns
    -------
    list of int
        All its divisors, ascending.

    Examples
    --------
    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return sorted({*small, *(n // k for k in small)})


def block_lengths(n: int, targets: Sequence[int] = BLOCK_LENGTHS, *, square_root: bool = True) -> list[int]:
    """List the block lengths K1 for a number of observations.

    Targets up to n/2 are lowered to the nearest divisor of n, and so is the square root of n, whatever n is; 1 is left out.

    Parameters
    ----------
    n : int
        Number of observations.
    targets : sequence of int
        Block lengths to aim at.
    square_root : bool
        True to aim at the square root of n too.

    Returns
    -------
    list of int
        The block lengths, ascending and distinct.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> block_lengths(192)
    [2, 4, 8, 12, 16, 48]
    """
    return list(lowered_targets(n, targets, square_root=square_root))


def lowered_targets(
    n: int, targets: Sequence[int] = BLOCK_LENGTHS, *, square_root: bool = True
) -> dict[int, list[int | str]]:
    """List ``block_lengths``, and for each the targets that were lowered to it.

    Parameters
    ----------
    n : int
        Number of observations.
    targets : sequence of int
        Block lengths to aim at.
    square_root : bool
        True to aim at the square root of n too.

    Returns
    -------
    dict of int to list
        Targets by block length; the square root is named ``sqrt(N)``.

    Raises
    ------
    ValueError
        If there is no block length.

    Examples
    --------
    >>> lowered_targets(36, (2, 5, 10))
    {2: [2], 4: [5], 6: ['sqrt(N)'], 9: [10]}
    """
    aims: list[tuple[int, int | str]] = [(target, target) for target in targets if target <= n / 2]
    if square_root and n > 0:
        aims.append((math.isqrt(n), SQUARE_ROOT))
    found: dict[int, list[int | str]] = {}
    for target, name in aims:
        k1 = max(k for k in divisors(n) if k <= target)
        if k1 > 1:
            found.setdefault(k1, []).append(name)
    if not found:
        raise ValueError(f"{n} observations have no admissible block length K1 (a divisor from 2 to N/2 near a target)")
    return dict(sorted(found.items()))


def inverse_alpha(observations: AnyArray, k1: int) -> float:
    """Estimate 1/alpha of observations in the given order with one block length.

    A few zeros (a sample of odd size holds its own median) count as the smallest other norm.

    Parameters
    ----------
    observations : array_like
        Centred observations, (N, d) or (N,).
    k1 : int
        Block length: a divisor of N from 2 to N/2.

    Returns
    -------
    float
        1/alpha.

    Raises
    ------
    ValueError
        If k1 does not divide N or is not in 2...N/2, if a value is not finite, or if more than half of the norms are zero.

    References
    ----------
    MMO15, Corollaries 2.4 and 2.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(inverse_alpha(rng.standard_cauchy(100_000), 10), 2)  # alpha = 1
    1.0
    """
    n = len(observations)
    if not 2 <= k1 <= n // 2 or n % k1:
        raise ValueError(f"K1 = {k1} must divide the {n} observations and lie in 2...N/2")
    sample = np.asarray(observations, dtype=np.float64)
    (contrasts,) = block_contrasts(sample, [k1])
    return float(contrasts.mean())


def _norms(rows: Array) -> Array:
    """Compute Euclidean norms of (N, d), (N,), in the precision of the rows, also where their squares leave its range."""
    xp = array_namespace(rows)
    squares = xp.sum(rows * rows, axis=1) if is_torch_array(rows) else np.einsum("ij,ij->i", rows, rows)
    range_ = xp.finfo(rows.dtype)
    inexact = ~((squares > float(range_.smallest_normal / range_.eps)) & (squares <= float(range_.max)))
    norms = xp.sqrt(squares, out=squares)
    if inexact.any():
        exact = xp.astype(rows[inexact], xp.float64)
        largest = xp.max(xp.abs(exact), axis=1, keepdims=True)
        scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
        with np.errstate(over="ignore"):
            norms[inexact] = xp.astype(scale[:, 0] * xp.linalg.vector_norm(exact / scale, axis=1), norms.dtype)
    return norms


def log_norms(sample: Array) -> Array:
    """Compute the logs of the observations' Euclidean norms.

    A few zeros count as the smallest other norm.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,).

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Log norms, (N,), in the precision of the sample.

    Raises
    ------
    ValueError
        If a value is not finite, or if more than half of the norms are zero.

    Examples
    --------
    >>> log_norms(np.array([[0.6, 0.8], [0.0, -1.0]])).round(6) + 0.0
    array([0., 0.])
    """
    xp = array_namespace(sample)
    norms = xp.abs(sample) if sample.ndim == 1 else _norms(sample)
    if not math.isfinite(float(norms.max())):
        raise ValueError("the observations are not all finite")
    if float(norms.min()) == 0:
        zero = norms == 0
        if 2 * int(zero.sum()) > len(norms):
            raise ValueError("more than half of the observations are zero: they have no tail index")
        norms[zero] = norms[~zero].min()
    return xp.log(norms, out=norms)


def nearest_divisors(lengths: Sequence[int]) -> list[int]:
    """Find for each length the largest shorter one that divides it.

    Parameters
    ----------
    lengths : sequence of int
        Block lengths, ascending.

    Returns
    -------
    list of int
        For each length another one of them, or 1.

    Examples
    --------
    >>> nearest_divisors([2, 4, 6])
    [1, 2, 2]
    """
    return [max(k for k in (1, *lengths[:at]) if length % k == 0) for at, length in enumerate(lengths)]


def block_sums(sample: Array, lengths: Sequence[int]) -> Iterator[Array]:
    """Sum consecutive observations, for each block length in turn.

    The sums of a length are made from those of a shorter length that divides it.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,).
    lengths : sequence of int
        Block lengths that divide N, ascending.

    Yields
    ------
    numpy.ndarray or torch.Tensor
        Sums, (N/K1, d) or (N/K1,).

    Examples
    --------
    >>> [sums.tolist() for sums in block_sums(np.arange(8.0), [2, 4])]
    [[1.0, 5.0, 9.0, 13.0], [6.0, 22.0]]
    """
    bases = nearest_divisors(lengths)
    known = {1: sample}
    for at, (length, base) in enumerate(zip(lengths, bases, strict=True)):
        known[length] = _sums(known[base].reshape(-1, length // base, *sample.shape[1:]))
        yield known[length]
        known = {k: sums for k, sums in known.items() if k in bases[at + 1 :]}


def _sums(parts: Array) -> Array:
    """Sum each row of (n, k) or (n, k, d) to (n,) or (n, d)."""
    if parts.ndim > 2 or is_torch_array(parts):
        return parts.sum(axis=1)
    return parts @ np.ones(parts.shape[1], parts.dtype)  # many times faster than a sum over a short last axis


def block_contrasts(sample: Array, lengths: Sequence[int]) -> list[Array]:
    """Estimate 1/alpha once per block, for each block length.

    On independent observations these estimates are independent and identically distributed; their mean is 1/alpha.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,), in the order in which blocks are cut.
    lengths : sequence of int
        Block lengths K1 that divide N, ascending.

    Returns
    -------
    list of numpy.ndarray or torch.Tensor
        For each K1 the estimates, (N/K1,).

    Raises
    ------
    ValueError
        If a value is not finite, or if more than half of the norms are zero.

    Examples
    --------
    >>> block_contrasts(np.ones(8), [2, 4])
    [array([1., 1., 1., 1.]), array([1., 1.])]
    """
    logs = log_norms(sample)
    contrasts = list(block_sums(logs, lengths))
    del logs  # as large as the sample
    for k1, values, sums in zip(lengths, contrasts, block_sums(sample, lengths), strict=True):
        values /= -k1
        values += log_norms(sums)
        values /= math.log(k1)
    return contrasts


class Profiles:
    """1/alpha at every K1, for each random order of a sample.

    Parameters
    ----------
    level : float
        Mean log norm of the sample, which no order changes.
    lengths : sequence of int
        Block lengths K1, ascending.
    """

    def __init__(self, level: float, lengths: Sequence[int]) -> None:
        self._level, self._lengths = level, lengths
        self._rows: list[list[float]] = []

    def add(self, shuffled: Array) -> None:
        """Add one more order; ``shuffled`` (N, d) or (N,) is the sample in it."""
        sums = zip(self._lengths, block_sums(shuffled, self._lengths), strict=True)
        self._rows.append([(mean(log_norms(each)) - self._level) / math.log(k1) for k1, each in sums])

    @property
    def inverse(self) -> Floats:
        """1/alpha, (orders, K1s)."""
        return np.array(self._rows)


def profile(
    observations: Array, *, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[list[int], Floats]:
    """Estimate 1/alpha at every block length in several random orders.

    Parameters
    ----------
    observations : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,); their precision is that of the work.
    rng : numpy.random.Generator
        Source of the orders.
    permutations : int
        Number of orders.

    Returns
    -------
    lengths : list of int
        Block lengths K1.
    inverse : numpy.ndarray
        1/alpha, (permutations, K1s).

    Raises
    ------
    ValueError
        If there is no block length, or as for ``log_norms``.

    Examples
    --------
    >>> lengths, inverse = profile(np.random.default_rng(0).standard_normal((200, 3)), rng=np.random.default_rng(1))
    >>> lengths, inverse.shape
    ([2, 5, 10, 20, 50, 100], (5, 6))
    """
    lengths = block_lengths(len(observations))
    found = Profiles(mean(log_norms(observations)), lengths)
    for _ in range(permutations):
        found.add(permuted(observations, rng))
    return lengths, found.inverse


def alpha_of(inverse: AnyArray | float) -> Floats:
    """Convert 1/alpha to alpha.

    Parameters
    ----------
    inverse : array_like
        1/alpha, of any shape.

    Returns
    -------
    numpy.ndarray
        alpha, float64; infinite where 1/alpha <= 0, which no stable law has.

    Examples
    --------
    >>> alpha_of([0.5, 0.0, -1.0])
    array([ 2., inf, inf])
    """
    inverse = np.asarray(inverse, dtype=np.float64)
    alpha: Floats = np.divide(1.0, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)
    return alpha


def aggregate(inverse: Floats) -> float:
    """Compute the paper's aggregate, unclipped: the median over orders of the median over K1 of alpha.

    As published, a negative 1/alpha is a negative alpha.

    Parameters
    ----------
    inverse : numpy.ndarray
        1/alpha, (orders, K1s).

    Returns
    -------
    float
        alpha.

    Examples
    --------
    >>> aggregate(np.array([[0.5, 0.5, 0.8], [0.625, 0.5, 0.8]]))
    1.8
    """
    with np.errstate(divide="ignore"):
        return float(np.median(np.median(1 / np.asarray(inverse), axis=1)))


def published(observations: AnyArray, *, rng: np.random.Generator) -> float:
    """Estimate the tail index as the paper does: ``aggregate`` of ``profile``, clipped at 2.

    Parameters
    ----------
    observations : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,).
    rng : numpy.random.Generator
        Source of the random orders.

    Returns
    -------
    float
        alpha, at most 2.

    Raises
    ------
    ValueError
        If there is no block length, or as for ``log_norms``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(published(rng.standard_cauchy(10_000), rng=rng), 1)
    1.0
    """
    return min(aggregate(profile(observations, rng=rng)[1]), CLIP)


def __getattr__(name: str) -> object:
    """Return ``estimate``, the function for other programs."""
    if name == "estimate":
        return importlib.import_module(_ESTIMATE).estimate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
