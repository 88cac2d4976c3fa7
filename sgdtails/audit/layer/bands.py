"""The profile of a layer beside those of layers without a heavy tail: Gaussian ones, and the layer with its entries shuffled."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.tail_index import layer_tails, mmo, signed_means
from sgdtails.tail_index.permutations import permuted

SERIES = (("", "mmo_multivariate", "gaussian"), ("", "mmo_multivariate", "shuffled"), ("entries_", "mmo_univariate", "gaussian"))  # fmt: skip
Band = tuple[list[int], NDArray[np.float64]]  # block lengths, and alpha of each draw at each of them


class GaussianBands:
    """Profiles of Gaussian layers, drawn once for all layers of one size.

    Layers share them, so an audit of a hundred layers of a few shapes takes no longer for its nulls than one of a few layers.

    Parameters
    ----------
    replicates : int
        Number of Gaussian layers of each size.
    seed : int
        Their seed; a size has the same layers in every audit.

    Examples
    --------
    >>> lengths, alpha = GaussianBands(3, seed=0).of(100, 4)
    >>> lengths, alpha.shape
    ([2, 5, 10, 20, 50], (3, 5))
    """

    def __init__(self, replicates: int, seed: int) -> None:
        self._replicates, self._seed = replicates, seed
        self._known: dict[tuple[int, int], Band] = {}
        self._locks: dict[tuple[int, int], threading.Lock] = {}
        self._guard = threading.Lock()

    def of(self, observations: int, dimension: int) -> Band:
        """Give block lengths, and alpha (replicates, block lengths) of Gaussian layers of that size.

        Parameters
        ----------
        observations, dimension : int
            N and d; 1 for single entries.

        Returns
        -------
        tuple
            Block lengths, ascending, and tail indices.
        """
        size = (observations, dimension)
        with self._guard:
            lock = self._locks.setdefault(size, threading.Lock())
        with lock:  # a second thread waits for what the first one draws
            if size not in self._known:
                rng = np.random.default_rng([self._seed, *size])
                shape = size if dimension > 1 else (observations,)
                draws = (rng.standard_normal(shape, np.float32) for _ in range(self._replicates))
                self._known[size] = _profiles(draws, rng)
            return self._known[size]


def profiles(
    rows: NDArray[np.float32],
    entries: NDArray[np.float32],
    gaussian: GaussianBands,
    replicates: int,
    seed: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Yield the profile of a layer's rows and entries, and as least, median and largest of the replicates those of nulls.

    Parameters
    ----------
    rows : numpy.ndarray
        Observations (N, d).
    entries : numpy.ndarray
        Entries (n,).
    gaussian : GaussianBands
        The Gaussian null.
    replicates : int
        How many times the entries of rows are put into random order, for the shuffled null.
    seed : sequence of int
        Seed of the orders.

    Yields
    ------
    dict
        Rows of table ``audit_profiles``, less checkpoint and layer. A sample without a profile has none, nor has a null of which one
        draw has none.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((100, 4), np.float32)
    >>> found = profiles(rows, rows.ravel(), GaussianBands(2, seed=0), 2, [0])
    >>> sorted({(row["estimator"], row["series"]) for row in found})
    [('mmo_multivariate', 'gaussian'), ('mmo_multivariate', 'observed'), ('mmo_multivariate', 'shuffled'), ('mmo_univariate', 'gaussian'), ('mmo_univariate', 'observed')]
    """
    for number, (estimator, sample) in enumerate(zip(layer_tails.ESTIMATORS, (rows, entries), strict=True)):
        rng = np.random.default_rng([*seed, number])
        for series in ("observed", "gaussian", "shuffled"):
            if series == "shuffled" and sample.ndim == 1:
                continue  # entries in random order are the entries
            try:
                if series == "gaussian":
                    found = gaussian.of(len(sample), sample.shape[1] if sample.ndim > 1 else 1)
                elif series == "observed":
                    found = _profiles([sample], rng)
                else:
                    found = _profiles((permuted(rows.ravel(), rng).reshape(rows.shape) for _ in range(replicates)), rng)
            except ValueError:
                if series == "observed":
                    break
                continue
            for column, k1 in enumerate(found[0]):
                values = found[1][:, column]
                common = {"estimator": estimator, "series": series, "k1": k1, "alpha": float(np.median(values))}
                yield common | {"alpha_low": float(values.min()), "alpha_high": float(values.max())}


def _profiles(draws: Any, rng: np.random.Generator) -> Band:
    """Block lengths, and alpha of each draw at each of them, from means over signed orders as in table ``tails``."""
    found = []
    for draw in draws:
        sample = layers.centre(draw, np.float32)
        lengths = mmo.block_lengths(len(sample))
        found.append(mmo.alpha_of(signed_means.profile(sample, rng=rng, lengths=lengths)))
    return lengths, np.array(found)


def outside(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count the block lengths at which a profile lies below the band of a null, and say by how much.

    Parameters
    ----------
    rows : sequence of dict
        What ``profiles`` yields.

    Returns
    -------
    dict
        Columns of table ``audit``; None where there is no profile or no such band.

    Examples
    --------
    >>> common = {"estimator": "mmo_multivariate", "k1": 2}
    >>> band = common | {"series": "gaussian", "alpha": 2.0, "alpha_low": 1.9}
    >>> found = outside([common | {"series": "observed", "alpha": 1.5}, band])
    >>> found["below_gaussian"], found["gap_gaussian"], found["below_shuffled"]
    (1, 0.5, None)
    """
    at = {(row["estimator"], row["series"], row["k1"]): row for row in rows}
    result: dict[str, Any] = {}
    for prefix, estimator, series in SERIES:
        lengths = [k1 for (e, s, k1) in at if e == estimator and s == "observed"]
        pairs = [(at[estimator, "observed", k1]["alpha"], at[estimator, series, k1]) for k1 in lengths if (estimator, series, k1) in at]  # fmt: skip
        result[f"{prefix}below_{series}"] = sum(own < null["alpha_low"] for own, null in pairs) if pairs else None
        if not prefix:
            gap = float(np.median([null["alpha"] - own for own, null in pairs])) if pairs else None
            result[f"gap_{series}"] = gap
            result["block_lengths"] = len(lengths)
    return result
