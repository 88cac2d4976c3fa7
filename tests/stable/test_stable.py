import numpy as np
import pytest
from scipy import stats

from sgdtails.stable import sampling as stable

N = 400_000


@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.75, 2.0])
def test_log_moments_are_those_of_the_closed_form(alpha):
    logs = np.log(np.abs(stable.sample(alpha, N, scale=3.0, rng=np.random.default_rng(1))))
    mean, variance = stable.log_moments(alpha, 3.0)
    assert mean == pytest.approx(np.euler_gamma * (1 / alpha - 1) + np.log(3.0), abs=1e-12)
    assert logs.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / N))
    spread = np.sqrt(np.mean((logs - logs.mean()) ** 4) / N)  # standard error of a variance, at most
    assert logs.var() == pytest.approx(variance, abs=4 * spread)


@pytest.mark.parametrize(
    ("alpha", "law"), [(2.0, stats.norm(scale=np.sqrt(2))), (1.0, stats.cauchy()), (1.5, stats.levy_stable(1.5, 0.0))]
)
def test_distribution_is_scipys(alpha, law):
    draws = stable.sample(alpha, N, rng=np.random.default_rng(3))
    points = np.array([-4.0, -1.0, -0.2, 0.0, 0.5, 2.0, 6.0])
    seen = (draws[:, None] <= points).mean(axis=0)
    expected = law.cdf(points)
    assert np.abs(seen - expected).max() < 4.5 * np.sqrt(0.25 / N)


def test_scale_is_recovered():
    draws = stable.sample(1.6, N, scale=0.02, rng=np.random.default_rng(4))
    assert stable.scale_of(np.append(draws, 0.0), 1.6) == pytest.approx(0.02, rel=0.01)


def test_a_sample_is_a_function_of_its_generator():
    one, other = (stable.sample(1.5, (3, 4), rng=np.random.default_rng(5)) for _ in range(2))
    assert one.shape == (3, 4)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("alpha", "scale"), [(0.0, 1.0), (2.1, 1.0), (float("nan"), 1.0), (1.5, 0.0), (1.5, -1.0)])
def test_bad_parameters(alpha, scale):
    with pytest.raises(ValueError, match="must"):
        stable.sample(alpha, 3, scale=scale, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="no scale"):
        stable.scale_of(np.zeros(3), 1.5)
