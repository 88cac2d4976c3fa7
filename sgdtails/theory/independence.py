"""How far a trained network's weights are from independent, as Definition 1 has them in the limit of large width.

Distance correlation is 0 for independent vectors alone. Its square is estimated without bias (Szekely and Rizzo 2013), so
that networks of different widths can be compared: estimates of small samples are not larger than those of large ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers

Reals = NDArray[np.float64]
MEASURES = ("row_dispersion", "column_dispersion", "within_rows", "within_columns", "next_layer")
_FEWEST = 8  # observations: with fewer a permutation test has no power


@dataclass(frozen=True)
class Settings:
    """Hold how dependence is measured.

    Parameters
    ----------
    rows : int
        Most rows (or columns, or units) of a layer that are looked at; random ones of more.
    entries : int
        Most entries of a row in each of the two vectors whose dependence is measured.
    splits : int
        Most pairs of such vectors; their entries do not overlap.
    permutations : int
        Random permutations, or shuffles, behind each p-value.
    seed : int
        Seed of all that is random.
    centring : str
        What the entries of a column are less before norms of rows are taken: median, mean or none.
    """

    rows: int
    entries: int
    splits: int
    permutations: int
    seed: int
    centring: str = "median"


def distance_correlation(
    x: Reals, y: Reals, *, permutations: int, rng: np.random.Generator
) -> tuple[float, Reals] | None:
    """Estimate the squared distance correlation of paired vectors without bias, and under permutations of the pairs.

    Parameters
    ----------
    x, y : ndarray of shape (n, d) and (n, e)
        Pairs of vectors, n > 3.
    permutations : int
        Number of random permutations.
    rng : Generator
        Draws the permutations.

    Returns
    -------
    tuple of float and ndarray of shape (permutations,), or None
        The estimate, which is 0 on average for independent vectors and 1 at most, and its values for permuted pairs. None where
        one of the vectors is constant.

    References
    ----------
    Szekely, G. J., and Rizzo, M. L. (2013). The distance correlation t-test of independence in high dimension.
    Journal of Multivariate Analysis 117.

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> round(distance_correlation(x, 2 - 3 * x, permutations=1, rng=np.random.default_rng(0))[0], 9)
    1.0
    """
    a, b = _centred_distances(x), _centred_distances(y)
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    if not scale > 0:
        return None
    orders = (rng.permutation(len(a)) for _ in range(permutations))
    null = np.array([(a * b[np.ix_(order, order)]).sum() for order in orders])
    return float((a * b).sum()) / scale, null / scale


def _centred_distances(x: Reals) -> Reals:
    """Distances (n, n) less the means of their rows and columns, so that products have no bias."""
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(np.asarray(x, dtype=np.float64)))
    n = len(distances)
    sums = distances.sum(axis=0)
    centred = distances - (sums[:, None] + sums) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    found: Reals = centred
    return found


def per_layer(weights: Mapping[str, NDArray[Any]], settings: Settings) -> Iterator[dict[str, Any]]:
    """Measure the dependence between the weights of each layer, and between those of successive layers.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Layers in order, (out, in) or (out, in, *kernel).
    settings : Settings
        How dependence is measured.

    Yields
    ------
    dict
        Rows of table ``dependence`` less run and weights, one per layer and measure; the value is null where there is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> how = Settings(rows=64, entries=8, splits=2, permutations=9, seed=0)
    >>> rows = list(per_layer({"fc": rng.standard_normal((64, 32))}, how))
    >>> [row["measure"] for row in rows if row["value"] is None]
    ['next_layer']
    """
    names = list(weights)
    matrices = [np.asarray(layers.observations(weights[name], "singular_value"), dtype=np.float64) for name in names]
    for layer, (name, matrix) in enumerate(zip(names, matrices, strict=True)):
        rng = np.random.default_rng([settings.seed, layer])
        following = _outgoing(weights[names[layer + 1]], len(matrix)) if layer + 1 < len(names) else None
        found = (
            _dispersion(matrix, settings, rng),
            _dispersion(matrix.T, settings, rng),
            _within(matrix, settings, rng),
            _within(matrix.T, settings, rng),
            None if following is None else _between(matrix, following, settings, rng),
        )
        shapes = (matrix.shape, matrix.T.shape) * 2 + (matrix.shape,)
        for measure, one, (observations, dimension) in zip(MEASURES, found, shapes, strict=True):
            value, p = one or (None, None)
            yield {
                "layer": layer,
                "layer_name": name,
                "measure": measure,
                "value": value,
                "p": p,
                "observations": observations,
                "dimension": dimension,
            }


def _outgoing(weight: NDArray[Any], units: int) -> Reals | None:
    """Take what leads from each unit into a layer, (units, numbers); None if its inputs are not these units."""
    if weight.shape[1] != units:
        return None
    return np.asarray(weight, dtype=np.float64).swapaxes(0, 1).reshape(units, -1)


def _chosen(n: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return rng.permutation(n)[:most]


def _dispersion(matrix: Reals, settings: Settings, rng: np.random.Generator) -> tuple[float, float] | None:
    """Compute the variance of log row norms less that of shuffled entries, and the share of shuffles that reach it.

    Of rows of unequal scale it is the variance of their log scales, however long they are; a standard deviation is not.
    """
    if len(matrix) < _FEWEST:
        return None
    centred = np.array(layers.centre(matrix, how=settings.centring))
    sample = centred[_chosen(len(matrix), settings.rows, rng)]
    observed = _spread(sample)
    if observed is None:
        return None
    spreads = [_spread(rng.permutation(sample.ravel()).reshape(sample.shape)) for _ in range(settings.permutations)]
    shuffled = np.array([each for each in spreads if each is not None])  # a shuffle can bring zeros together in one row
    return (observed - float(shuffled.mean()), _p_value(shuffled, observed)) if len(shuffled) else None


def _spread(sample: Reals) -> float | None:
    squares = (sample**2).sum(axis=1)
    return float(np.log(squares).var() / 4) if (squares > 0).all() else None


def _within(matrix: Reals, settings: Settings, rng: np.random.Generator) -> tuple[float, float] | None:
    """Dependence of some entries of a row on others, over rows."""
    groups = _groups(matrix.shape[1], 2, settings, rng)
    return _dependence([(matrix[:, one], matrix[:, other]) for one, other in groups], settings, rng)


def _between(
    incoming: Reals, outgoing: Reals, settings: Settings, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Dependence of what leads into a unit and what leads out of it, over units."""
    ones, others = (_groups(each.shape[1], 1, settings, rng) for each in (incoming, outgoing))
    pairs = [(incoming[:, one], outgoing[:, other]) for (one,), (other,) in zip(ones, others, strict=False)]
    return _dependence(pairs, settings, rng)


def _groups(n: int, parts: int, settings: Settings, rng: np.random.Generator) -> list[list[NDArray[np.intp]]]:
    """Up to ``splits`` tuples of ``parts`` disjoint sets of the numbers below n, each of at most ``entries``."""
    size = min(settings.entries, n // parts)
    count = min(settings.splits, n // (parts * size)) if size else 0
    order = rng.permutation(n)[: count * parts * size]
    return [list(group) for group in order.reshape(count, parts, size)] if count else []


def _dependence(
    pairs: list[tuple[Reals, Reals]], settings: Settings, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Mean squared distance correlation of pairs of samples, and the share of permutations that reach it.

    The pairs have no entry in common: if all entries are independent, so are the pairs, and each may be permuted by itself.
    """
    if not pairs or len(pairs[0][0]) < _FEWEST:
        return None
    rows = _chosen(len(pairs[0][0]), settings.rows, rng)
    each = [distance_correlation(x[rows], y[rows], permutations=settings.permutations, rng=rng) for x, y in pairs]
    known = [found for found in each if found is not None]
    if not known:
        return None
    observed, null = np.mean([found[0] for found in known]), np.mean([found[1] for found in known], axis=0)
    return float(observed), _p_value(null, float(observed))


def _p_value(null: Reals, observed: float) -> float:
    return float((1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + len(null)))
