"""Estimators for symmetric stable laws: they use all of the sample and are consistent for every alpha. None evaluates a density."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import arrays
from sgdtails.arrays import Array, Floats, is_torch_array, like
from sgdtails.tail_index.univariate.sample import Interval, Sample, checked, normal, normal_quantile

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


def log_moment(sample: Array | Sample) -> Interval:
    """Solve Var log|X| = pi^2/6*(1/alpha^2 + 1/2), which holds for symmetric stable laws, for 1/alpha.

    Where 1/alpha^2 would be negative the result is minus the root of its size. Zeros count as the smallest other magnitude.
    Interval: that of the variance, from the sample's fourth moment, carried through.

    Parameters
    ----------
    sample : numpy.ndarray, torch.Tensor or Sample
        Centred values, (..., N).

    Returns
    -------
    Interval
        1/alpha and the ends of its interval, each (...,).

    Raises
    ------
    ValueError
        For a sample without a tail index (``Sample``).

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> found = log_moment(sampling.sample(1.5, 10_000, rng=np.random.default_rng(0)))
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    xp = sample.xp
    zeros = xp.count_nonzero(sample.magnitudes == 0, axis=-1)
    smallest = xp.take_along_axis(sample.magnitudes, xp.expand_dims(zeros, axis=-1), axis=-1)
    sums = np.zeros((4, *sample.values.shape[:-1]))
    middle = _scale(sample)
    for part in _chunks(sample.magnitudes):
        # Logs over the median are small, so that their powers keep precision.
        logs = xp.astype(xp.log(xp.maximum(part, smallest) / middle), xp.float64)
        squares = logs * logs
        for row, power in enumerate((logs, squares, squares * logs, squares * squares)):
            sums[row] += arrays.host(power.sum(axis=-1))
    m1, m2, m3, m4 = sums / sample.size
    variance = m2 - m1**2
    fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4
    half = normal_quantile() * np.sqrt(np.maximum(fourth - variance**2, 0) / sample.size)
    squared = (6 / math.pi**2 * value - 0.5 for value in (variance, variance - half, variance + half))
    return Interval(*(np.copysign(np.sqrt(np.abs(value)), value) for value in squared))


def characteristic_function(sample: Array | Sample) -> Interval:
    """Fit the slope alpha of log(-log|phi(t)|^2) on log t by least squares, phi being the sample's characteristic function.

    t is FREQUENCY_STEP times 1...FREQUENCIES in units of 1/(median magnitude), about the paper's 1/scale for every alpha.
    Interval: normal; the error of the slope, linear in the sample's phi, has a variance that follows from phi at sums and
    differences of the frequencies.

    Parameters
    ----------
    sample : numpy.ndarray, torch.Tensor or Sample
        Centred values, (..., N).

    Returns
    -------
    Interval
        1/alpha and the ends of its interval, each (...,).

    Raises
    ------
    ValueError
        For a sample without a tail index (``Sample``).

    References
    ----------
    Koutrouvelis (1980).

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> found = characteristic_function(sampling.sample(1.5, 10_000, rng=np.random.default_rng(0)))
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
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
    return normal(inverse, np.sqrt(np.maximum(variance, 0) / sample.size) * inverse**2)


def quantiles(sample: Array | Sample) -> Interval:
    """Find the stable law whose magnitudes have the sample's ratio of the 90% quantile to the median.

    The laws are those of the table ``NU_ALPHA``; beyond it, and so beyond alpha = 2, the tangent at its end is used.
    Interval: normal for the log of the ratio, with the spacing of the order statistics one interval about each quantile in
    place of the density.

    Parameters
    ----------
    sample : numpy.ndarray, torch.Tensor or Sample
        Centred values, (..., N).

    Returns
    -------
    Interval
        1/alpha and the ends of its interval, each (...,).

    Raises
    ------
    ValueError
        For a sample without a tail index (``Sample``).

    References
    ----------
    McCulloch (1986).

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> found = quantiles(sampling.sample(1.5, 10_000, rng=np.random.default_rng(0)))
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    shares = np.array([0.5, 0.9])
    values = np.stack([sample.quantile(share) for share in shares])
    width = normal_quantile() * np.sqrt(shares * (1 - shares) / sample.size)
    above, below = (np.stack([sample.quantile(share) for share in ends]) for ends in (shares + width, shares - width))
    first, second = (above - below) / 2 / values  # half an interval for each log quantile
    correlation = math.sqrt(0.5 * 0.1 / (0.5 * 0.9))
    half = np.sqrt(first**2 + second**2 - 2 * correlation * first * second)
    ratio = np.log(values[1] / values[0])
    return Interval(*(_inverse_of_nu(value) for value in (ratio, ratio - half, ratio + half)))


def _inverse_of_nu(logs: Floats) -> Floats:
    spline = _spline()
    inside = np.clip(logs, spline.x[0], spline.x[-1])
    inverse: Floats = spline(inside) + spline(inside, 1) * (logs - inside)
    return inverse


@cache
def _spline() -> Any:
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.log(NU_ALPHA[::-1]), 1 / np.linspace(2, 0.5, len(NU_ALPHA)))


def _phi(sample: Sample, count: int) -> NDArray[np.complex128]:
    """Compute the sample's characteristic function at 0...count times FREQUENCY_STEP/(median magnitude), (..., count + 1)."""
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


def _scale(sample: Sample) -> Any:
    """Return the median magnitude (..., 1), in the sample's precision and on its device."""
    return sample.xp.astype(like(sample.quantile(0.5), sample.values), sample.values.dtype)[..., None]


def _chunks(values: Array) -> Iterator[Any]:
    chunk = CHUNK * 256 if is_torch_array(values) else CHUNK
    step = max(chunk * values.shape[-1] // max(math.prod(values.shape), 1), 1)
    for start in range(0, values.shape[-1], step):
        yield values[..., start : start + step]
