"""K1 profiles of a layer beside those of layers that have no heavy tail: the bands a profile has to leave."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.io import tables
from sgdtails.tail_index import histograms, layer_tails, signed_means
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.block_estimates import Settings
from sgdtails.tail_index.permutations import permuted


def rows(
    runs: pa.Table,
    readings: pa.Table,
    files: Mapping[str, Mapping[str, str]],
    *,
    replicates: int,
    seed: int,
    settings: Settings = layer_tails.AS_PUBLISHED,
) -> Iterator[dict[str, Any]]:
    """Rows of table ``profiles`` for one representative run per panel (``histograms.representatives``).

    ``files`` gives, by run, the files of its ``average`` and ``initial`` weights.
    """
    words = {(row["run"], row["layer"]): row["reading"] for row in readings.to_pylist() if row["weights"] == "average"}
    for run in histograms.representatives(runs):
        average, initial = (layers.read(files[run["run"]][kind])[0] for kind in ("average", "initial"))
        for index, (name, weight) in enumerate(average.items()):
            common = {"run": run["run"]} | tables.panel(run) | {"layer": index, "layer_name": name}
            common["reading"] = words[run["run"], index]
            head = index == len(average) - 1
            found = bands(
                weight, initial[name], head=head, replicates=replicates, seed=[seed, index], settings=settings
            )
            yield from (common | row for row in found)


def bands(
    weight: NDArray,
    initial: NDArray | None,
    *,
    head: bool,
    replicates: int,
    seed: list[int],
    settings: Settings = layer_tails.AS_PUBLISHED,
) -> Iterator[dict[str, Any]]:
    """The profile of a layer and, as least, median and largest of ``replicates``, those of three nulls.

    gaussian: normal entries of the same shape; shuffled: the layer's entries in random order, which keeps their law and
    undoes what ties a row together; initial: the layer's own initial weights, in other permutations each time, unless None.
    A layer without a profile has no rows, nor has a null of which one draw has none (half its observations are zero).
    """
    for number, (estimator, purpose) in enumerate(layer_tails.ESTIMATORS.items()):
        rng = np.random.default_rng([*seed, number])
        series: dict[str, tuple[int, Callable[[], NDArray]]] = {
            "observed": (1, lambda: weight),
            "gaussian": (replicates, lambda rng=rng: rng.standard_normal(weight.shape, np.float32)),  # type: ignore[misc]
            "shuffled": (replicates, lambda rng=rng: permuted(weight.ravel(), rng).reshape(weight.shape)),  # type: ignore[misc]
        }
        if initial is not None:
            series["initial"] = (replicates, lambda: initial)
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
                yield {"estimator": estimator, "series": name, "k1": k1, "alpha": float(np.median(values))} | ends


def _profiles(
    draw: Callable[[], NDArray], purpose: Any, *, head: bool, times: int, rng: np.random.Generator, settings: Settings
) -> tuple[list[int], NDArray[np.float64]]:
    """K1s, and alpha of each draw at each of them: from means over signed orders, as in table ``tails``."""
    found = []
    for _ in range(times):
        sample = layers.centre(layers.observations(draw(), purpose, head=head), np.float32, settings.centring)
        lengths = list(settings.targets(len(sample)))
        inverse = signed_means.profile(sample, rng=rng, lengths=lengths, orders=settings.orders)
        found.append(tail_index.alpha_of(inverse))
    return lengths, np.array(found)
