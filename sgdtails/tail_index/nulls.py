"""K1 profiles of a layer beside those of layers without a heavy tail: the bands that a heavy tail has to leave."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from sgdtails import layers
from sgdtails.arrays import AnyArray, Floats, Row
from sgdtails.io import tables
from sgdtails.tail_index import histograms, layer_tails, signed_means
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.block_estimates import Settings
from sgdtails.tail_index.permutations import permuted


def profile_rows(
    runs: pa.Table,
    readings: pa.Table,
    files: Mapping[str, Mapping[str, str]],
    *,
    replicates: int,
    seed: int,
    settings: Settings = layer_tails.AS_PUBLISHED,
    threads: int = 1,
) -> Iterator[Row]:
    """Make the rows of table ``profiles`` for one representative run per panel (``histograms.representatives``).

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    readings : pyarrow.Table
        Table ``readings``.
    files : mapping of str to mapping
        By run, the paths of its ``average`` and ``initial`` weights.
    replicates : int
        Draws of each null.
    seed : int
        Seed of all draws.
    settings : Settings
        How tail indices are estimated.
    threads : int
        Layers and estimators that are worked on at once; the rows do not depend on it.

    Yields
    ------
    dict
        Columns of table ``profiles``.

    Raises
    ------
    InputError
        If a file of weights is missing or damaged.
    """
    classes = {
        (row["run"], row["layer"]): row["reading"] for row in readings.to_pylist() if row["weights"] == "average"
    }
    with ThreadPoolExecutor(threads) as pool:
        for run in histograms.representatives(runs):
            average, initial = (layers.read(files[run["run"]][kind])[0] for kind in ("average", "initial"))
            parts: list[tuple[Row, Callable[[], list[Row]]]] = []
            for index, (name, weight) in enumerate(average.items()):
                common = {"run": run["run"]} | tables.panel(run) | {"layer": index, "layer_name": name}
                common["reading"] = classes[run["run"], index]
                of_layer = partial(_bands_of, weight, initial[name], head=index == len(average) - 1)
                for number, estimator in enumerate(layer_tails.ESTIMATORS):
                    rng = np.random.default_rng([seed, index, number])
                    how = {"estimator": estimator, "rng": rng, "replicates": replicates, "settings": settings}
                    parts.append((common, partial(of_layer, **how)))
            for (common, _), rows in zip(parts, pool.map(lambda part: part[1](), parts), strict=True):
                yield from (common | row for row in rows)


def bands(
    weight: AnyArray,
    initial: AnyArray | None,
    *,
    head: bool,
    replicates: int,
    seed: list[int],
    settings: Settings = layer_tails.AS_PUBLISHED,
) -> Iterator[Row]:
    """Compute the profile of a layer, and the bands of those of three nulls.

    ``gaussian`` has normal entries of the same shape. ``shuffled`` has the layer's entries in random order, which keeps their law and
    undoes what ties a row together. ``initial`` has the layer's own initial weights, in other permutations each time. A layer
    without a profile has no rows; nor has a null if one draw of it has no profile (half its observations are zero).

    Parameters
    ----------
    weight : numpy.ndarray
        A layer, (out, in) or (out, in, *kernel).
    initial : numpy.ndarray or None
        Its initial weights; None for no such null.
    head : bool
        True for the last layer, whose observations are its columns.
    replicates : int
        Draws of each null.
    seed : list of int
        Seed of all draws.
    settings : Settings
        How tail indices are estimated.

    Yields
    ------
    dict
        Estimator, series, K1, and the median of alpha over the draws with the least and the largest as its ends.

    Examples
    --------
    >>> layer = np.random.default_rng(0).standard_normal((64, 16))
    >>> rows = list(bands(layer, None, head=False, replicates=3, seed=[0]))
    >>> sorted({row["series"] for row in rows})
    ['gaussian', 'observed', 'shuffled']
    """
    for number, estimator in enumerate(layer_tails.ESTIMATORS):
        rng = np.random.default_rng([*seed, number])
        yield from _bands_of(
            weight, initial, estimator=estimator, head=head, replicates=replicates, rng=rng, settings=settings
        )


def _bands_of(
    weight: AnyArray,
    initial: AnyArray | None,
    *,
    estimator: str,
    head: bool,
    replicates: int,
    rng: np.random.Generator,
    settings: Settings,
) -> list[Row]:
    """Return the rows of ``bands`` of one estimator."""
    purpose = layer_tails.ESTIMATORS[estimator]
    series: dict[str, tuple[int, Callable[[], AnyArray]]] = {
        "observed": (1, lambda: weight),
        "gaussian": (replicates, lambda: rng.standard_normal(weight.shape, np.float32)),
        "shuffled": (replicates, lambda: permuted(weight.ravel(), rng).reshape(weight.shape)),
    }
    if initial is not None:
        series["initial"] = (replicates, lambda: initial)
    rows: list[Row] = []
    for name, (times, draw) in series.items():
        try:
            lengths, alpha = _profiles(draw, purpose, head=head, times=times, rng=rng, settings=settings)
        except ValueError:
            if name == "observed":
                break
            continue
        for column, k1 in enumerate(lengths):
            values = alpha[:, column]
            ends = {"alpha_low": float(values.min()), "alpha_high": float(values.max())}
            rows.append({"estimator": estimator, "series": name, "k1": k1, "alpha": float(np.median(values))} | ends)
    return rows


def _profiles(
    draw: Callable[[], AnyArray], purpose: Any, *, head: bool, times: int, rng: np.random.Generator, settings: Settings
) -> tuple[list[int], Floats]:
    """Return the K1s, and alpha of each draw at each of them: from means over signed orders, as in table ``tails``."""
    found = []
    for _ in range(times):
        sample = layers.centre(layers.observations(draw(), purpose, head=head), np.float32, settings.centring)
        lengths = list(settings.targets(len(sample)))
        inverse = signed_means.profile(sample, rng=rng, lengths=lengths, orders=settings.orders)
        found.append(tail_index.alpha_of(inverse))
    return lengths, np.array(found)
