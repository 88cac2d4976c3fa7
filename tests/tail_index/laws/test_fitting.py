"""Maximum-likelihood fits: simulated parameters are found again, intervals hold them as often as they say, bins lose nothing."""

import math

import numpy as np
import pytest

from sgdtails.tail_index.laws import families, fitting, goodness
from sgdtails.tail_index.laws.fitting import Norms, fit
from tests.tail_index.laws.test_densities import SHAPES


@pytest.mark.parametrize(("of", "name"), families.BY_NAME)
def test_parameters_are_found_again(of, name):
    """Within four standard errors, which the intervals give."""
    law, dimension = families.BY_NAME[of, name], 1 if of == "entries" else 16
    shape = SHAPES.get(name, math.nan)
    found = fit(law, Norms.of(3 * law.draw(shape, 3000, dimension, np.random.default_rng(5)), dimension))
    if name == "uniform":
        assert found.scale[0] <= 3 <= found.scale[0] * 1.005
        return
    assert abs(math.log(found.scale[0] / 3)) < 4 * math.log(found.scale[2] / found.scale[1]) / (2 * fitting.NORMAL)
    if law.shaped:
        value, low, high = (law.inner(each) for each in found.shape)
        assert abs(value - law.inner(shape)) < 4 * (high - low) / (2 * fitting.NORMAL)
        assert law.tail_index(found.shape[0]) in (found.shape[0], math.inf)


@pytest.mark.parametrize(("law", "shape"), [(families.STUDENT_T, 4.0), (families.STABLE, 1.7)])
def test_intervals_hold_the_truth(law, shape):
    """95% of 60 samples, less three binomial standard errors (2.8%)."""
    held = 0
    for seed in range(60):
        drawn = law.draw(shape, 300, 1, np.random.default_rng(seed))
        _, low, high = fit(law, Norms.of(drawn, 1)).shape
        held += low <= shape <= high
    assert held / 60 >= 0.86


@pytest.mark.parametrize("n", [64, 2000])
def test_the_interval_of_a_uniform_law_holds_the_truth(n):
    """Its ends come from the range, as a layer's entries give it. 95% of 400 samples, within three binomial standard errors."""
    held = 0
    for seed in range(400):
        drawn = np.random.default_rng(seed).uniform(-1, 1, n)
        _, low, high = fit(families.UNIFORM, Norms.of(np.abs(drawn), 1, float(np.ptp(drawn)) / 2)).scale
        held += low <= 1 <= high
    assert held / 400 == pytest.approx(0.95, abs=0.033)


@pytest.mark.parametrize("seed", [58, 242])
def test_a_profile_that_ends_at_a_step_of_its_search_has_an_interval(seed):
    """Of these samples a step lands where the likelihood has dropped by 1.9207, whose last digits depend on where a search began."""
    drawn = families.MULTIVARIATE_T.draw(2.5, 64, 9, np.random.default_rng(seed))
    found = fit(families.MULTIVARIATE_T, Norms.of(drawn, 9))
    assert found.shape[1] < 2.5 < found.shape[2]


@pytest.mark.parametrize("name", ["laplace", "generalised_normal", "student_t", "normal_inverse_gaussian", "stable"])
def test_bins_change_the_likelihood_by_less_than_a_millionth(name, monkeypatch):
    """Of 40,000 stable weights, whose largest is thousands of times their median."""
    values = families.STABLE.draw(1.5, 40_000, 1, np.random.default_rng(0))
    binned = Norms.of(values, 1)
    monkeypatch.setattr(fitting, "EXACT", 10**9)
    exact = Norms.of(values, 1)
    assert len(binned.values) < fitting.BINS < len(exact.values)
    assert binned.weights == exact.weights
    law = families.BY_NAME["entries", name]
    both = fit(law, binned), fit(law, exact)
    assert abs(both[0].log_likelihood - both[1].log_likelihood) < 2e-6
    assert math.isclose(both[0].scale[0], both[1].scale[0], rel_tol=1e-4)
    if law.shaped:
        assert math.isclose(both[0].shape[0], both[1].shape[0], rel_tol=1e-4)
    apart = goodness.distance(both[0], binned) - goodness.distance(both[1], exact)
    assert abs(apart) < binned.counts.max() / binned.rows


def test_scale_moves_with_the_weights():
    """A factor changes the scale by itself, the log-likelihood by its logarithm, and no shape."""
    values = np.abs(np.random.default_rng(0).standard_t(3, 2000))
    for law in families.LAWS["entries"]:
        one, other = fit(law, Norms.of(values, 1)), fit(law, Norms.of(100 * values, 1))
        assert math.isclose(other.scale[0], 100 * one.scale[0], rel_tol=1e-4)
        assert math.isclose(other.log_likelihood, one.log_likelihood - math.log(100), abs_tol=1e-8)
        if law.shaped:
            assert math.isclose(other.shape[0], one.shape[0], rel_tol=1e-4)


def test_a_light_sample_leaves_degrees_of_freedom_open():
    found = fit(families.STUDENT_T, Norms.of(np.abs(np.random.default_rng(0).uniform(-1, 1, 500)), 1))
    assert found.shape[2] == math.inf
    assert found.shape[1] > 20


def test_fits_of_good_and_bad_laws():
    """A true law's p-values are spread over (0, 1); a wrong one's are the least possible."""
    p = []
    for seed in range(20):
        norms = Norms.of(families.STUDENT_T.draw(3.0, 256, 1, np.random.default_rng(seed)), 1)
        p.append(goodness.bootstrap("entries", fit(families.STUDENT_T, norms), norms, replicates=39, seed=0))
        assert goodness.bootstrap("entries", fit(families.UNIFORM, norms), norms, replicates=39, seed=0) == 1 / 40
    assert min(p) < 0.5 < max(p)
    assert np.mean(np.array(p) <= 0.1) <= 0.3  # of 20; more has probability 1e-4


def test_vuong_prefers_the_true_law():
    norms = Norms.of(families.STUDENT_T.draw(3.0, 5000, 1, np.random.default_rng(0)), 1)
    t, stable = (fit(law, norms) for law in (families.STUDENT_T, families.STABLE))
    z, p = goodness.vuong(t, stable, norms)
    back, same = goodness.vuong(stable, t, norms)
    assert z > 3
    assert math.isclose(z, -back)
    assert p == same < 0.01
    assert goodness.vuong(t, t, norms) is None
