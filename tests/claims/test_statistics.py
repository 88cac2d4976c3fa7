import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binom, rankdata, spearmanr, t, theilslopes, ttest_1samp

from sgdtails.claims import statistics, trends


def rng(seed=0):
    return np.random.default_rng(seed)


def expanded(x, counts):
    return np.repeat(x, counts.astype(int))


tied = hnp.arrays(np.float64, st.integers(5, 12), elements=st.sampled_from([0.0, 1.0, 2.0, 3.5, np.inf]))


@given(tied, st.integers(0, 100))
def test_ranks_of_resamples_are_those_of_the_repeated_points(x, seed):
    counts = statistics.draws(len(x), permutations=10, bootstrap=6, rng=rng(seed)).counts
    ranks = statistics.resampled_ranks(x, counts)
    for column in range(6):
        points = expanded(np.arange(len(x)), counts[:, column])
        np.testing.assert_allclose(ranks[points, column], rankdata(x[points]) - (len(x) + 1) / 2)


def test_resampled_correlations_are_those_of_the_repeated_points():
    x, y, z = rng(1).integers(0, 6, (3, 15)).astype(float)
    counts = statistics.draws(15, permutations=10, bootstrap=20, rng=rng()).counts
    plain = statistics.resampled_rank_correlation(x, y, counts)
    partial = statistics.resampled_rank_correlation(x, y, counts, z)
    both = statistics.resampled_rank_correlation(np.array([x, z]), np.array([y, y]), counts)
    for column in range(20):
        a, b, c = (expanded(part, counts[:, column]) for part in (x, y, z))
        ab, ac, bc = (spearmanr(one, other).statistic for one, other in ((a, b), (a, c), (b, c)))
        assert plain[column] == pytest.approx(ab)
        assert partial[column] == pytest.approx((ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2)))
        assert both[column] == pytest.approx((ab + bc) / 2)


def test_correlation_and_its_exact_permutations_are_spearmans():
    x, y = np.array([1.0, 2, 2, 4, 5]), np.array([3.0, 1, 4, 4, 9])
    draws = statistics.draws(5, permutations=200, bootstrap=5, rng=rng())
    rho, null = statistics.rank_correlation(x, y, draws.orders)
    assert draws.exact_orders
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    every = [spearmanr(x[list(order)], y).statistic for order in itertools.permutations(range(5))]
    np.testing.assert_allclose(np.sort(null), np.sort(every))
    extreme = np.mean(np.abs(every) >= abs(rho) - 1e-9)
    assert statistics.p_value(null, rho, exact=True) == extreme


def test_partial_correlation_is_the_formula():
    x, y, z = rng(2).standard_normal((3, 30)) + rng(3).standard_normal(30)
    orders = statistics.draws(30, permutations=999, bootstrap=5, rng=rng()).orders
    rho, null = statistics.rank_correlation(x, y, orders, z)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    assert rho == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    identity = np.arange(30)[:, None]
    assert statistics.rank_correlation(x, y, identity, z)[1] == pytest.approx(rho)
    assert abs(null.mean()) < 4 * null.std() / np.sqrt(999)


@pytest.mark.parametrize("n", [8, 18])
def test_partial_correlations_reject_no_more_often_than_they_should(n):
    generator, times, rejected = rng(6), 2000, 0
    for number in range(times):
        if number % 50 == 0:  # many sets of permutations: one alone would shift all p-values together
            orders = statistics.draws(n, permutations=399, bootstrap=1, rng=generator).orders
        control = generator.standard_normal(n)
        x, y = generator.standard_normal((2, n)) + control
        effect, null = statistics.rank_correlation(x, y, orders, control)
        rejected += statistics.p_value(null, effect, exact=False) <= 0.05
    assert rejected <= binom.ppf(0.999, times, 0.05)  # unstudentised permutations reject 7.3% at n = 8


def test_constant_variables_have_no_correlation():
    orders = statistics.draws(6, permutations=10, bootstrap=5, rng=rng()).orders
    x, y = np.ones(6), np.arange(6.0)
    for arguments in ((x, y, orders), (y, x, orders), (y, rng().standard_normal(6), orders, y)):
        effect, null = statistics.rank_correlation(*arguments)
        assert np.isnan(effect)
        assert np.isnan(null).all()


@pytest.mark.parametrize("n", [6, 25])
def test_p_values_are_uniform_where_nothing_is_true(n):
    draws = statistics.draws(n, permutations=999, bootstrap=5, rng=rng())
    assert draws.exact_orders == (n == 6)
    generator, times = rng(5), 2000
    p = []
    for _ in range(times):
        x, y = generator.standard_normal((2, n))
        effect, null = statistics.rank_correlation(x, y, draws.orders)
        p.append(statistics.p_value(null, effect, exact=draws.exact_orders))
    # All 2,000 share one set of 999 permutations, whose own 5% quantile is off by sqrt(0.05*0.95/999) = 0.007.
    for level in (0.05, 0.2):
        assert np.mean(np.array(p) <= level) <= binom.ppf(0.999, times, level + 0.02) / times
        assert np.mean(np.array(p) <= level) >= binom.ppf(0.001, times, level - 0.02) / times


def test_random_permutations_never_give_p_zero():
    x = np.arange(30.0)
    orders = statistics.draws(30, permutations=99, bootstrap=5, rng=rng()).orders
    effect, null = statistics.rank_correlation(x, x, orders)
    assert effect == pytest.approx(1)
    assert statistics.p_value(null, effect, exact=False) == 0.01


def test_signs_of_five_equal_differences():
    draws = statistics.draws(5, permutations=99, bootstrap=5, rng=rng())
    effect, null = statistics.mean_difference(np.ones(5), draws.signs)
    assert (effect, len(null)) == (1, 32)
    assert statistics.p_value(null, effect, exact=True) == 2 / 32 == statistics.smallest_p(5, paired=True)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5, 0.9], [1.0, 1.0]), ([0.02], [0.02]), ([], [])],
)
def test_holm_by_hand(p, adjusted):
    np.testing.assert_allclose(statistics.holm(np.array(p)), adjusted)


def test_theil_sen_and_its_resamples_are_scipys():
    x, y = rng(1).integers(0, 8, 14).astype(float), rng(2).standard_normal(14)
    counts = statistics.draws(14, permutations=10, bootstrap=30, rng=rng()).counts
    assert trends.theil_sen(x, y)[0] == pytest.approx(theilslopes(y, x).slope)
    for column, slope in enumerate(trends.theil_sen(x, y, counts)):
        assert slope == pytest.approx(theilslopes(*(expanded(v, counts[:, column]) for v in (y, x))).slope)
    assert np.isnan(trends.theil_sen(np.ones(4), np.arange(4.0))).all()


@pytest.mark.parametrize("n", [5, 12, 48])
def test_a_normal_bootstrap_distribution_gives_students_interval(n):
    # Resampled means of a sample with deviation 1 have variance (n-1)/n/n in the limit of normal resamples.
    grid = (np.arange(1_000_000) + 0.5) / 1_000_000
    from scipy.special import ndtri

    low, high = statistics.percentile_interval(3 + ndtri(grid) * np.sqrt((n - 1) / n / n), n)
    half = t.ppf(0.975, n - 1) / np.sqrt(n)
    assert (low, high) == (pytest.approx(3 - half, abs=2e-3), pytest.approx(3 + half, abs=2e-3))


def test_intervals_of_means_are_at_least_students():
    sample = rng(8).standard_normal(6)
    known = ttest_1samp(sample, 0).confidence_interval(0.99)
    constant = np.full(100, sample.mean())
    assert statistics.mean_interval(sample, constant, 0.99) == (pytest.approx(known.low), pytest.approx(known.high))
    resampled = sample.mean() + np.array([-9.0] * 50 + [0.0] * 50)
    low, high = statistics.mean_interval(sample, resampled, 0.99)
    assert (low, high) == (pytest.approx(sample.mean() - 9), pytest.approx(known.high))
    assert statistics.mean_interval(sample, constant, shared=1.0)[1] > 2 + sample.mean()
    assert statistics.normal_interval(1.0, 0.5) == (pytest.approx(1 - 0.98, abs=1e-4), pytest.approx(1.98, abs=1e-4))


@pytest.mark.parametrize("level", [0.95, 0.9917])
def test_intervals_of_the_mean_of_eight_points_hold_it_as_often_as_they_say(level):
    generator, times, missed = rng(9), 2000, 0
    for number in range(times):
        if number % 50 == 0:
            counts = statistics.draws(8, permutations=1, bootstrap=999, rng=generator).counts
        sample = generator.standard_normal(8)
        low, high = statistics.mean_interval(sample, sample @ counts / 8, level)
        missed += not low <= 0 <= high
    assert missed <= binom.ppf(0.999, times, 1 - level)  # plain resamples: 7% and 3.6%


def test_an_interval_needs_resamples_that_are_defined():
    values = np.array([np.nan] * 60 + [1.0] * 40)
    assert np.isnan(statistics.percentile_interval(values, 8)).all()
    assert statistics.percentile_interval(values[40:], 8) == (1, 1)


def test_kolmogorov_distance_by_hand_and_an_interval_that_holds_the_truth():
    a, b = np.array([50, 30, 20]), np.array([20, 30, 50])
    assert statistics.kolmogorov_distance(a, b) == pytest.approx(0.3)
    generator, held = rng(4), 0
    for _ in range(200):
        one, other = generator.multinomial(1000, a / 100), generator.multinomial(1000, b / 100)
        low, high = statistics.kolmogorov_interval(one, other, bootstrap=300, rng=generator)
        held += low <= 0.3 <= high
    assert held >= binom.ppf(0.001, 200, 0.95)  # conservative by construction
    low, high = statistics.kolmogorov_interval(a * 100, a * 100, bootstrap=300, rng=generator)
    assert low == 0 < high < 0.04


def test_an_increasing_transformation_changes_nothing_a_decreasing_one_the_sign():
    x, y = rng().standard_normal((2, 20))
    orders = statistics.draws(20, permutations=50, bootstrap=5, rng=rng()).orders
    effect, null = statistics.rank_correlation(x, y, orders)
    same, same_null = statistics.rank_correlation(np.exp(x), y**3, orders)
    turned, _ = statistics.rank_correlation(-x, y, orders)
    assert (same, turned) == (pytest.approx(effect), pytest.approx(-effect))
    np.testing.assert_allclose(same_null, null)
