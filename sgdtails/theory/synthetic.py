"""Stable samples whose compressibility is known or simulated: the tables of figures 8 and 12."""

from collections.abc import Iterator, Sequence

import numpy as np

from sgdtails import layers
from sgdtails.arrays import Row
from sgdtails.pruning import compression
from sgdtails.stable import sampling as stable


def synthetic_rows(
    *, draws: int, size: int, alpha: Sequence[float], p: float, epsilon: float, seed: int
) -> Iterator[Row]:
    """Make the rows of table ``synthetic``: kappa of square matrices with SaS entries, columns or layers (paper, A.6.1).

    Each draw takes its tail index from U(alpha[0], alpha[1]); generators are seeded by (seed, draw).

    Parameters
    ----------
    draws : int
        Matrices of each structure.
    size : int
        Rows and columns.
    alpha : sequence of float
        The smallest and the largest tail index.
    p : float
        Norm of the relative error.
    epsilon : float
        Relative error.
    seed : int
        Seed of all draws.

    Yields
    ------
    dict
        Columns of table ``synthetic``.

    Examples
    --------
    >>> [row["structure"] for row in synthetic_rows(draws=1, size=10, alpha=[1.75, 2], p=2.0, epsilon=0.1, seed=0)]
    ['independent', 'columns', 'layer']
    """
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        index = float(rng.uniform(alpha[0], alpha[1]))
        for structure, matrix in (
            ("independent", stable.sample(index, (size, size), rng=rng)),
            ("columns", stable.elliptical(index, size, size, rng=rng)),
            ("layer", stable.elliptical(index, 1, size * size, rng=rng)),
        ):
            errors = compression.relative_errors(layers.centre(matrix.reshape(-1)), p)
            kappa = compression.kappa(errors, epsilon)
            yield {
                "draw": draw,
                "structure": structure,
                "alpha": index,
                "p": p,
                "epsilon": epsilon,
                "kappa": kappa,
            }


def magnitude_rows(*, alpha: float, draws: int, bins: int, seed: int) -> Iterator[Row]:
    """Make the rows of table ``magnitudes``: the histogram of |x| for SaS(1) draws, and each bin's share of the squared norm.

    Parameters
    ----------
    alpha : float
        Tail index.
    draws : int
        Number of draws.
    bins : int
        Bins of the histogram.
    seed : int
        Seed of the draws.

    Yields
    ------
    dict
        Columns of table ``magnitudes``.

    Examples
    --------
    >>> rows = list(magnitude_rows(alpha=1.8, draws=100, bins=5, seed=0))
    >>> sum(row["count"] for row in rows), round(sum(row["share"] for row in rows), 6)
    (100, 1.0)
    """
    sizes = np.abs(stable.sample(alpha, draws, rng=np.random.default_rng(seed)))
    edges = np.linspace(0, sizes.max(), bins + 1)
    count = np.histogram(sizes, edges)[0]
    share = np.histogram(sizes, edges, weights=sizes**2)[0] / (sizes**2).sum()
    for values in zip(edges[:-1].tolist(), edges[1:].tolist(), count.tolist(), share.tolist(), strict=True):
        yield {"alpha": alpha} | dict(zip(("low", "high", "count", "share"), values, strict=True))
