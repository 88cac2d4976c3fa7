"""Figure 2's table: how the weights of one representative layer per panel are distributed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.io import tables
from sgdtails.stable import sampling as stable


def representatives(runs: pa.Table, chosen: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One converged run per panel: the ``chosen`` one, else that whose tail index is the lower median, neither calm nor extreme."""
    found = []
    for rows in tables.panels(tables.converged(runs)).values():
        ordered = sorted(rows, key=lambda row: row["alpha"])
        found.append(next((row for row in rows if row["run"] in chosen), ordered[(len(rows) - 1) // 2]))
    return found


def rows(
    runs: pa.Table,
    tails: pa.Table,
    averages: Mapping[str, str],
    *,
    bins: int,
    seed: int,
    chosen: Sequence[str] = (),
    layer: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of table ``histograms``; ``averages`` gives the file of averaged weights of each run.

    The runs are ``representatives``; the layer is the one of that name in networks that have it, else the largest.
    The stable sample has the layer's published tail index and its mean of log|w|.
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
) -> Iterator[dict[str, Any]]:
    """Densities of two random halves of ``values``, of all of them and of ``simulated``, in common bins over the range of ``values``."""
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
