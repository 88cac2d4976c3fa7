import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdtails.stable import sampling as stable
from sgdtails.tail_index import mmo as tail_index


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_are_right_where_their_squares_leave_single_precision(scale):
    sample = rng().standard_normal((400, 9))
    sample[:40] *= 1e-6
    expected = np.log(np.linalg.norm(sample, axis=1)) + math.log(scale)
    np.testing.assert_allclose(tail_index.log_norms((scale * sample).astype(np.float32)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (2048, [2, 4, 8, 16, 32, 64, 256, 512]),  # 45 and 50 fall to 32, 1000 to 512
        (10_000, [2, 5, 10, 20, 50, 100, 500, 1000]),
        (512, [2, 4, 8, 16, 32, 64]),  # 500 is above 256, and no target lies between 100 and 256
        (192, [2, 4, 8, 12, 16, 48]),
        (128, [2, 4, 8, 16, 32]),
        (64, [2, 4, 8, 16]),
        (16, [2, 4]),
        (15, [3, 5]),
        (10, [2, 5]),
        (4, [2]),
    ],
)
def test_published_block_lengths(n, expected):
    assert tail_index.block_lengths(n) == expected


def literal_block_lengths(n):
    """The rule as it is written down: filter by N/2, lower to a divisor, then the square root, neither filtered nor repeated."""
    kept = [target for target in (2, 5, 10, 20, 50, 100, 500, 1000) if target <= n / 2]
    lengths = []
    for target in kept:
        while n % target:
            target -= 1
        if target > 1 and target not in lengths:
            lengths.append(target)
    root = int(np.floor(np.sqrt(n)))
    while n % root:
        root -= 1
    if root > 1 and root not in lengths:
        lengths.append(root)
    return sorted(lengths)


def test_block_lengths_are_the_rule_for_every_n():
    for n in range(2, 5001):
        expected = literal_block_lengths(n)
        if expected:
            assert tail_index.block_lengths(n) == expected, n
        else:
            with pytest.raises(ValueError, match="no admissible"):
                tail_index.block_lengths(n)


def test_targets_say_what_they_were_lowered_to():
    assert tail_index.lowered_targets(64) == {2: [2], 4: [5], 8: [10, "sqrt(N)"], 16: [20]}
    assert tail_index.lowered_targets(64, [7, 40], square_root=False) == {4: [7]}
    with pytest.raises(ValueError, match="64 observations have no admissible"):
        tail_index.lowered_targets(64, [40], square_root=False)


def test_definition_on_four_numbers():
    """X = 1, 3, 2, 4, K1 = 2: Y = 4, 6."""
    expected = ((math.log(4) + math.log(6)) / 2 - math.log(1 * 3 * 2 * 4) / 4) / math.log(2)
    assert tail_index.inverse_alpha(np.array([1.0, 3.0, 2.0, 4.0]), 2) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.8, 2.0])
@pytest.mark.parametrize("k1", [2, 20, 200])
def test_univariate_is_unbiased_on_stable_data(alpha, k1):
    """Standard error: blocks are independent, and Var log|X| is known; five of them."""
    n = 400_000
    sample = stable.sample(alpha, n, rng=rng(k1))
    error = math.sqrt(stable.log_moments(alpha)[1] / (n // k1)) / math.log(k1)
    assert tail_index.inverse_alpha(sample, k1) == pytest.approx(1 / alpha, abs=5 * error)


@pytest.mark.parametrize("k1", [2, 16, 64])
def test_multivariate_is_unbiased_on_elliptical_stable_data(k1):
    """sqrt(A)*G with A totally skewed (alpha/2)-stable, by Kanter's representation of a positive stable variable."""
    alpha, n, d = 1.5, 65_536, 10
    angle, exponential = rng(1).uniform(0, np.pi, n), rng(2).standard_exponential(n)
    a = alpha / 2
    positive = np.sin(a * angle) / np.sin(angle) ** (1 / a) * (np.sin((1 - a) * angle) / exponential) ** ((1 - a) / a)
    sample = np.sqrt(positive)[:, None] * rng(3).standard_normal((n, d))
    error = math.sqrt(stable.log_moments(alpha)[1] / (n // k1)) / math.log(k1)
    assert tail_index.inverse_alpha(sample, k1) == pytest.approx(1 / alpha, abs=5 * error)


@pytest.mark.parametrize(("k1", "expected"), [(2, 1.39), (2048, 1.86)])
def test_finite_variance_looks_heavy_at_small_blocks(k1, expected):
    """Laplace: what a sceptical reader asks first (SCIENCE.md)."""
    values = [1 / tail_index.inverse_alpha(rng(seed).laplace(size=2048 * 2048), k1) for seed in range(3)]
    assert np.mean(values) == pytest.approx(expected, abs=0.01 if k1 == 2 else 0.03)


def test_row_norm_spread_is_read_as_a_heavy_tail():
    """Gaussian rows with log-normal scales of deviation s: 1/alpha -> 1/2 + (log-sum-of-squares gain)/log K1 > 1/2."""
    sample = rng().standard_normal((8192, 500)) * np.exp(0.5 * rng(1).standard_normal(8192))[:, None]
    k1 = 64
    assert tail_index.inverse_alpha(sample, k1) == pytest.approx(1 / 2 + 0.5**2 / math.log(k1), abs=0.01)


def test_order_matters_and_permutation_undoes_it():
    sample = rng().standard_normal((2048, 100)) * np.exp(np.linspace(-2, 2, 2048))[:, None]
    assert 1 / tail_index.inverse_alpha(sample, 2) == pytest.approx(2.0, abs=0.05)
    assert tail_index.published(sample, rng=rng()) < 1.8


@given(st.floats(1e-6, 1e6), st.integers(0, 100))
def test_scale_changes_nothing(scale, seed):
    sample = rng(seed).standard_normal((24, 3))
    assert tail_index.inverse_alpha(sample * scale, 4) == pytest.approx(tail_index.inverse_alpha(sample, 4), abs=1e-9)


@given(st.integers(0, 100))
def test_one_column_is_the_univariate_estimator_and_order_within_blocks_is_free(seed):
    sample = rng(seed).standard_normal(24)
    assert tail_index.inverse_alpha(sample[:, None], 4) == pytest.approx(tail_index.inverse_alpha(sample, 4), abs=1e-12)
    turned = sample.reshape(-1, 4)[::-1, ::-1].ravel()
    assert tail_index.inverse_alpha(turned, 4) == pytest.approx(tail_index.inverse_alpha(sample, 4), abs=1e-12)


def test_published_is_clipped_and_a_function_of_its_generator():
    sample = rng().uniform(-1, 1, (512, 8))
    values = [tail_index.published(sample, rng=rng(7)) for _ in range(2)]
    assert values[0] == values[1] <= 2


def test_small_gaussian_layers_are_clipped_as_often_as_known():
    """65.0 +- 1.1% of Gaussian 192 x 9 layers give exactly 2 with the published block lengths; 400 layers know that to 2.4%."""
    layers = (rng(seed).standard_normal((192, 9)) for seed in range(400))
    share = np.mean([tail_index.published(x - np.median(x, axis=0), rng=rng(i)) == 2 for i, x in enumerate(layers)])
    assert share == pytest.approx(0.65, abs=0.075)


@pytest.mark.parametrize("shape", [(48,), (48, 5)])
def test_profile_is_the_definition_at_every_length_and_permutation(shape):
    sample = rng(4).standard_normal(shape)
    lengths, inverse = tail_index.profile(sample, rng=rng(9), permutations=3)
    again = rng(9)
    for row in inverse:
        shuffled = sample[again.permutation(len(sample))]
        np.testing.assert_allclose(row, [tail_index.inverse_alpha(shuffled, k1) for k1 in lengths], atol=1e-12)


def test_a_negative_estimate_counts_as_it_is():
    """As in the published code: alpha = 1/(-0.5) lies below every positive one."""
    assert tail_index.aggregate(np.array([[0.5, -0.5, 0.25]])) == 2.0
    assert tail_index.aggregate(np.array([[0.5, -0.5]])) == 0.0
    assert tail_index.alpha_of(-0.5) == math.inf


def test_single_precision_is_enough():
    sample = stable.sample(1.7, 65_536, rng=rng())
    wide, narrow = (tail_index.profile(sample.astype(kind), rng=rng(1))[1] for kind in (np.float64, np.float32))
    np.testing.assert_allclose(narrow, wide, atol=1e-5)


def test_contrasts_are_one_estimate_per_block():
    sample = rng().standard_normal((24, 3))
    two, six = tail_index.block_contrasts(sample, [2, 6])
    assert (len(two), len(six)) == (12, 4)
    assert six[1] == pytest.approx(tail_index.inverse_alpha(np.concatenate([sample[6:12]] * 2), 6))
    assert two.mean() == pytest.approx(tail_index.inverse_alpha(sample, 2))


@pytest.mark.parametrize(
    ("sample", "k1", "message"),
    [
        (np.ones(10), 3, "must divide"),
        (np.ones(10), 1, "must divide"),
        (np.ones(10), 10, "must divide"),
        (np.array([1.0, np.nan, 1, 1]), 2, "finite"),
        (np.zeros((4, 2)), 2, "zero"),
        (np.array([0.0, 0, 0, 1]), 2, "zero"),
    ],
)
def test_bad_samples(sample, k1, message):
    with pytest.raises(ValueError, match=message):
        tail_index.inverse_alpha(sample, k1)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 2053])
def test_no_admissible_block_length(n):
    with pytest.raises(ValueError, match="no admissible"):
        tail_index.block_lengths(n)
