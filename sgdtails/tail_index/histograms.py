"""The table of figure 2: how the weights of one representative layer per panel are distributed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.arrays import Row
from sgdtails.io import tables
from sgdtails.stable import sampling as stable


def representatives(runs: pa.Table, chosen: Sequence[str] = ()) -> list[Row]:
    """Choose one converged run per panel.

    It is the ``chosen`` one, or else the run whose tail index is the lower median, neither the calmest nor the most extreme.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    chosen : sequence of str
        Names of runs to prefer.

    Returns
    -------
    list of dict
        One row of ``runs`` per panel.

    Examples
    --------
    >>> common = {"dataset": "mnist", "model": "fcn4", "variant": "", "status": "converged", "converged": True}
    >>> rows = [common | {"run": name, "alpha": alpha} for name, alpha in (("a", 1.9), ("b", 1.5), ("c", 1.7))]
    >>> [row["run"] for row in representatives(pa.Table.from_pylist(rows))]
    ['c']
    """
    found = []
    for rows in tables.panels(tables.converged(runs)).values():
        ordered = sorted(rows, key=lambda row: row["alpha"])
        found.append(next((row for row in rows if row["run"] in chosen), ordered[(len(rows) - 1) // 2]))
    return found


def histogram_rows(
    runs: pa.Table,
    tails: pa.Table,
    averages: Mapping[str, str],
    *,
    bins: int,
    seed: int,
    chosen: Sequence[str] = (),
    layer: str | None = None,
) -> Iterator[Row]:
    """Make the rows of table ``histograms`` for one representative run per panel (``representatives``).

    The stable sample has the layer's published tail index and its mean of log|w|.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    tails : pyarrow.Table
        Table ``tails``.
    averages : mapping of str to str
        Files of averaged weights, by run.
    bins : int
        Bins of each histogram.
    seed : int
        Seed of the halves and of the stable sample.
    chosen : sequence of str
        Names of runs to prefer.
    layer : str, optional
        Name of the layer; the largest one in networks that have none of this name, or without it.

    Yields
    ------
    dict
        Columns of table ``histograms``.

    Raises
    ------
    InputError
        If a file of weights is missing or damaged.
    """
    published = {(row["run"], row["layer_name"]): row["alpha_published"] for row in tables.published(tails).to_pylist()}
    for run in representatives(runs, chosen):
        weights, _ = layers.read(averages[run["run"]])
        estimated = {name: weight for name, weight in weights.items() if (run["run"], name) in published}
        name = layer if layer in estimated else max(estimated, key=lambda name: estimated[name].size)
        weight = estimated[name]
        alpha = published[run["run"], name]
        values = layers.centre(layers.observations(weight, "univariate"))
        rng = np.random.default_rng(seed)
        simulated = stable.sample(alpha, len(values), scale=stable.scale_of(values, alpha), rng=rng)
        common = {"run": run["run"]} | tables.panel(run) | {"layer_name": name, "alpha": alpha}
        yield from (common | row for row in densities(values, simulated, bins=bins, rng=rng))


def densities(
    values: NDArray[np.floating], simulated: NDArray[np.floating], *, bins: int, rng: np.random.Generator
) -> Iterator[Row]:
    """Compute densities of two random halves of values, of all of them, and of a simulated sample, in common bins.

    Parameters
    ----------
    values : numpy.ndarray
        Values, (n,); the bins cover their range.
    simulated : numpy.ndarray
        A sample to compare with, (m,).
    bins : int
        Number of bins.
    rng : numpy.random.Generator
        Source of the halves.

    Yields
    ------
    dict
        Series, the ends of a bin, and the density there.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = list(densities(np.array([-1.0, 1.0, 0.5, 0.2]), np.zeros(4), bins=2, rng=rng))
    >>> [row["density"] for row in rows if row["series"] == "all"]
    [0.25, 0.75]
    """
    reach = float(np.abs(values).max())
    edges = np.linspace(-reach, reach, bins + 1)
    shuffled = rng.permutation(values)
    middle = len(values) // 2
    for series, sample in {
        "half_a": shuffled[:middle],
        "half_b": shuffled[middle:],
        "all": values,
        "stable": simulated,
    }.items():
        density = np.histogram(sample, edges)[0] / (len(sample) * np.diff(edges))
        for low, high, value in zip(edges[:-1].tolist(), edges[1:].tolist(), density.tolist(), strict=True):
            yield {"series": series, "low": low, "high": high, "density": value}
