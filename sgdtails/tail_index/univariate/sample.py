"""A checked univariate sample, and what the estimators share: sorted magnitudes, intervals."""

from typing import NamedTuple

import numpy as np

from sgdtails import arrays
from sgdtails.arrays import Array, Floats, array_namespace, is_torch_array, like

MINIMUM = 16  # values; with fewer there are less than four exceedances, too few for Pickands' estimator
# Of N magnitudes the k = N^TAIL_EXPONENT largest are used, and blocks have as many: k -> infinity and k/N -> 0, as
# consistency asks, and there is no scale to tune. At alpha = 1.8 a fixed 1% biases Hill's estimate by -0.057 however large N
# is; k = sqrt(N) by -0.009 at 262,144.
TAIL_EXPONENT = 0.5
LEVEL = 0.95  # of the intervals
SHARES = (0.5 + LEVEL / 2, 0.5 - LEVEL / 2)  # quantiles of a pivot; the upper one gives the lower end of 1/alpha


class Interval(NamedTuple):
    """1/alpha and its interval at ``LEVEL``.

    Parameters
    ----------
    inverse : numpy.ndarray
        1/alpha, float64 (...,).
    low, high : numpy.ndarray
        Ends of the interval, float64 (...,).
    """

    inverse: Floats
    low: Floats
    high: Floats


class Sample:
    """A checked sample, and what the estimators share: its sorted magnitudes.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred values, (..., N); each vector along the last axis is a sample of its own.
    rng : numpy.random.Generator, optional
        Source of the random order in which blocks are cut; without it they are cut in the order given.

    Raises
    ------
    ValueError
        For fewer than ``MINIMUM`` values, for values that are not finite or are all equal, and where more than half are zero.
    """

    def __init__(self, sample: Array, rng: np.random.Generator | None = None) -> None:
        values = sample if is_torch_array(sample) else np.asarray(sample)
        self.xp = xp = array_namespace(values)
        self.values = xp.astype(values, xp.result_type(values.dtype, xp.float32), copy=False)
        self.rng = rng
        self.size = values.shape[-1] if values.ndim else 1
        if self.size < MINIMUM:
            raise ValueError(f"{self.size} observations are too few for a tail index: give at least {MINIMUM}")
        self.magnitudes = _ascending(xp.abs(self.values))
        if not xp.isfinite(self.magnitudes[..., -1]).all():  # not-a-number sorts last
            raise ValueError("the observations are not all finite")
        if (self.magnitudes[..., self.size // 2] == 0).any():
            raise ValueError("more than half of the observations are zero: they have no tail index")
        if xp.all(self.values[..., :-1] == self.values[..., 1:], axis=-1).any():
            raise ValueError("the observations are all equal: they have no tail index")

    @property
    def tail(self) -> int:
        """Number k of the largest magnitudes that are used, and of values in a block."""
        return round(float(self.size**TAIL_EXPONENT))

    def excesses(self) -> Floats:
        """Compute the logs of the k largest magnitudes over the next one, ascending, (..., k)."""
        logs = np.log(self.ordered(slice(-self.tail - 1, None)))
        return logs[..., 1:] - logs[..., :1]

    def quantile(self, share: float) -> Floats:
        """Compute a quantile of the magnitudes (...,), where the i-th of N is the one at (i - 1/2)/N."""
        position = min(max(share * self.size - 0.5, 0.0), self.size - 1.0)
        below = min(int(position), self.size - 2)
        low, high = self.ordered(below), self.ordered(below + 1)
        return low + (position - below) * (high - low)

    def ordered(self, part: int | slice) -> Floats:
        """Take magnitudes from their ascending order, to the host."""
        return arrays.host(self.magnitudes[..., part]).astype(np.float64)

    def in_order(self) -> Array:
        """Copy the magnitudes in a random order, or without a generator in the order given."""
        if self.rng is None:
            return self.xp.abs(self.values)
        if is_torch_array(self.magnitudes):
            return self.magnitudes[like(self.rng.permutation(self.size), self.magnitudes)]
        return self.rng.permutation(self.magnitudes)


def _ascending(magnitudes: Array) -> Array:
    """Sort along the last axis, numpy's in place; the sort is not stable, which is faster."""
    if is_torch_array(magnitudes):
        return magnitudes.sort(dim=-1).values
    magnitudes.sort(axis=-1)
    return magnitudes


def checked(sample: Array | Sample) -> Sample:
    """Check a sample, unless it is a checked one.

    Parameters
    ----------
    sample : numpy.ndarray, torch.Tensor or Sample
        Centred values, (..., N).

    Returns
    -------
    Sample
        The checked sample.

    Raises
    ------
    ValueError
        As for ``Sample``.

    Examples
    --------
    >>> checked(np.arange(100.0)).tail
    10
    """
    return sample if isinstance(sample, Sample) else Sample(sample)


def normal_quantile() -> float:
    """Compute the upper quantile of the standard normal law at ``LEVEL``.

    Returns
    -------
    float
        Half the width of an interval, in standard errors.

    Examples
    --------
    >>> round(normal_quantile(), 3)
    1.96
    """
    from scipy.special import ndtri

    return float(ndtri(SHARES[0]))


def normal(inverse: Floats, error: Floats) -> Interval:
    """Build the normal interval of estimates; it is the whole line where an estimate is infinite.

    Parameters
    ----------
    inverse : numpy.ndarray
        Estimates of 1/alpha, (...,).
    error : numpy.ndarray
        Their standard errors, (...,).

    Returns
    -------
    Interval
        The estimates and their intervals.

    Examples
    --------
    >>> found = normal(np.array([0.6]), np.array([0.1]))
    >>> found.low.round(2), found.high.round(2)
    (array([0.4]), array([0.8]))
    """
    finite = np.isfinite(inverse)
    middle, half = np.where(finite, inverse, 0), np.where(finite, normal_quantile() * error, np.inf)
    return Interval(inverse, middle - half, middle + half)
