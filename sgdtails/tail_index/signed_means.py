"""The tail index as a mean over random orders with random signs, with an interval for that mean.

Each order cuts the observations into blocks, and gives one estimate of 1/alpha per block (``mmo.block_contrasts``).
In a single order blocks are independent: the variance of their mean follows from their spread. A mean over R orders has a
smaller variance, V_U + (V_1 - V_U)/R. V_1 is that of one order. V_U is that of all orders (a U-statistic, Hoeffding 1948); it is
the covariance of two orders, estimated from the blocks of both that hold the same observation.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdtails import arrays
from sgdtails.arrays import AnyArray, Array, Floats, array_namespace, device
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import uncertainty
from sgdtails.tail_index.permutations import index_of, random_order, taken

ORDERS = 5
LEVEL = uncertainty.LEVEL
_SHARES = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_SEED = 0  # of resamples and draws: the same for every sample, so that they add no noise to comparisons
_DRAWS = 2000  # of the aggregate's error
_TRACKED = 2**15  # observations that show the covariance between orders
_PREFIX = 2**17  # observations that show correlations between K1s
_RESAMPLED = 256  # blocks that each order adds to the pool, and the most in a resample; skewness falls with the root of their number
_RESAMPLES = 799
_FEWEST_BLOCKS = 16  # fewer give no covariance, since their own mean ties them together
_PRIOR = 40  # weight, in observations, of the prior that one more order adds nothing; without it intervals of small samples are too short
FAR = 1.8, 100  # above this index, in this many dimensions, intervals hold at the shortest K1 only (docs/trust.md)


class Estimate(NamedTuple):
    """1/alpha and its interval at ``LEVEL``.

    Parameters
    ----------
    k1 : int or None
        Block length; None for the aggregate over block lengths.
    inverse : float
        1/alpha.
    low, high : float
        Ends of the interval.
    """

    k1: int | None
    inverse: float
    low: float
    high: float


class Tracker:
    """The positions, in each random order, of the observations that show covariances: those that the first order puts first."""

    def __init__(self) -> None:
        self._tracked: NDArray[np.integer] | None = None

    def places(self, order: NDArray[np.integer]) -> NDArray[np.integer]:
        """Find the positions of the tracked observations in an order (N,)."""
        if self._tracked is None:
            self._tracked = np.array(order[:_TRACKED])
            return np.arange(len(self._tracked))
        tracked = np.zeros(len(order), dtype=bool)
        tracked[self._tracked] = True
        found = np.flatnonzero(taken(tracked, order))
        places = np.empty_like(found)
        places[np.argsort(self._tracked)] = found[np.argsort(order[found])]
        return places


class SignedMeans:
    """Estimates of 1/alpha at every K1, and their aggregate, from any number of random orders of a sample.

    Parameters
    ----------
    lengths : sequence of int
        Block lengths K1, ascending.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = list(lengths)
        self._means: list[list[float]] = []
        self._variances = np.zeros(len(lengths))  # sums over orders of the variance of one order's mean
        self._pools: list[list[AnyArray]] = [[] for _ in lengths]
        self._sums: list[Array] = [0.0] * len(
            lengths
        )  # over orders of the deviation of each tracked observation's block
        self._squares = np.zeros(len(lengths))  # sums over orders of their mean squares
        self._correlations = np.empty(0)
        self._size = 0

    def add(self, shuffled: Array, places: AnyArray, rng: np.random.Generator) -> None:
        """Add one more order.

        Blocks of a torch sample stay on its device; ``_RESAMPLED`` of them, means and mean squares leave it.

        Parameters
        ----------
        shuffled : numpy.ndarray or torch.Tensor
            The sample in that order, (N, d) or (N,); it gets random signs in place.
        places : numpy.ndarray
            Positions of the tracked observations (``Tracker.places``).
        rng : numpy.random.Generator
            Source of the signs.
        """
        self._size = len(shuffled)
        uncertainty.change_signs(shuffled, rng)
        contrasts = tail_index.block_contrasts(shuffled, self._lengths)
        if not self._means:
            self._correlations = _correlations(contrasts, self._lengths)
        xp, tracked = array_namespace(shuffled), index_of(places, shuffled)
        means, errors = np.array([uncertainty.mean_and_error(values) for values in contrasts]).T
        self._means.append(means.tolist())
        self._variances += errors**2
        for number, (k1, values) in enumerate(zip(self._lengths, contrasts, strict=True)):
            deviations = xp.astype(values[tracked // k1], xp.float64) - float(means[number])
            self._sums[number] = self._sums[number] + deviations
            self._squares[number] += arrays.mean(deviations * deviations)
            # In double precision the mean of equal numbers is that number.
            self._pools[number].append(arrays.host(values[:_RESAMPLED]).astype(np.float64))

    def estimates(self) -> list[Estimate]:
        """Return one estimate per K1, ascending, and the aggregate, which is their median.

        The interval of the aggregate is that of stable data, whose index is the same at each K1.
        """
        from scipy.special import stdtrit  # scipy takes a while to import: only here

        means, errors = np.mean(self._means, axis=0), self._errors()
        freedom = np.array([self._size // k1 - 1 for k1 in self._lengths])
        above = stdtrit(freedom, _SHARES[1])
        below = np.array(
            [t + self._stretch(number, n + 1) for number, (t, n) in enumerate(zip(above, freedom, strict=True))]
        )
        found = [
            Estimate(k1, mean, mean - t * error, mean + q * error)
            for k1, mean, error, t, q in zip(self._lengths, means, errors, above, below, strict=True)
        ]
        draws = np.median(self._student(freedom) * errors, axis=1)
        low, high = np.quantile(draws, _SHARES)
        middle, stretch = float(np.median(means)), float(np.median(below / above))
        found.append(Estimate(None, middle, middle - max(float(high), 0.0), middle - min(float(low), 0.0) * stretch))
        return [Estimate(each.k1, *map(float, each[1:])) for each in found]

    def _errors(self) -> Floats:
        """Compute the standard error of the mean over orders, (K1s,)."""
        orders, n = len(self._means), self._size
        single = self._variances / orders
        if orders == 1:
            return np.sqrt(single)
        shared = [arrays.mean(total * total) for total in self._sums] - self._squares
        between = np.square(self._lengths) * shared / (orders * (orders - 1)) / n
        share = np.clip(np.divide(between, single, out=np.zeros_like(single), where=single > 0), 0, 1)
        share = (n * share + _PRIOR) / (n + _PRIOR)
        # The share grows with K1 on stable data, and long blocks are too few to show it.
        enough = np.array([n // k1 >= _FEWEST_BLOCKS for k1 in self._lengths])
        enough[0] = True
        share = np.maximum.accumulate(np.where(enough, share, 0.0))
        return np.sqrt(single * (share + (1 - share) / orders))

    def _stretch(self, number: int, blocks: int) -> float:
        """Compute how much further up than Student's t an interval reaches, in standard errors.

        Where large contrasts are rare, a sample with too few of them is likelier than one with too many. The lower quantile of the
        studentised mean of one order's blocks under the bootstrap says by how much (Hall 1992, section 3.2).
        """
        from scipy.special import stdtrit

        pool, size = np.concatenate(self._pools[number]), min(blocks, _RESAMPLED)
        chosen = pool[np.random.default_rng(_SEED).integers(0, len(pool), (_RESAMPLES, size))]
        deviations = chosen.mean(axis=1) - pool.mean()
        errors = chosen.std(axis=1, ddof=1) / math.sqrt(size)
        known = errors > 0
        if not known.any():
            return 0.0
        reach = -float(np.quantile(deviations[known] / errors[known], _SHARES[0]))
        return max(reach - float(stdtrit(size - 1, _SHARES[1])), 0.0) * math.sqrt(size / blocks)

    def _student(self, freedom: AnyArray) -> Floats:
        """Draw the errors of 1/alpha at every K1 in standard errors, (draws, K1s)."""
        from scipy.special import ndtr, stdtrit

        values, vectors = np.linalg.eigh(self._correlations)
        root = vectors * np.sqrt(np.maximum(values, 0))
        normal = (
            np.random.default_rng(_SEED).standard_normal((_DRAWS, len(freedom))) @ root.T / np.linalg.norm(root, axis=1)
        )
        # Margins of Student's t, since few blocks know little of their own spread.
        draws: Floats = stdtrit(freedom, np.clip(ndtr(normal), 1e-12, 1 - 1e-12))
        return draws


def estimates(
    sample: Array, *, rng: np.random.Generator, orders: int = ORDERS, lengths: Sequence[int] | None = None
) -> list[Estimate]:
    """Estimate 1/alpha of a sample at every K1, and the aggregate, with intervals.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,).
    rng : numpy.random.Generator
        Source of orders and signs.
    orders : int
        Number of random orders.
    lengths : sequence of int, optional
        Block lengths; without them those of ``mmo.block_lengths``.

    Returns
    -------
    list of Estimate
        One per K1, ascending, and the aggregate.

    Raises
    ------
    ValueError
        If there is no block length, or as for ``mmo.log_norms``.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((500, 3))
    >>> found = estimates(rows, rng=np.random.default_rng(1))[-1]
    >>> bool(found.low < 0.5 < found.high)
    True
    """
    found, tracker = SignedMeans(lengths or tail_index.block_lengths(len(sample))), Tracker()
    for _ in range(orders):
        order = random_order(len(sample), rng)
        found.add(taken(sample, order), tracker.places(order), rng)
    return found.estimates()


def profile(sample: Array, *, rng: np.random.Generator, lengths: Sequence[int], orders: int = ORDERS) -> Floats:
    """Estimate 1/alpha of a sample at each K1, as ``estimates`` does, without intervals.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,).
    rng : numpy.random.Generator
        Source of orders and signs.
    lengths : sequence of int
        Block lengths K1, ascending.
    orders : int
        Number of random orders.

    Returns
    -------
    numpy.ndarray
        1/alpha, (K1s,).

    Raises
    ------
    ValueError
        As for ``mmo.log_norms``.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((500, 3))
    >>> profile(rows, rng=np.random.default_rng(1), lengths=[2, 5, 10]).round(1)
    array([0.5, 0.5, 0.5])
    """
    found = tail_index.Profiles(arrays.mean(tail_index.log_norms(sample)), lengths)
    for _ in range(orders):
        found.add(uncertainty.signed_permutation(sample, rng=rng))
    inverse: Floats = found.inverse.mean(axis=0)
    return inverse


def holds(k1: int | None, shortest: int, dimension: int, alpha_high: float) -> bool:
    """Decide whether an interval is known to cover about as often as it says.

    Among rows of many numbers with an index a little below 2, those that show it are rare, and a sample without them
    cannot know of them; at the shortest K1 they weigh least. See ``FAR``.

    Parameters
    ----------
    k1 : int or None
        Block length of the estimate, None for the aggregate.
    shortest : int
        The shortest block length.
    dimension : int
        Numbers in an observation, d.
    alpha_high : float
        Upper end of the interval of alpha.

    Returns
    -------
    bool
        True if the interval is known to cover.

    Examples
    --------
    >>> holds(10, 2, 784, 1.9), holds(10, 2, 784, 1.7), holds(10, 2, 9, 1.9)
    (False, True, True)
    """
    return k1 == shortest or dimension < FAR[1] or alpha_high <= FAR[0]


def _correlations(contrasts: list[Array], lengths: Sequence[int]) -> Floats:
    """Compute correlations of the means of blocks of different lengths over one sequence of observations, (K1s, K1s)."""
    end = min(len(contrasts[0]) * lengths[0], max(_PREFIX, 8 * lengths[-1]))
    centred = [values[: end // k1] - arrays.mean(values) for values, k1 in zip(contrasts, lengths, strict=True)]
    squares = [arrays.total(values * values) for values in centred]
    result = np.eye(len(lengths))
    for j, long in enumerate(lengths):
        for i, short in enumerate(lengths[:j]):
            product = _common(centred[i], centred[j], short, long)
            norm = math.sqrt(squares[i] * squares[j])
            result[i, j] = result[j, i] = np.clip(product / norm, -1, 1) if norm > 0 else 0.0
    return result


def _common(of_short: Array, of_long: Array, short: int, long: int) -> float:
    """Sum, over the overlaps of a short block with a long one, the product of their values."""
    xp = array_namespace(of_short)
    # Each overlap starts where a short block does, or a long one inside a short one.
    blocks = xp.arange(min(len(of_short), -(-len(of_long) * long // short)), device=device(of_short))
    total = arrays.total(of_short[: len(blocks)] * of_long[blocks * short // long])
    starts = xp.arange(len(of_long), device=device(of_short)) * long
    starts = starts[(starts % short > 0) & (starts // short < len(of_short))]
    return total + arrays.total(of_short[starts // short] * of_long[starts // long])
