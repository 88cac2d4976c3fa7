"""Estimators of the extreme-value index gamma, which is 1/alpha for any law with tails like x^-alpha.

They look at the largest magnitudes only; ``paulauskas`` at the two largest of each block. For a stable law with alpha near 2
the power law starts so far out that they are badly biased, and at alpha = 2, a Gaussian law, gamma is 0 and not 1/2.
"""

import math
from typing import Any

import numpy as np

from sgdtails import arrays
from sgdtails.arrays import Array, Floats, is_torch_array
from sgdtails.tail_index.univariate.sample import SHARES, Interval, Sample, checked, normal


def hill(sample: Array | Sample) -> Interval:
    """Average the log excesses of the k = N^TAIL_EXPONENT largest magnitudes over the next one.

    Interval: k times the ratio to 1/alpha is Gamma(k) for a Pareto tail, exactly (Renyi's representation).

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
    Hill (1975).

    Examples
    --------
    >>> import numpy as np
    >>> pareto = np.random.default_rng(0).pareto(1.5, 10_000) + 1
    >>> found = hill(pareto)
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    from scipy.special import gammaincinv

    inverse = sample.excesses().mean(axis=-1)
    low, high = (inverse * sample.tail / gammaincinv(sample.tail, share) for share in SHARES)
    return Interval(inverse, low, high)


def pickands(sample: Array | Sample) -> Interval:
    """Take log2 of the ratio of the gaps between the m-th, 2m-th and 4m-th largest magnitudes, 4m = k.

    Interval: normal, with the asymptotic variance of Dekkers and de Haan (1989), theorem 2.3.

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
    Pickands (1975).

    Examples
    --------
    >>> import numpy as np
    >>> found = pickands(np.random.default_rng(0).pareto(1.5, 10_000) + 1)
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    m = sample.tail // 4
    first, second, fourth = (sample.ordered(-i * m) for i in (1, 2, 4))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = np.log2((first - second) / (second - fourth))
        inverse = np.where(first == second, -np.inf, inverse)  # ties at the top: a bounded law
        power = inverse * math.log(2)
        slope = np.where(np.abs(power) < 1e-8, 1.0, power / np.expm1(power))  # 1 is the limit at 0
        error = slope * np.sqrt((2 * 4**inverse + 1) / m) / (2 * math.log(2) ** 2)
    return normal(inverse, error)


def moment(sample: Array | Sample) -> Interval:
    """Combine the first two moments M1 and M2 of the k log excesses: M1 + 1 - 1/(2(1 - M1^2/M2)).

    Interval: normal, with the asymptotic variance of corollary 3.2 of the paper below.

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
    Dekkers, Einmahl and de Haan (1989).

    Examples
    --------
    >>> import numpy as np
    >>> found = moment(np.random.default_rng(0).pareto(1.5, 10_000) + 1)
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    excesses = sample.excesses()
    first, second = excesses.mean(axis=-1), np.square(excesses).mean(axis=-1)
    ratio = np.divide(first**2, second, out=np.ones_like(first), where=second > 0)
    with np.errstate(divide="ignore"):
        inverse = first + 1 - 0.5 / (1 - np.minimum(ratio, 1))
    g = np.maximum(inverse, -1e6)
    negative = (1 - g) ** 2 * (1 - 2 * g) * (1 - g + 6 * g**2) / ((1 - 3 * g) * (1 - 4 * g))
    return normal(inverse, np.sqrt(np.where(g < 0, negative, 1 + g**2) / sample.tail))


def de_haan_resnick(sample: Array | Sample) -> Interval:
    """Divide the log excess of the largest magnitude over the (k+1)-th by its mean for a Pareto tail.

    That mean is 1 + 1/2 + ... + 1/k in units of 1/alpha. The form in the paper divides by log k, which adds 0.577/log k of 1/alpha.
    Interval: for a Pareto tail the excess is exactly 1/alpha times the largest of k standard exponentials; the width falls only
    as 1/log N.

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
    De Haan and Resnick (1980).

    Examples
    --------
    >>> import numpy as np
    >>> found = de_haan_resnick(np.random.default_rng(0).pareto(1.5, 10_000) + 1)
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    k = sample.tail
    excess = sample.excesses()[..., -1]
    low, high = (excess / -math.log(-math.expm1(math.log(share) / k)) for share in SHARES)
    return Interval(excess / np.sum(1 / np.arange(1, k + 1)), low, high)


def paulauskas(sample: Array | Sample) -> Interval:
    """Average over blocks the second largest magnitude divided by the largest, S, and compute 1/S - 1.

    E S = alpha/(alpha + 1) for a Pareto tail. Blocks are N^TAIL_EXPONENT consecutive values of the sample in its order, or in
    a random one if the ``Sample`` has a generator; a remainder is left out. Interval: Student's for the mean of independent
    ratios, carried through.

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
    Paulauskas (2003); Paulauskas and Vaiciulis (2011).

    Examples
    --------
    >>> import numpy as np
    >>> found = paulauskas(np.random.default_rng(0).pareto(1.5, 10_000) + 1)
    >>> bool(found.low < 1 / 1.5 < found.high)
    True
    """
    sample = checked(sample)
    from scipy.special import stdtrit

    length, count = sample.tail, sample.size // sample.tail
    blocks = sample.in_order()[..., : length * count].reshape(*sample.values.shape[:-1], count, length)
    second, largest = _two_largest(blocks)
    ratios = np.divide(second, largest, out=np.ones_like(second), where=largest > 0)
    mean = ratios.mean(axis=-1)
    half = stdtrit(count - 1, SHARES[0]) * ratios.std(axis=-1, ddof=1) / math.sqrt(count)
    with np.errstate(divide="ignore"):
        inverse, low, high = (1 / np.clip(value, 0, 1) - 1 for value in (mean, mean + half, mean - half))
    return Interval(inverse, low, high)


def _two_largest(blocks: Any) -> tuple[Floats, Floats]:
    """Return the second largest and the largest along the last axis, on the host; reorder blocks of numpy in place."""
    if is_torch_array(blocks):
        top = arrays.host(blocks.topk(2, dim=-1).values).astype(np.float64)
        return top[..., 1], top[..., 0]
    blocks.partition(blocks.shape[-1] - 2, axis=-1)
    return blocks[..., -2].astype(np.float64), blocks[..., -1].astype(np.float64)
