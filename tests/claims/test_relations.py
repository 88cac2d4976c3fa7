"""Kendall's tau against SciPy's, the granulated one against its definition, and two lines on relations of known shape."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, kendalltau, linregress

from sgdtails.claims import decisions, statistics
from sgdtails.claims.evidence import Settings
from sgdtails.claims.relations import kendall, two_lines
from sgdtails.claims.study import Study
from tests.claims.test_claims import table

SETTINGS = Settings(permutations=999, bootstrap=300, level=0.05, fewest=5, seed=0)
COMMON = {"statement": "s", "where": "w", "supports": "positive"}
TAU = COMMON | {"kind": "rank_correlation", "x": {"of": "column", "column": "alpha"}, "y": {"of": "test_accuracy"}}
LINES = COMMON | {"kind": "two_lines", "x": {"of": "column", "column": "alpha"}, "y": {"of": "test_accuracy"}}


def rng(seed=0):
    return np.random.default_rng(seed)


def study(x, y, **more):
    """Runs of one panel with these tail indices and test accuracies, and other columns."""
    rows = [
        {"run": f"r{place}", "dataset": "mnist", "model": "fcn4", "variant": "", "seed": 0, "status": "converged"}
        | {"batch_size": 50, "step_size": 0.1, "alpha": float(a), "last_test_accuracy": float(b)}
        | {name: values[place] for name, values in more.items()}
        for place, (a, b) in enumerate(zip(x, y, strict=True))
    ]
    names = ("tails", "compression", "pruning", "synthetic", "histograms")
    return Study(runs=table("runs", rows), **{name: table(name, []) for name in names})


def said(claim, of):
    return list(decisions.claim_rows({"a": claim}, of, SETTINGS))


def test_tau_is_scipys_of_the_points_of_permutations_and_of_resamples():
    x, y = rng(1).integers(0, 7, (2, 15)).astype(float)
    x[x == 6] = math.inf
    draws = statistics.draws(15, permutations=40, bootstrap=30, rng=rng())
    effect, null = kendall.tau(x, y, draws.orders)
    assert effect == pytest.approx(kendalltau(x, y).statistic)
    resampled = kendall.resampled_tau(x, y, draws.counts)
    for column in range(30):
        assert null[column] == pytest.approx(kendalltau(x[draws.orders[:, column]], y).statistic)
        points = np.repeat(np.arange(15), draws.counts[:, column].astype(int))
        assert resampled[column] == pytest.approx(kendalltau(x[points], y[points]).statistic)
    constant = np.ones(15)
    assert math.isnan(kendall.tau(constant, y, draws.orders)[0])
    assert np.isnan(kendall.resampled_tau(constant, y, draws.counts)).all()


def test_its_exact_p_value_is_scipys():
    x, y = rng(2).standard_normal((2, 6))
    draws = statistics.draws(6, permutations=720, bootstrap=5, rng=rng())
    effect, null = kendall.tau(x, y, draws.orders)
    p = statistics.p_value(null, effect, exact=draws.exact_orders)
    assert p == pytest.approx(kendalltau(x, y, method="exact").pvalue)


GRID = [
    {"dataset": "mnist", "kind": "fcn", "depth": 4, "model": f"w{width}", "width": width}
    | {"batch_size": batch, "step_size": step, "seed": seed}
    for width in (64, 128)
    for batch in (50, 100, 200)
    for step in (0.1, 0.2, 0.4)
    for seed in (0, 1)
    if (batch, step) != (200, 0.4)  # as where such runs diverged
]


def by_definition(x, y, runs):
    """The mean over settings of the mean of SciPy's tau where all others, and the seed, are the same."""
    names, means = ("width", "batch_size", "step_size"), []
    for name in names:
        fixed = [tuple(run[other] for other in (*names, "seed") if other != name) for run in runs]
        members = [[place for place, one in enumerate(fixed) if one == key] for key in set(fixed)]
        means.append(np.mean([kendalltau(x[group], y[group]).statistic for group in members]))
    return np.mean(means)


def test_granulated_tau_is_the_mean_over_settings_of_the_mean_over_the_others():
    x, y = rng(3).standard_normal((2, len(GRID)))
    alike = kendall.groups(GRID)
    assert {name: len(found) for name, found in alike.items()} == {"batch_size": 12, "step_size": 12, "width": 16}
    draws = statistics.draws(len(GRID), permutations=20, bootstrap=20, rng=rng())
    effect, null = kendall.granulated(x, y, draws.orders, alike)
    assert effect == pytest.approx(by_definition(x, y, GRID))
    assert null[:3] == pytest.approx([by_definition(x[draws.orders[:, column]], y, GRID) for column in range(3)])
    once = np.ones((len(GRID), 1))
    assert kendall.resampled_granulated(x, y, once, alike) == pytest.approx([effect])
    assert kendall.resampled_granulated(x, y, 2 * once, alike) == pytest.approx([effect])
    few = np.zeros((len(GRID), 2))
    few[alike["width"][0], 0] = 1  # one pair
    few[0, 1] = 9  # one run
    first, second = alike["width"][0]
    found = kendall.resampled_granulated(x, y, few, alike)
    assert found[0] == np.sign((x[first] - x[second]) * (y[first] - y[second]))
    assert np.isnan(found[1])


def test_a_setting_behind_both_is_no_relation_where_one_changes_at_a_time():
    """Both quantities follow the batch size, and within a batch size they are opposed."""
    batch, step = (np.repeat([50, 100, 200, 400], 5), np.tile([0.1, 0.2, 0.3, 0.4, 0.5], 4))
    x, y = batch + 100 * step, batch - 100 * step
    of = study(x, y, batch_size=batch.tolist(), step_size=step.tolist())
    [plain] = said(TAU | {"statistic": "kendall"}, of)
    [granulated] = said(TAU | {"statistic": "granulated_kendall"}, of)
    assert (plain["verdict"], plain["effect_name"]) == ("supported", "kendall_tau")
    assert plain["effect"] == pytest.approx(kendalltau(x, y).statistic)
    assert (granulated["verdict"], granulated["effect_name"]) == ("undecided", "granulated_kendall_tau")
    assert granulated["effect"] == pytest.approx(0)  # 1 over batch sizes, -1 over step sizes
    assert granulated["reason"].endswith("Settings that change: batch size, step size.")
    [spearman] = said(TAU, of)
    assert spearman["effect_name"] == "spearman_rho"


def test_widths_are_settings_and_their_panels_one():
    width = [64, 128, 256, 512, 1024, 2048, 64]
    more = {"width": width, "model": [f"w{one}" for one in width], "kind": ["fcn"] * 7, "depth": [4] * 7}
    two_changes = {"step_size": [0.1] * 6 + [0.2], "batch_size": [50] * 6 + [100]}  # between the last run and any other
    of = study(range(7), range(7), **more, **two_changes)
    [row] = said(TAU | {"statistic": "granulated_kendall"}, of)
    assert (row["panel"], row["n"], row["effect"]) == ("FCN, MNIST", 6, pytest.approx(1))
    assert row["excluded_why"] == "1 that differ from no other run in one setting alone"
    assert len(said(TAU | {"statistic": "kendall"}, of)) == 6
    alone = replace(of, runs=of.runs.slice(0, 1))
    [row] = said(TAU | {"statistic": "granulated_kendall"}, alone)
    assert (row["panel"], row["verdict"]) == ("W64, MNIST", "undecided")


def test_lines_are_those_of_least_squares_and_the_shape_is_read_from_both_sides():
    x = np.sort(rng(4).uniform(-1, 1, 40))
    y = 1 - np.abs(x - 0.2) + 0.02 * rng(5).standard_normal(40)
    found = two_lines.fit(x, y, shape="peak", fewest=5)
    assert found.turn == pytest.approx(0.2, abs=0.15)
    cut = int(np.searchsorted(x, found.turn, side="right"))
    before, beyond = linregress(x[:cut], y[:cut]), linregress(x[cut:], y[cut:])
    assert found.before.slope == pytest.approx(before.slope)
    assert found.beyond.slope == pytest.approx(-beyond.slope)
    assert found.before.error >= before.stderr * (1 - 1e-9)
    upside_down = two_lines.fit(x, -y, shape="valley", fewest=5)
    assert (upside_down.effect, upside_down.p) == (pytest.approx(found.effect), pytest.approx(found.p))
    order = rng(6).permutation(40)
    assert two_lines.fit(x[order], y[order], shape="peak", fewest=5) == found
    moved = two_lines.fit(10 * x + 3, y, shape="peak", fewest=5)
    assert (10 * moved.effect, moved.p) == (pytest.approx(found.effect), pytest.approx(found.p))
    against = two_lines.fit(x, y, shape="valley", fewest=5)
    assert against.effect < 0


def test_points_that_are_equal_in_x_lie_on_one_side():
    x = np.repeat([1.0, 2, 3, 4], 5)
    found = two_lines.fit(x, -np.abs(x - 2.5), shape="peak", fewest=5)
    assert (found.before.slope, found.beyond.slope) == (pytest.approx(1), pytest.approx(1))
    assert 2 <= found.turn <= 3
    assert two_lines.fit(np.repeat([1.0, 2, 3], 5), np.arange(15.0), shape="peak", fewest=5) is None
    assert two_lines.fit(np.arange(9.0), np.arange(9.0), shape="peak", fewest=5) is None


@pytest.mark.parametrize(
    ("y", "shape", "verdict"),
    [
        (lambda x: -np.abs(x), "peak", "supported"),
        (lambda x: -np.abs(x), "valley", "contradicted"),
        (lambda x: np.abs(x), "valley", "supported"),
        (lambda x: np.minimum(x, 0), "peak", "undecided"),
    ],
)
def test_verdicts_on_shapes(y, shape, verdict):
    x = rng(7).uniform(-1, 1, 40)
    [row] = said(LINES | {"shape": shape}, study(x, y(x) + 0.05 * rng(8).standard_normal(40)))
    assert (row["verdict"], row["effect_name"]) == (verdict, "smaller_slope")
    assert row["effect_low"] < row["effect"] < row["effect_high"]
    assert "The slope is" in row["reason"]


def test_what_only_levels_off_is_no_peak():
    """A quadratic fit calls this curve a peak in most samples (Simonsohn 2018); the two-lines test in no more than its error."""
    false = quadratic = 0
    for seed in range(studies := 200):
        draw = rng([9, seed])
        x = draw.uniform(0, 1, 60)
        y = np.minimum(x, 0.4) + 0.05 * draw.standard_normal(60)
        found = two_lines.fit(x, y, shape="peak", fewest=5)
        false += found.effect > 0 and found.p < 0.05
        curve, slope, _ = np.polyfit(x, y, 2)
        quadratic += curve < 0 and slope + 2 * curve * x.max() < 0
    assert false <= binom.ppf(0.9999, studies, 0.05)
    assert quadratic > studies / 2


def test_too_few_runs_for_two_lines():
    [row] = said(LINES | {"shape": "peak"}, study(np.arange(9.0), np.arange(9.0)))
    assert row["reason"] == "No turning point has 5 runs, of two values of alpha, on either side of it."
