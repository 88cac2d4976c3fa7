"""Alternatives to the MMO estimators: eight estimators of the tail index of a centred univariate sample, in terms of 1/alpha.

Each takes a sample (..., N) of numpy or torch and gives an ``Interval``: 1/alpha (...,) and the ends of its interval, float64
and numpy's. Where 1/alpha is not positive there is no tail index (``mmo.alpha_of``). ``extreme_value`` says which of them
look at the largest magnitudes only, ``stable_law`` which use all of the sample.

What is as large as the sample stays on its device: sorted magnitudes, blocks, sums over powers. What is done with a few
quantiles, sums and N^TAIL_EXPONENT numbers is done on the host. All raise ValueError for fewer than MINIMUM values, for values
that are not finite or are all equal, and where more than half of them are zero.
"""

from collections.abc import Callable

import numpy as np

from sgdtails.arrays import Array
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.univariate.extreme_value import de_haan_resnick, hill, moment, paulauskas, pickands
from sgdtails.tail_index.univariate.sample import MINIMUM, Interval, Sample
from sgdtails.tail_index.univariate.stable_law import characteristic_function, log_moment, quantiles

__all__ = ["ESTIMATORS", "MINIMUM", "Interval", "Sample", "estimates"]

ESTIMATORS: dict[str, Callable[[Array | Sample], Interval]] = {
    "hill": hill,
    "pickands": pickands,
    "moment": moment,
    "de_haan_resnick": de_haan_resnick,
    "paulauskas": paulauskas,
    "log_moment": log_moment,
    "characteristic_function": characteristic_function,
    "quantiles": quantiles,
}


def estimates(sample: Array, *, rng: np.random.Generator) -> list[tuple[str, float, float, float]]:
    """Estimate the tail index of a sample by every estimator.

    Intervals are for independent observations and come from each estimator's own theory, as its docstring states; they hold the
    sampling error and no bias. One sort serves all.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred values, (N,).
    rng : numpy.random.Generator
        Source of the random order in which ``paulauskas`` cuts its blocks.

    Returns
    -------
    list of tuple
        Estimator, alpha, and the ends of its 95% interval, in the order of ``ESTIMATORS``.

    Raises
    ------
    ValueError
        For a sample without a tail index (``Sample``).

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> values = sampling.sample(1.5, 10_000, rng=np.random.default_rng(0))
    >>> for name, alpha, low, high in estimates(values, rng=np.random.default_rng(1))[-3:]:
    ...     print(f"{name}: {alpha:.2f} [{low:.2f}, {high:.2f}]")
    log_moment: 1.54 [1.47, 1.62]
    characteristic_function: 1.50 [1.46, 1.53]
    quantiles: 1.50 [1.46, 1.53]
    """
    shared = Sample(sample.reshape(-1), rng)
    rows = []
    for name, estimator in ESTIMATORS.items():
        inverse, low, high = estimator(shared)
        alpha, least, most = tail_index.alpha_of(np.array([inverse, high, low])).tolist()
        rows.append((name, alpha, least, most))
    return rows
