import numpy as np
import pytest
from scipy.stats import spearmanr

from sgdtails.stable import sampling as stable
from sgdtails.theory import bounds, synthetic


@pytest.fixture(scope="module")
def rows():
    return list(synthetic.synthetic_rows(draws=40, size=500, alpha=[1.75, 2.0], p=2.0, epsilon=0.1, seed=0))


def panel(rows, structure):
    return np.array([(row["alpha"], 1 - row["kappa"]) for row in rows if row["structure"] == structure]).T


def test_an_elliptical_layer_prunes_like_a_gaussian_one(rows):
    _, pruned = panel(rows, "layer")
    assert len(pruned) == 40
    np.testing.assert_allclose(pruned, 0.265, atol=0.01)


def test_independent_entries_prune_better_the_heavier_their_tails(rows):
    alpha, pruned = panel(rows, "independent")
    assert spearmanr(alpha, pruned).statistic < -0.7
    assert 0.33 < np.median(pruned[alpha < 1.8]) < 0.47
    assert np.median(pruned[alpha > 1.97]) < 0.30


def test_columns_lie_between(rows):
    medians = [np.median(panel(rows, name)[1]) for name in ("layer", "columns", "independent")]
    assert medians == sorted(medians)


def test_each_draw_has_its_own_generator(rows):
    again = list(synthetic.synthetic_rows(draws=2, size=500, alpha=[1.75, 2.0], p=2.0, epsilon=0.1, seed=0))
    assert again == rows[:6]


@pytest.mark.parametrize("alpha", [0.8, 1.5, 1.9, 2.0])
def test_elliptical_vectors_have_their_characteristic_function(alpha):
    sample = stable.elliptical(alpha, 200_000, 3, scale=0.7, rng=np.random.default_rng(0))
    for u in ([1.0, 0, 0], [0.5, -0.5, 0.2]):
        expected = np.exp(-((0.7 * np.linalg.norm(u)) ** alpha))
        assert np.cos(sample @ u).mean() == pytest.approx(expected, abs=4 * np.sqrt(0.5 / 200_000))


def test_entries_of_one_elliptical_vector_share_their_size():
    sample = stable.elliptical(1.2, 20_000, 2, rng=np.random.default_rng(0))
    assert np.corrcoef(np.log(np.abs(sample)).T)[0, 1] > 0.2


def test_bad_elliptical_parameters():
    for alpha, scale in ((0, 1), (2.1, 1), (1.5, 0)):
        with pytest.raises(ValueError, match="must"):
            stable.elliptical(alpha, 2, 2, scale=scale, rng=np.random.default_rng(0))


def test_magnitudes_count_every_draw():
    rows = list(synthetic.magnitude_rows(alpha=1.7, draws=10_000, bins=100, seed=0))
    assert sum(row["count"] for row in rows) == 10_000
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(row["share"] for row in rows[10:]) > 0.3  # few draws, much of the norm
    assert sum(row["count"] for row in rows[10:]) < 100


def test_p_epsilon_is_below_its_bound_and_increases():
    kappa = np.linspace(0, 1, 501)
    for epsilon in (0.01, 0.1, 0.5):
        value = bounds.p_epsilon(kappa, epsilon)
        assert (value <= bounds.p_epsilon_bound(kappa, epsilon) + 1e-12).all()
        assert (np.diff(value) >= 0).all()
        assert (value[0], value[-1]) == (pytest.approx(epsilon), 1)
    # By hand at kappa = 1/2: sqrt(epsilon)*exp(1.5*log 2).
    assert bounds.p_epsilon(0.5, 0.01) == pytest.approx(0.1 * 2**1.5)


def test_the_table_of_theory():
    rows = list(bounds.theory_rows(epsilon=[0.1, 0.2], points=5))
    assert len(rows) == 10
    assert rows[0] == {"epsilon": 0.1, "kappa": 0.0, "p_epsilon": pytest.approx(0.1), "bound": pytest.approx(0.3)}
