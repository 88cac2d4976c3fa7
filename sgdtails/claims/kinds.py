"""The kinds of tests that a claim can name: each measures one panel of a study."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims import quantities, standard_errors, statistics, trends
from sgdtails.claims.evidence import Evidence, Sample, Settings, sample_of
from sgdtails.claims.relations import kendall
from sgdtails.claims.relations import two_lines as lines
from sgdtails.claims.study import Run, Study, bin_counts
from sgdtails.tail_index.mmo import CLIP

Reals = NDArray[np.float64]
# With fewer runs perfect rank agreement is no evidence against rho = 0.8: it occurs by chance in 14% of samples of 5, 0.8% of 8.
_AGREEING = 8


def rank_correlation(
    claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings
) -> Evidence | None:
    """Measure Spearman's rho of two quantities over runs, or their partial rank correlation given ``control``.

    With ``statistic: kendall`` it is Kendall's tau; with ``granulated_kendall`` that of runs that differ in one setting alone.
    """
    wanted = [claim["x"], claim["y"], *([claim["control"]] if "control" in claim else [])]
    sample = sample_of(study, runs, *wanted, finite=False)
    if sample is None:
        return None
    names = [quantities.words(study, quantity) for quantity in wanted]
    if (statistic := claim.get("statistic", "spearman")) != "spearman":
        return _agreement(sample, statistic, names, settings)
    found = sample.evidence("partial_spearman_rho" if len(wanted) == 3 else "spearman_rho", settings, variables=names)
    if found.why_not:
        return found
    x, y, *control = sample.values
    _correlate(found, x, y, settings, *control)
    if math.isnan(found.effect):
        found.why_not = f"There is nothing to compare: {names[-1]} fixes the order of the runs."
    if claim["x"]["of"] == "eta_over_b" and not control and np.isfinite(y).all():
        found.slope = float(trends.theil_sen(x, y)[0])
    return found


def _correlate(found: Evidence, x: Reals, y: Reals, settings: Settings, control: Reals | None = None) -> None:
    """Fill in the rank correlation of x and y (..., n)."""
    draws = settings.draws(found.n)
    found.effect, null = statistics.rank_correlation(x, y, draws.orders, control)
    if math.isnan(found.effect):
        return
    _bounded(found, null, statistics.resampled_rank_correlation(x, y, draws.counts, control), settings)


def _bounded(found: Evidence, null: Reals, resampled: Reals, settings: Settings) -> None:
    """Fill in the interval and the p-value of a rank correlation, from its permutations and resamples."""
    found.bound(lambda level: statistics.percentile_interval(resampled, found.n, level))
    found.p = statistics.p_value(null, found.effect, exact=settings.draws(found.n).exact_orders)
    found.smallest_p = statistics.smallest_p(found.n)
    if found.low == found.high and found.n < _AGREEING:
        found.why_not = f"All {found.n} points agree, as so few can by chance: the interval is a point."


def _agreement(sample: Sample, statistic: str, names: Sequence[str], settings: Settings) -> Evidence:
    """Measure Kendall's tau over the runs of a sample, or, granulated, over those that differ from another in one setting alone."""
    alike: kendall.Groups = {}
    if statistic == "granulated_kendall":
        groups = kendall.groups(sample.runs)
        compared = sorted({int(place) for found in groups.values() for group in found for place in group})
        if alone := len(sample.runs) - len(compared):
            sample.excluded["that differ from no other run in one setting alone"] += alone
        sample.runs, sample.values = [sample.runs[place] for place in compared], sample.values[:, compared]
        alike = kendall.groups(sample.runs)
    found = sample.evidence(f"{statistic}_tau", settings, variables=names)
    if found.why_not:
        return found
    draws, (x, y) = settings.draws(found.n), sample.values
    if statistic == "granulated_kendall":
        found.effect, null = kendall.granulated(x, y, draws.orders, alike)
        resampled = kendall.resampled_granulated(x, y, draws.counts, alike)
        found.remark = f"Settings that change: {', '.join(alike).replace('_', ' ')}."
    else:
        found.effect, null = kendall.tau(x, y, draws.orders)
        resampled = kendall.resampled_tau(x, y, draws.counts)
    _bounded(found, null, resampled, settings)
    return found


def layer_correlation(
    claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings
) -> Evidence | None:
    """Measure Spearman's rho of layers' alpha and prunability at fixed error over runs, the mean over positions in the network.

    The layers of one run are permuted and resampled together: runs are exchangeable, layers are not.
    """
    study = quantities.valued(study, claim)
    pruned = study.pruned.get((claim["p"], claim["epsilon"]), {})
    sample = sample_of(study, runs, {"of": "alpha"}, finite=False)
    if sample is None or not pruned:
        return None
    indices = [
        {layer: study.index.of_layer(row) for layer, row in study.layers(run["run"]).items()} for run in sample.runs
    ]
    kept = [number for number, run in enumerate(sample.runs) if run["run"] in pruned]
    without = len(sample.runs) - len(kept)
    if without:
        sample.excluded["without a compression"] += without
    sample.runs, indices = [sample.runs[number] for number in kept], [indices[number] for number in kept]
    found = sample.evidence("mean_spearman_rho", settings)
    if found.why_not:
        return found
    layers = [layer for layer in quantities.hidden(indices[0]) if all(row[layer] is not None for row in indices)]
    if not layers:
        found.why_not = "No layer but the head has a tail index in every run."
        return found
    x = np.array([[row[layer] for row in indices] for layer in layers])
    y = np.array([[pruned[run["run"]][layer] for run in sample.runs] for layer in layers])
    varied = (x != x[:, :1]).any(axis=1) & (y != y[:, :1]).any(axis=1)
    if not varied.any():
        found.why_not = "There is nothing to compare: no layer's alpha and prunability both change."
        return found
    _correlate(found, x[varied], y[varied], settings)
    return found


def paired_difference(
    claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings
) -> Evidence | None:
    """Measure the mean over runs of one quantity less another of the same run.

    Errors that runs share, of the curves behind distances and of one initial network, are drawn beside the resamples of runs.
    """
    sample = sample_of(study, runs, claim["first"], claim["second"], finite=True)
    if sample is None:
        return None
    found = sample.evidence("mean_difference", settings)
    if found.why_not:
        return found
    first, second = (
        standard_errors.shared_shifts(study, sample.runs, claim[part], bootstrap=settings.bootstrap, seed=settings.seed)
        for part in ("first", "second")
    )
    return _differ(found, sample.values[0] - sample.values[1], settings, shifts=first - second)


def matched_difference(
    claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings
) -> Evidence | None:
    """Measure the mean over values of eta/b of a quantity at the largest batch size less that at the smallest one."""
    sample = sample_of(study, runs, claim["y"], finite=True)
    if sample is None:
        return None
    groups: dict[str, dict[int, list[float]]] = {}
    for run, value in zip(sample.runs, sample.values[0], strict=True):
        groups.setdefault(f"{run['eta_over_b']:.9g}", {}).setdefault(run["batch_size"], []).append(float(value))
    matched = {ratio: sizes for ratio, sizes in groups.items() if len(sizes) > 1}
    alone = sum(f"{run['eta_over_b']:.9g}" not in matched for run in sample.runs)
    if alone:
        sample.excluded["with no other batch size at its eta/b"] += alone
    found = Evidence("mean_difference", n=len(matched), excluded=sample.excluded)
    found.seeds = len({run["seed"] for run in sample.runs if f"{run['eta_over_b']:.9g}" in matched})
    if found.n < settings.fewest:
        found.why_not = f"Only {found.n} values of eta/b have two batch sizes; at least {settings.fewest} are needed."
        return found
    differences = [np.mean(sizes[max(sizes)]) - np.mean(sizes[min(sizes)]) for sizes in matched.values()]
    return _differ(found, np.array(differences), settings)


def _differ(found: Evidence, differences: Reals, settings: Settings, shifts: Reals | None = None) -> Evidence:
    """Fill in the mean of differences (n,); ``shifts`` (bootstrap,): errors that all of them share."""
    draws = settings.draws(found.n)
    found.effect, null = statistics.mean_difference(differences, draws.signs)
    values, shared = differences @ draws.counts / found.n, 0.0
    found.p = statistics.p_value(null, found.effect, exact=draws.exact_signs)
    if shifts is not None and shifts.any():
        values, shared = values + shifts, float(shifts.std())
        rng = np.random.default_rng([settings.seed, found.n])
        null = np.resize(null, max(len(null), settings.permutations))
        moved = null + rng.choice(shifts, len(null))
        found.p = max(found.p, statistics.p_value(moved, found.effect, exact=False))
    found.bound(lambda level: statistics.mean_interval(differences, values, level, shared=shared))
    found.smallest_p = statistics.smallest_p(found.n, paired=True)
    return found


def two_lines(claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings) -> Evidence | None:
    """Measure the smaller of two slopes, before and beyond a turning point, each with the sign that ``shape`` gives it."""
    sample = sample_of(study, runs, claim["x"], claim["y"], finite=True)
    if sample is None:
        return None
    names = [quantities.words(study, claim[part]) for part in ("x", "y")]
    found = sample.evidence("smaller_slope", settings, variables=names)
    if found.why_not:
        return found
    fewest = max(settings.fewest, 3)
    both = lines.fit(*sample.values, shape=claim["shape"], fewest=fewest)
    if both is None:
        found.why_not = f"No turning point has {fewest} runs, of two values of {names[0]}, on either side of it."
        return found
    found.effect, found.p = both.effect, both.p
    found.bound(both.interval)
    first, second = lines.SHAPES[claim["shape"]]
    found.remark = f"The slope is {first * both.before.slope:.2g} up to {both.turn:.3g}, and {second * both.beyond.slope:.2g} beyond."
    return found


def initial_index(claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings) -> Evidence | None:
    """Measure the mean tail index of initial networks less 2: over seeds if there are enough, else with the estimator's own error.

    Runs of one seed start from the same weights.
    """
    study = quantities.valued(study, claim)
    first = {run["seed"]: run for run in reversed(runs)}
    measured = [(run, quantities.alpha(study, run, weights="initial")) for run in first.values()]
    networks = [(run, value) for run, value in measured if value is not None and math.isfinite(value)]
    values = np.array([value for _, value in networks]) - CLIP
    found = Evidence("mean_alpha_minus_2", n=len(values), seeds=len(values))
    if not len(values):
        return None
    if len(values) >= settings.fewest:
        return _differ(found, values, settings)
    found.effect = float(values.mean())
    errors = [standard_errors.standard_error(study, run, weights="initial") for run, _ in networks]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        found.why_not = f"Only {found.n} initial network{'s' * (found.n > 1)}, and no interval of the aggregated index."
        return found
    found.bound(lambda level: statistics.normal_interval(found.effect, math.hypot(*known) / len(known), level))
    return found


def sweep_change(claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings) -> Evidence | None:
    """Measure the change of alpha over the sweep of eta/b, by the Theil-Sen slope, in standard errors of a difference of two runs."""
    study = quantities.valued(study, claim)
    sample = sample_of(study, runs, {"of": "eta_over_b"}, {"of": "alpha"}, finite=True)
    if sample is None:
        return None
    found = sample.evidence("change_over_standard_error", settings, variables=("eta/b", "alpha"))
    if found.why_not:
        return found
    x, y = sample.values
    found.slope = float(trends.theil_sen(x, y)[0])
    errors = [error for run in sample.runs if (error := standard_errors.standard_error(study, run)) is not None]
    if 2 * len(errors) < found.n or not np.median(errors) > 0:
        found.why_not = "Table tails has no interval of the aggregated index for most runs."
        return found
    draws = settings.draws(found.n)
    scale = np.ptp(x) / (math.sqrt(2) * float(np.median(errors)))
    found.effect = found.slope * scale
    changes = trends.theil_sen(x, y, draws.counts) * scale
    found.bound(lambda level: statistics.percentile_interval(changes, found.n, level))
    rho, null = statistics.rank_correlation(x, y, draws.orders)
    found.p = statistics.p_value(null, rho, exact=draws.exact_orders)
    return found


def histogram_distance(
    claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings
) -> Evidence | None:
    """Measure the Kolmogorov distance of two series of a layer's histogram; p is that of a random partition of both together."""
    names = {run["run"] for run in runs}
    rows = [row for row in study.histograms.to_pylist() if row["run"] in names]
    if not rows:
        return None
    found, counts = Evidence("kolmogorov_distance"), bin_counts(study, rows)
    if not {claim["first"], claim["second"]} <= set(counts):
        found.why_not = "The number of weights is not known, or a series is missing."
        return found
    a, b = counts[claim["first"]], counts[claim["second"]]
    found.n, found.seeds = int(a.sum() + b.sum()), 1
    found.effect = float(statistics.kolmogorov_distance(a, b))

    def interval(level: float) -> tuple[float, float]:
        rng = np.random.default_rng([settings.seed, found.n])
        return statistics.kolmogorov_interval(a, b, bootstrap=settings.bootstrap, rng=rng, level=level)

    found.bound(interval)
    rng = np.random.default_rng([settings.seed, found.n, 1])
    part = rng.multivariate_hypergeometric(a + b, a.sum(), settings.permutations, method="marginals")
    found.p = statistics.p_value(statistics.kolmogorov_distance(part, a + b - part), found.effect, exact=False)
    return found


KINDS: dict[str, Callable[..., Evidence | None]] = {
    "rank_correlation": rank_correlation,
    "layer_correlation": layer_correlation,
    "paired_difference": paired_difference,
    "matched_difference": matched_difference,
    "initial_index": initial_index,
    "sweep_change": sweep_change,
    "histogram_distance": histogram_distance,
    "trend": trends.trend,
    "two_lines": two_lines,
}
