"""Alternatives to the MMO estimators: eight estimators of the tail index of a centred univariate sample, in terms of 1/alpha.

Four look at the largest magnitudes only and estimate the extreme-value index gamma, which is 1/alpha for any law with tails
like x^-alpha (``hill``, ``moment``, ``pickands``, ``de_haan_resnick``), as does ``paulauskas`` from the two largest of each
block. For a stable law with alpha near 2 the power law starts so far out that they are badly biased, and at alpha = 2, a
Gaussian law, gamma is 0 and not 1/2. The other three assume a symmetric stable law and use all of the sample, and are
consistent for every alpha: ``log_moment``, ``characteristic_function`` and ``quantiles``. None evaluates a density.

Each takes a sample (..., N) of numpy or torch and gives 1/alpha (...,), float64 and numpy's; where that is not positive
there is no tail index (``tail_index.alpha_of``). What is as large as the sample stays on its device: sorted magnitudes,
blocks, sums over powers; what is done with a few quantiles, sums and N^TAIL_EXPONENT numbers is done on the host. ValueError for fewer than MINIMUM values, values that are not finite or are all equal, or more
than half of them zero.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdtails import arrays
from sgdtails.arrays import array_namespace, is_torch_array, like
from sgdtails.tail_index import mmo as tail_index

MINIMUM = 16  # values: fewer leave less than four exceedances, and Pickands' estimator none
# k = N^TAIL_EXPONENT largest magnitudes of N, and blocks of as many: k -> infinity and k/N -> 0, as consistency asks, and no
# scale to tune. At alpha = 1.8 a fixed 1% biases Hill's estimate by -0.057 however large N is; k = sqrt(N) by -0.009 at 262,144.
TAIL_EXPONENT = 0.5
LEVEL = 0.95  # of the intervals
_SHARES = (0.5 + LEVEL / 2, 0.5 - LEVEL / 2)  # of a pivot that 1/alpha divides: the upper one gives the lower end
FREQUENCIES = 10  # Koutrouvelis (1980) has 9 to 11 for alpha from 1.9 down to 1.5
FREQUENCY_STEP = math.pi / 25  # between frequencies, in units of 1/(median magnitude)
CHUNK = 1 << 16  # values at a time, to stay in the processor's cache

# McCulloch's nu_alpha = (q95 - q5)/(q75 - q25) of a symmetric stable law for alpha = 0.5, 0.55, ... 2, computed from Zolotarev's
# integral for its distribution function: his table III errs by up to 0.004 in alpha, cubic interpolation of 1/alpha in
# log nu_alpha by less than 1e-5.
# fmt: off
NU_ALPHA = (
    44.635118, 31.565569, 23.612189, 18.439617, 14.893767, 12.357522, 10.479083, 9.047016, 7.928492, 7.036866, 6.313752,
    5.718676, 5.222869, 4.805423, 4.450851, 4.147494, 3.88647, 3.660946, 3.465625, 3.296352, 3.149795, 3.02317, 2.914029,
    2.820128, 2.739382, 2.669882, 2.609914, 2.557985, 2.512818, 2.473342, 2.438664,
)
# fmt: on

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """1/alpha and its interval at LEVEL, each (...,)."""

    inverse: Floats
    low: Floats
    high: Floats


class _Sample:
    """A checked sample (..., N) and what the estimators share: its sorted magnitudes."""

    def __init__(self, sample: Any, rng: np.random.Generator | None = None) -> None:
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
        """How many of the largest magnitudes, and values to a block."""
        return round(self.size**TAIL_EXPONENT)

    def excesses(self) -> Floats:
        """log of the k largest magnitudes over the next one, ascending, (..., k)."""
        logs = np.log(self.ordered(slice(-self.tail - 1, None)))
        return logs[..., 1:] - logs[..., :1]

    def quantile(self, share: float) -> Floats:
        """Quantile of the magnitudes (...,), the i-th of N taken as the one at (i - 1/2)/N."""
        position = min(max(share * self.size - 0.5, 0.0), self.size - 1.0)
        below = min(int(position), self.size - 2)
        low, high = self.ordered(below), self.ordered(below + 1)
        return low + (position - below) * (high - low)

    def ordered(self, part: int | slice) -> Floats:
        """Magnitudes from their ascending order, on the host."""
        return arrays.host(self.magnitudes[..., part]).astype(np.float64)

    def in_order(self) -> Any:
        """A copy of the magnitudes in the order given, or a random one."""
        if self.rng is None:
            return self.xp.abs(self.values)
        if is_torch_array(self.magnitudes):
            return self.magnitudes[like(self.rng.permutation(self.size), self.magnitudes)]
        return self.rng.permutation(self.magnitudes)


def _ascending(magnitudes: Any) -> Any:
    """Sorted along the last axis, and numpy's in place; not stable, which is faster."""
    if is_torch_array(magnitudes):
        return magnitudes.sort(dim=-1).values
    magnitudes.sort(axis=-1)
    return magnitudes


Core = Callable[[_Sample], Interval]
ESTIMATORS: dict[str, Callable[[Any], Floats]] = {}
_CORES: dict[str, Core] = {}


def _estimator(core: Core) -> Callable[[Any], Floats]:
    def inverse(sample: Any) -> Floats:
        return core(_Sample(sample)).inverse

    inverse.__name__ = inverse.__qualname__ = name = core.__name__
    inverse.__doc__ = core.__doc__
    ESTIMATORS[name], _CORES[name] = inverse, core
    return inverse


def estimates(sample: Any, *, rng: np.random.Generator) -> list[tuple[str, float, float, float]]:
    """(estimator, alpha, alpha_low, alpha_high) of a centred sample (N,), in the order of ESTIMATORS.

    Intervals at LEVEL are for independent observations and come from each estimator's own theory, as its docstring
    states; one sort serves all. They hold the sampling error and no bias. ``rng`` draws the blocks of ``paulauskas``.
    """
    shared = _Sample(sample.reshape(-1), rng)
    rows = []
    for name, core in _CORES.items():
        inverse, low, high = core(shared)
        alpha, least, most = tail_index.alpha_of(np.array([inverse, high, low])).tolist()
        rows.append((name, alpha, least, most))
    return rows


@_estimator
def hill(sample: _Sample) -> Interval:
    """Mean log excess of the k = N^TAIL_EXPONENT largest magnitudes over the next one. Hill (1975).

    Interval: k times the ratio to 1/alpha is Gamma(k) for a Pareto tail, exactly (Renyi's representation).
    """
    from scipy.special import gammaincinv

    inverse = sample.excesses().mean(axis=-1)
    low, high = (inverse * sample.tail / gammaincinv(sample.tail, share) for share in _SHARES)
    return Interval(inverse, low, high)


@_estimator
def pickands(sample: _Sample) -> Interval:
    """log2 of the ratio of the gaps between the m-th, 2m-th and 4m-th largest magnitudes, 4m = k. Pickands (1975).

    Interval: normal, with the asymptotic variance of Dekkers and de Haan (1989), theorem 2.3.
    """
    m = sample.tail // 4
    first, second, fourth = (sample.ordered(-i * m) for i in (1, 2, 4))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = np.log2((first - second) / (second - fourth))
        inverse = np.where(first == second, -np.inf, inverse)  # ties at the top: a bounded law
        power = inverse * math.log(2)
        slope = np.where(np.abs(power) < 1e-8, 1.0, power / np.expm1(power))  # 1 is the limit at 0
        error = slope * np.sqrt((2 * 4**inverse + 1) / m) / (2 * math.log(2) ** 2)
    return _normal(inverse, error)


@_estimator
def moment(sample: _Sample) -> Interval:
    """M1 + 1 - 1/(2(1 - M1^2/M2)), M1 and M2 the moments of the k log excesses. Dekkers, Einmahl and de Haan (1989).

    Interval: normal, with their asymptotic variance (corollary 3.2).
    """
    excesses = sample.excesses()
    first, second = excesses.mean(axis=-1), np.square(excesses).mean(axis=-1)
    ratio = np.divide(first**2, second, out=np.ones_like(first), where=second > 0)
    with np.errstate(divide="ignore"):
        inverse = first + 1 - 0.5 / (1 - np.minimum(ratio, 1))
    g = np.maximum(inverse, -1e6)
    negative = (1 - g) ** 2 * (1 - 2 * g) * (1 - g + 6 * g**2) / ((1 - 3 * g) * (1 - 4 * g))
    return _normal(inverse, np.sqrt(np.where(g < 0, negative, 1 + g**2) / sample.tail))


@_estimator
def de_haan_resnick(sample: _Sample) -> Interval:
    """Log excess of the largest magnitude over the (k+1)-th, by its mean for a Pareto tail. De Haan and Resnick (1980).

    That mean is 1 + 1/2 + ... + 1/k in units of 1/alpha. Their form divides by log k, which adds 0.577/log k of 1/alpha.
    Interval: the excess is alpha^-1 times the largest of k standard exponentials, exactly so for a Pareto tail; its
    width falls only as 1/log N.
    """
    k = sample.tail
    excess = sample.excesses()[..., -1]
    low, high = (excess / -math.log(-math.expm1(math.log(share) / k)) for share in _SHARES)
    return Interval(excess / np.sum(1 / np.arange(1, k + 1)), low, high)


@_estimator
def paulauskas(sample: _Sample) -> Interval:
    """1/S - 1, S the mean over blocks of the second largest magnitude by the largest. Paulauskas (2003), with Vaiciulis (2011).

    E S = alpha/(alpha + 1) for a Pareto tail. Blocks are N^TAIL_EXPONENT consecutive values of the sample, in its order; a
    remainder is left out. Interval: Student's for the mean of independent ratios, carried through.
    """
    from scipy.special import stdtrit

    length, count = sample.tail, sample.size // sample.tail
    blocks = sample.in_order()[..., : length * count].reshape(*sample.values.shape[:-1], count, length)
    second, largest = _two_largest(blocks)
    ratios = np.divide(second, largest, out=np.ones_like(second), where=largest > 0)
    mean = ratios.mean(axis=-1)
    half = stdtrit(count - 1, _SHARES[0]) * ratios.std(axis=-1, ddof=1) / math.sqrt(count)
    with np.errstate(divide="ignore"):
        inverse, low, high = (1 / np.clip(value, 0, 1) - 1 for value in (mean, mean + half, mean - half))
    return Interval(inverse, low, high)


def _two_largest(blocks: Any) -> tuple[Floats, Floats]:
    """The second largest and the largest along the last axis, on the host; blocks of numpy are put in another order."""
    if is_torch_array(blocks):
        top = arrays.host(blocks.topk(2, dim=-1).values).astype(np.float64)
        return top[..., 1], top[..., 0]
    blocks.partition(blocks.shape[-1] - 2, axis=-1)
    return blocks[..., -2].astype(np.float64), blocks[..., -1].astype(np.float64)


@_estimator
def log_moment(sample: _Sample) -> Interval:
    """From Var log|X| = pi^2/6*(1/alpha^2 + 1/2) of a symmetric stable law; where 1/alpha^2 < 0, minus the root of its size.

    Zeros count as the smallest other magnitude. Interval: the variance's, from the sample's fourth moment, carried through.
    """
    xp = sample.xp
    zeros = xp.count_nonzero(sample.magnitudes == 0, axis=-1)
    smallest = xp.take_along_axis(sample.magnitudes, xp.expand_dims(zeros, axis=-1), axis=-1)
    sums = np.zeros((4, *sample.values.shape[:-1]))
    middle = _scale(sample)
    for part in _chunks(sample.magnitudes):
        # Small numbers: their powers keep precision.
        logs = xp.astype(xp.log(xp.maximum(part, smallest) / middle), xp.float64)
        squares = logs * logs
        for row, power in enumerate((logs, squares, squares * logs, squares * squares)):
            sums[row] += arrays.host(power.sum(axis=-1))
    m1, m2, m3, m4 = sums / sample.size
    variance = m2 - m1**2
    fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4
    half = _deviations() * np.sqrt(np.maximum(fourth - variance**2, 0) / sample.size)
    squared = (6 / math.pi**2 * value - 0.5 for value in (variance, variance - half, variance + half))
    return Interval(*(np.copysign(np.sqrt(np.abs(value)), value) for value in squared))


@_estimator
def characteristic_function(sample: _Sample) -> Interval:
    """Slope alpha of log(-log|phi(t)|^2) on log t, least squares on the sample's phi. Koutrouvelis (1980).

    t is FREQUENCY_STEP times 1...FREQUENCIES in units of 1/(median magnitude), about his 1/scale for every alpha.
    Interval: normal; the error of the slope, linear in the sample's phi, has a variance that phi at sums and differences
    of the frequencies gives.
    """
    phi = _phi(sample, 2 * FREQUENCIES)
    k = np.arange(1, FREQUENCIES + 1)
    logs = np.log(k) - np.log(k).mean()
    weights = logs / np.square(logs).sum()
    used = phi[..., 1 : FREQUENCIES + 1]
    power = np.square(np.abs(used))
    slope = np.log(-np.log(power)) @ weights
    # Each observation moves the slope by the real part of sum_k b_k exp(i t_k x) about its mean.
    b = 2 * weights * used.conj() / (power * np.log(power))
    sums = phi[..., k[:, None] + k]
    gaps = k[:, None] - k
    differences = np.where(gaps >= 0, phi[..., np.abs(gaps)], phi[..., np.abs(gaps)].conj())
    square = np.einsum("...j,...k,...jk->...", b, b, sums) + np.einsum("...j,...k,...jk->...", b, b.conj(), differences)
    variance = square.real / 2 - np.square((b * used).sum(axis=-1).real)
    with np.errstate(divide="ignore"):
        inverse = 1 / slope
    return _normal(inverse, np.sqrt(np.maximum(variance, 0) / sample.size) * inverse**2)


@_estimator
def quantiles(sample: _Sample) -> Interval:
    """McCulloch's (1986) ratio of the 90% quantile of the magnitudes to their median, and the stable law that has it (NU_ALPHA).

    Beyond the table, and so beyond alpha = 2, on the tangent at its end. Interval: normal for the log of the ratio, with
    the spacing of the order statistics one interval about each quantile in place of the density.
    """
    shares = np.array([0.5, 0.9])
    values = np.stack([sample.quantile(share) for share in shares])
    width = _deviations() * np.sqrt(shares * (1 - shares) / sample.size)
    above, below = (np.stack([sample.quantile(share) for share in ends]) for ends in (shares + width, shares - width))
    first, second = (above - below) / 2 / values  # half an interval for each log quantile
    correlation = math.sqrt(0.5 * 0.1 / (0.5 * 0.9))
    half = np.sqrt(first**2 + second**2 - 2 * correlation * first * second)
    ratio = np.log(values[1] / values[0])
    return Interval(*(_inverse_of_nu(value) for value in (ratio, ratio - half, ratio + half)))


def _inverse_of_nu(logs: Floats) -> Floats:
    spline = _spline()
    inside = np.clip(logs, spline.x[0], spline.x[-1])
    return spline(inside) + spline(inside, 1) * (logs - inside)


@cache
def _spline() -> Any:
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.log(NU_ALPHA[::-1]), 1 / np.linspace(2, 0.5, len(NU_ALPHA)))


def _phi(sample: _Sample, count: int) -> NDArray[np.complex128]:
    """The sample's characteristic function at 0...count times FREQUENCY_STEP/(median magnitude), (..., count + 1)."""
    xp = sample.xp
    total = np.zeros((count + 1, *sample.values.shape[:-1]), dtype=np.complex128)
    scale = _scale(sample)
    for part in _chunks(sample.values):
        angle = part / scale * FREQUENCY_STEP
        first = xp.empty_like(angle, dtype=xp.result_type(angle.dtype, xp.complex64))
        xp.cos(angle, out=first.real)
        xp.sin(angle, out=first.imag)
        power = xp.ones_like(first)
        for row in range(count + 1):
            total[row] += arrays.host(power.sum(axis=-1))
            power *= first
    total /= sample.size
    return np.moveaxis(total, 0, -1)


def _scale(sample: _Sample) -> Any:
    """The median magnitude (..., 1), in the sample's precision and on its device."""
    return sample.xp.astype(like(sample.quantile(0.5), sample.values), sample.values.dtype)[..., None]


def _chunks(values: Any) -> Iterator[Any]:
    chunk = CHUNK * 256 if is_torch_array(values) else CHUNK
    step = max(chunk * values.shape[-1] // max(math.prod(values.shape), 1), 1)
    for start in range(0, values.shape[-1], step):
        yield values[..., start : start + step]


def _deviations() -> float:
    from scipy.special import ndtri

    return float(ndtri(_SHARES[0]))


def _normal(inverse: Floats, error: Floats) -> Interval:
    """inverse -+ its deviations; everything where the estimate is infinite."""
    finite = np.isfinite(inverse)
    middle, half = np.where(finite, inverse, 0), np.where(finite, _deviations() * error, np.inf)
    return Interval(inverse, middle - half, middle + half)
