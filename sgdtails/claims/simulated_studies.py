"""Whole studies in which a claim is not true, or true by exactly its margin, judged by the code that judges real ones.

Each kind of claim has one or more. Tables of runs, tails and whatever else the claim is about are made at random, and
``decisions.claim_rows`` reads them. Where nothing is true every decision is wrong.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from sgdtails.claims import decisions
from sgdtails.claims.curves import gaussian_pruned
from sgdtails.claims.evidence import Settings
from sgdtails.claims.relations import simulated
from sgdtails.claims.simulated_panels import (
    ACCURACY,
    ALPHA,
    ENTRIES,
    LAYERS,
    MARGIN,
    RATIO,
    TABLES,
    Null,
    Panel,
    claim,
    independent,
    networks,
)
from sgdtails.claims.study import Study
from sgdtails.claims.verdicts import DESIGNS, holds, shares
from sgdtails.schemas.study_schemas import SCHEMAS

_MATRICES = 100  # behind the curves of figure 8
_WEIGHTS = 4000  # in each histogram
_SEEDS = 6
_SHARING = 20  # studies with the same permutations: of all of them one set's own error would be seen


def _confounded(panel: Panel) -> None:
    """Make tail index and accuracy follow eta/b, and nothing else of each other."""
    ratio = np.log10([run["eta_over_b"] for run in panel.runs])[:, None] + 2
    panel.tails(1.8 - 0.05 * ratio + 0.03 * panel.noise(1) + 0.01 * panel.noise(LAYERS))
    panel.accuracies(0.9 + 0.01 * ratio + 0.006 * panel.noise(1))


def _layers(panel: Panel) -> None:
    panel.tails(networks(panel))
    panel.pruned(0.3 + 0.02 * np.arange(LAYERS) + 0.02 * panel.noise(1) + 0.01 * panel.noise(LAYERS))


def _estimators(shift: float) -> Callable[[Panel], None]:
    """Make two estimators of the same networks, unclipped, that differ by ``shift`` on average, and by chance."""

    def make(panel: Panel) -> None:
        alphas = networks(panel, 1.8)
        panel.tails(alphas, "mmo_univariate")
        panel.tails(alphas - shift + 0.04 * panel.noise(1) + 0.02 * panel.noise(LAYERS))

    return make


def _untrained(panel: Panel) -> None:
    """Make networks of one seed whose law is that of the initial one: all are compared with one estimate of it."""
    errors = np.linspace(0.005, 0.05, LAYERS)
    initial = 1.9 + errors * panel.rng.standard_normal(LAYERS)
    panel.tails(np.tile(initial, (len(panel.runs), 1)), errors=errors, weights="initial")
    panel.tails(1.9 + errors * panel.noise(LAYERS), errors=errors)


def _distances(slope: float, scatter: float, structure: str) -> Callable[[Panel], None]:
    """Make layers that lie around the middle between the curves of independent entries and of another structure."""

    def make(panel: Panel) -> None:
        draw, end, (independent, spread) = panel.rng, gaussian_pruned(**ENTRIES), (0.7, 0.1)
        below = 2 - draw.uniform(1.75, 2, _MATRICES)
        for name, steep, wide in (("independent", independent, spread), (structure, slope, scatter)):
            values = end + below * (steep + wide * draw.standard_t(3, _MATRICES))
            for number, (index, value) in enumerate(zip((2 - below).tolist(), values.tolist(), strict=True)):
                row = {"draw": number, "structure": name, "alpha": index, "kappa": 1 - value}
                panel.rows["synthetic"].append(row | ENTRIES)
        _beside_the_curves(panel, (independent + slope) / 2)

    return make


def _beside_the_curves(panel: Panel, slope: float) -> None:
    alphas = panel.rng.uniform(1.8, 2.05, (len(panel.runs), LAYERS))
    middle = gaussian_pruned(**ENTRIES) + slope * np.maximum(2 - alphas, 0)
    panel.tails(alphas)
    panel.pruned(middle + 0.004 * panel.noise(1) + 0.008 * panel.noise(LAYERS))


def _batch_sizes(shift: float) -> Callable[[Panel], None]:
    """Make networks of every eta/b at two batch sizes, which networks differ by ``shift`` on average."""

    def make(panel: Panel) -> None:
        larger = np.array([[run["batch_size"] > 50] for run in panel.runs])
        panel.tails(networks(panel, 1.8) + shift * larger)

    return make


def _initial(seeds: int) -> Callable[[Panel], None]:
    """Make initial networks of ``seeds`` seeds whose mean index is 2 less the margin."""

    def make(panel: Panel) -> None:
        errors = np.linspace(0.005, 0.05, LAYERS)
        estimates = 2 - MARGIN + errors * panel.rng.standard_normal((seeds, LAYERS))
        for number, run in enumerate(panel.runs):
            run["seed"] = number % seeds
        panel.tails(estimates[[run["seed"] for run in panel.runs]], errors=errors, weights="initial")

    return make


def _sweep(panel: Panel) -> None:
    """Networks known with errors of their own, whose index falls over the sweep by twice the standard error of a difference."""
    x = np.log10([run["eta_over_b"] for run in panel.runs])[:, None]
    errors = np.linspace(0.005, 0.05, LAYERS)
    change = -2 * math.sqrt(2) * math.hypot(*errors) / LAYERS
    panel.tails(1.8 + change * (x - x.min()) / np.ptp(x) + errors * panel.noise(LAYERS), errors=errors)


def _widths(slope: float) -> Callable[[Panel], None]:
    """Make networks of six widths whose index changes by ``slope`` per doubling; those of one seed share something.

    Where the number of runs is no multiple of six, the widest have fewer seeds than the others, as in a study of width.
    """

    def make(panel: Panel) -> None:
        seeds = -(-len(panel.runs) // 6)
        for number, run in enumerate(panel.runs):
            run.update(
                kind="fcn", depth=4, width=64 << number // seeds, seed=number % seeds, step_size=0.1, batch_size=50
            )
        shared = panel.rng.standard_normal(seeds)
        of_seed = np.array([[shared[run["seed"]]] for run in panel.runs])
        doublings = np.log2([[run["width"] / 64] for run in panel.runs])
        panel.tails(networks(panel, 1.8) + 0.02 * of_seed + slope * doublings)

    return make


def _histograms(shift: float) -> Callable[[Panel], None]:
    """Weights uniform over [0, 1) in 20 bins, and the same but for ``shift`` of them, which went from the lower half to the upper."""

    def make(panel: Panel) -> None:
        panel.tails(networks(panel)[:1, :1], "mmo_univariate", observations=_WEIGHTS)
        moved = np.repeat([1 - 2 * shift, 1 + 2 * shift], 10) / 20
        for series, law in (("all", np.full(20, 1 / 20)), ("stable", moved)):
            counts = panel.rng.multinomial(_WEIGHTS, law)
            known = {"run": panel.runs[0]["run"], "layer_name": "fc0", "series": series}
            for number, count in enumerate(counts.tolist()):
                row = {"low": number / 20, "high": (number + 1) / 20, "density": 20 * count / _WEIGHTS}
                panel.rows["histograms"].append(known | row)

    return make


def _distance(structure: str) -> dict[str, Any]:
    first, second = ({"of": "distance", "structure": name, "bins": 10} for name in (structure, "independent"))
    return claim("paired_difference", first=first, second=second)


_VALUE = {"of": "alpha", "value": "alpha"}
_PAIR: dict[str, Any] = {"first": _VALUE | {"estimator": "mmo_univariate"}, "second": _VALUE}
_SERIES: dict[str, Any] = {"first": "all", "second": "stable"}
NULLS: dict[str, Null] = {
    "rank_correlation": Null(claim("rank_correlation", x=RATIO, y=ALPHA), independent),
    "rank_correlation, control": Null(claim("rank_correlation", x=ALPHA, y=ACCURACY, control=RATIO), _confounded),
    "layer_correlation": Null(claim("layer_correlation", **ENTRIES), _layers),
    "paired_difference": Null(claim("paired_difference", **_PAIR), _estimators(0)),
    "paired_difference, margin": Null(claim("paired_difference", "within", **_PAIR), _estimators(MARGIN), MARGIN),
    "paired_difference, one initial network": Null(
        claim("paired_difference", first=_VALUE, second=_VALUE | {"weights": "initial"}), _untrained
    ),
    "paired_difference of distances, columns": Null(_distance("columns"), _distances(0.35, 0.2, "columns")),
    "paired_difference of distances, layer": Null(_distance("layer"), _distances(0.0, 0.005, "layer")),
    "matched_difference": Null(claim("matched_difference", y=ALPHA), _batch_sizes(0)),
    "matched_difference, margin": Null(claim("matched_difference", "within", y=ALPHA), _batch_sizes(MARGIN), MARGIN),
    "initial_index, one seed": Null(claim("initial_index", "within", value="alpha"), _initial(1), -MARGIN),
    "initial_index, seeds": Null(claim("initial_index", "within", value="alpha"), _initial(_SEEDS), -MARGIN),
    "sweep_change": Null(claim("sweep_change", "below", margin=-2.0), _sweep, -2.0),
    "histogram_distance": Null(claim("histogram_distance", **_SERIES), _histograms(0)),
    "histogram_distance, margin": Null(claim("histogram_distance", "within", **_SERIES), _histograms(MARGIN), MARGIN),
    "trend": Null(claim("trend", x="width", y=ALPHA), _widths(0)),
    "trend, margin": Null(claim("trend", "within", x="width", y=_VALUE, margin=0.01), _widths(0.01), 0.01),
    **simulated.NULLS,
}


def simulate(
    *, studies: int, permutations: int, bootstrap: int, level: float, seed: int, nulls: Mapping[str, Null] = NULLS
) -> Iterator[dict[str, Any]]:
    """Judge studies of which nothing is true: rows of table ``verdicts``, how often what is said of them.

    Studies have the panels of DESIGNS; twenty share their permutations and resamples, one set per number of points.
    """
    found: dict[tuple[str, str], list[list[dict[str, Any]]]] = {(name, at): [] for name in nulls for at in DESIGNS}
    for block, first in enumerate(range(0, studies, _SHARING)):
        settings = Settings(permutations=permutations, bootstrap=bootstrap, level=level, fewest=5, seed=seed + block)
        for name, design in found:
            for index in range(first, min(first + _SHARING, studies)):
                rng = np.random.default_rng([seed, list(NULLS).index(name), list(DESIGNS).index(design), index, 1])
                made = study(nulls[name], DESIGNS[design], rng)
                found[name, design].append(list(decisions.claim_rows({name: nulls[name].claim}, made, settings)))
    for (name, design), rows in found.items():
        yield from _shares(name, design, nulls[name], rows)


def _shares(name: str, design: str, null: Null, found: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    said = np.array([[row["verdict"] for row in rows] for rows in found])
    ends = np.array([[[row["effect_low"], row["effect_high"]] for row in rows] for rows in found], dtype=float)
    covers = holds(ends[..., 0], ends[..., 1], null.effect)
    known = {
        "rule": f"study: {name}",
        "design": design,
        "truth": null.truth,
        "true_effect": null.effect,
        "studies": len(found),
    }
    yield from (known | row for row in shares(said, covers, right="undecided", panels=DESIGNS[design]))


def study(null: Null, sizes: tuple[int, ...], rng: np.random.Generator) -> Study:
    """Make a study with panels of these numbers of runs, half of them at each of two batch sizes."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for number, size in enumerate(sizes):
        panel = Panel(_runs(number, size), rng)
        null.make(panel)
        for name, more in panel.rows.items():
            rows[name] += more if name != "synthetic" or not number else []  # one set of matrices for all panels
        rows["runs"] += panel.runs
    found = {name: pa.Table.from_pylist(part, schema=SCHEMAS[name]) for name, part in rows.items()}
    return Study(**found)


def _runs(panel: int, size: int) -> list[dict[str, Any]]:
    ratios = np.repeat(np.geomspace(1e-3, 1e-1, (size + 1) // 2), 2)[:size]
    return [
        {
            "run": f"p{panel}-{number}",
            "dataset": f"simulated{panel}",
            "model": f"panel{panel}",
            "variant": "",
            "seed": 0,
        }
        | {"batch_size": (50, 100)[number % 2], "eta_over_b": float(ratio), "status": "converged", "test_accuracy": 0.9}
        for number, ratio in enumerate(ratios)
    ]
