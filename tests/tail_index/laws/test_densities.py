"""Densities of stable laws and of mixtures of rows: against Nolan's values, closed forms and each other."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from scipy.special import gammaln

from sgdtails.tail_index.laws import elliptical, families, stable_density

NOLAN = Path(scipy.stats.__file__).parent / "tests/data/levy_stable/stable-Z1-pdf-sample-data.npy"


@pytest.mark.skipif(not NOLAN.exists(), reason="this SciPy has no test data")
def test_nolans_densities():
    """Nolan's program claims ten digits; the table is cubic between its nodes."""
    x, density, alpha, beta, _ = np.load(NOLAN).T
    chosen = (beta == 0) & (alpha >= stable_density.LOWEST)
    assert chosen.sum() > 90
    for index in np.unique(alpha[chosen]):
        at = chosen & (alpha == index)
        found = stable_density.log_density(x[at], float(index))
        np.testing.assert_allclose(found, np.log(density[at]), atol=5e-6)


@pytest.mark.parametrize("alpha", [0.83, 0.99, 1.07, 1.37, 1.83, 1.973, 1.9997])
def test_quadrature_series_and_table_agree(alpha):
    """Both inversions meet at the argument where one takes over, and the table lies on them between its nodes."""
    points = np.sinh(np.linspace(0, np.arcsinh(40), 500))
    inner = points <= stable_density.LARGEST
    exact = np.log(stable_density._densities(np.array([alpha]), points[inner], alpha <= 1)[0])
    np.testing.assert_allclose(stable_density.log_density(points[inner], alpha), exact, atol=5e-6)
    beyond = np.array([stable_density.LARGEST * (1 - 1e-9), stable_density.LARGEST * (1 + 1e-9)])
    first, second = stable_density.log_density(beyond, alpha)
    assert abs(first - second) < 1e-6


def test_cauchy_and_normal_law():
    x = np.linspace(-30, 30, 301)
    np.testing.assert_allclose(stable_density.log_density(x, 1.0), -np.log(np.pi * (1 + x**2)), atol=1e-6)
    normal = scipy.stats.norm.logpdf(x, scale=math.sqrt(2))
    np.testing.assert_allclose(stable_density.log_density(x, 2.0), normal, rtol=1e-12)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0.8, 2\]"):
        stable_density.log_density(x, 0.5)


@pytest.mark.parametrize("alpha", [0.9, 1.5, 1.9, 1.99])
def test_a_single_entry_is_a_row_of_one(alpha):
    """The law by quadrature over scales, which never oscillates, against Fourier inversion."""
    q = np.linspace(-4, 10, 120)
    r = 2 * np.exp(q / 2)
    of_q = stable_density.log_density(r, alpha) + np.log(r)
    np.testing.assert_allclose(elliptical.mixed(q, alpha, 1), of_q, atol=5e-5)


@pytest.mark.parametrize("dimension", [2, 9, 64])
def test_multivariate_cauchy(dimension):
    """Closed form: the elliptical stable law of alpha 1 is t with one degree of freedom."""
    r = np.exp(np.linspace(-1.5, 5, 200)) * math.sqrt(dimension)
    closed = gammaln((1 + dimension) / 2) - gammaln(0.5) - dimension / 2 * math.log(math.pi)
    closed = closed - (1 + dimension) / 2 * np.log1p(r**2)
    found = families.ELLIPTICAL_STABLE.density(r, 1.0, dimension)
    assert np.abs(found - closed).max() / dimension < 2e-5


@pytest.mark.parametrize("alpha", [0.85, 1.13, 1.6, 1.93, 1.99])
def test_the_table_of_rows_lies_on_the_quadrature(alpha):
    q = np.linspace(math.log(9 / 2) - 3, math.log(9 / 2) + 9, 217)
    apart = np.abs(elliptical.stable_log_density(q, alpha, 9) - elliptical.mixed(q, alpha, 9))
    assert apart.max() / 9 < 1e-4  # nats per weight


def test_lognormal_scales_against_a_sum():
    q, half, spread = np.linspace(-3, 6, 50), 4.5, 0.7
    y = np.linspace(-20, 20, 40_001)
    density = np.exp(half * (q[:, None] - y) - np.exp(q[:, None] - y) - gammaln(half) - y**2 / (8 * spread**2))
    exact = np.log(density.sum(axis=1) * (y[1] - y[0]) / math.sqrt(8 * math.pi * spread**2))
    np.testing.assert_allclose(elliptical.lognormal_log_density(q, spread, 9), exact, atol=1e-6)


def test_scales_have_their_laplace_transform():
    """E exp(-s A) = exp(-s^(alpha/2)), from the density."""
    y = np.linspace(-12, 60, 40_000)
    density = np.exp(elliptical.scale_log_density(y, 1.3)) * (y[1] - y[0])
    for s in (0.3, 1.0, 4.0):
        assert math.isclose(np.sum(density * np.exp(-s * np.exp(y))), math.exp(-(s**0.65)), abs_tol=1e-7)


SHAPES = {
    **{"generalised_normal": 1.4, "student_t": 2.5, "normal_inverse_gaussian": 0.8, "stable": 1.6},
    **{"multivariate_t": 4.0, "lognormal_scales": 0.5, "elliptical_stable": 1.7},
}


@pytest.mark.parametrize(("of", "name"), families.BY_NAME)
def test_density_distribution_and_draws_are_of_one_law(of, name):
    """The distribution is the integral of the density, and draws follow it: 1.95/sqrt(n) is exceeded once in a thousand samples."""
    law, dimension, n = families.BY_NAME[of, name], 1 if of == "entries" else 9, 20_000
    shape = SHAPES.get(name, math.nan)
    drawn = np.sort(law.draw(shape, n, dimension, np.random.default_rng(1)))
    below = law.distribution(drawn, 1.0, shape, dimension)
    assert np.abs(below - np.arange(1, n + 1) / n).max() < 1.95 / math.sqrt(n)
    np.testing.assert_allclose(law._summed(drawn, shape, dimension), below, atol=3e-5)
