import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.stable import sampling as stable
from sgdtails.theory import bounds, corollary, run_bounds


def lattice(d):
    """All kappa with kappa*d an integer."""
    return np.arange(d + 1) / d


@pytest.mark.parametrize("epsilon", [0.001, 0.01, 0.1, 0.5, 1.0])
def test_the_exact_factor_is_the_even_form_where_d_and_kappa_d_are_even(epsilon):
    for d in (2, 10, 64, 1000):
        kappa = lattice(d)[::2]
        np.testing.assert_allclose(
            bounds.p_epsilon(kappa, epsilon, d), bounds.p_epsilon(kappa, epsilon), rtol=1e-13, atol=0
        )


def test_the_exact_factor_by_hand_for_odd_d():
    # d = 11, kappa*d = 3: ceil(d/2) = 6, and h_b(2/6) exceeds h_b(1/6).
    third = -(1 / 3) * math.log(1 / 3) - (2 / 3) * math.log(2 / 3)
    share = -(3 / 11) * math.log(3 / 11) - (8 / 11) * math.log(8 / 11)
    expected = 0.01 ** (8 / 11) * math.exp(share + 6 / 11 * third)
    assert bounds.p_epsilon(3 / 11, 0.01, 11) == pytest.approx(expected, rel=1e-14)


def test_ends_and_bound_of_the_exact_factor():
    for d in [*range(1, 60), 999, 1000]:
        for epsilon in (1e-4, 0.01, 0.1, 0.5):
            kappa = lattice(d)
            value = bounds.p_epsilon(kappa, epsilon, d)
            assert value[0] == pytest.approx(epsilon, rel=1e-14)
            assert value[-1] == 1
            # At d = 3 and kappa = 1/3 both are equal: its entropies add up to log 3.
            assert (value <= bounds.p_epsilon_bound(kappa, epsilon) * (1 + 1e-14)).all()


def test_the_lattice_entropy_is_below_its_claimed_bound():
    for d in [*range(1, 300), 1001, 1002]:
        value = bounds.lattice_entropy(lattice(d), d)
        assert (value <= math.log(2) * (0.5 + 0.5 / d) + 1e-15).all()  # the paper: 1/2 + 1/d


def test_lemma_8_holds_but_for_two_dimensions():
    """The ratio of volumes that h_b^(1) stands for in the proof of Theorem 7; the paper claims it for d >= 10."""
    for d in range(1, 300):
        m = np.arange(d + 1)
        ratio = gammaln(d / 2 + 1) - gammaln(m / 2 + 1) - gammaln((d - m) / 2 + 1)
        holds = (ratio <= d * bounds.lattice_entropy(m / d, d) + 1e-12).all()
        assert holds == (d != 2)


def test_where_the_factor_increases():
    """Along even kappa*d always; along every integer not for a small epsilon, where ceil and floor of odd ones alternate."""
    for d in (100, 312):
        for epsilon in (1e-4, 0.01, 0.3):
            assert (np.diff(bounds.p_epsilon(lattice(d)[::2], epsilon, d)) >= 0).all()
        assert (np.diff(bounds.p_epsilon(lattice(d), 0.003, d)) >= 0).all()
    steps = np.diff(bounds.p_epsilon(lattice(312), 1e-4, 312))
    assert (steps < 0).any()
    assert steps.min() > -0.001


@pytest.mark.parametrize(
    ("kappa", "epsilon", "d"), [(-0.1, 0.1, None), (1.1, 0.1, 10), (0.5, 0, None), (0.5, 2, 10), (0.5, 0.1, 0)]
)
def test_the_factor_of_bad_arguments(kappa, epsilon, d):
    with pytest.raises(InputError, match="p_epsilon needs"):
        bounds.p_epsilon(kappa, epsilon, d)


SETTING = bounds.Setting(
    images=60_000,
    sizes=(6000, 3000, 1000),
    kappas=(0.5, 0.25, 0.8),
    reach=2.0,
    epsilon=0.1,
    tau=0.5,
    delta=0.01,
    uncompressed=0.02,
    log_radius=math.log(3.0),
)


def test_constants_by_hand():
    assert SETTING.parameters == 10_000
    assert SETTING.kappa == pytest.approx((3000 + 750 + 800) / 10_000, rel=1e-15)
    lipschitz = math.sqrt(2) * 2 * 3 * (2 * 3 / math.sqrt(3)) ** 2 / 0.5
    assert SETTING.log_lipschitz == pytest.approx(math.log(lipschitz), rel=1e-14)
    margin = 0.5 + math.sqrt(2) * 2 * (1.1**3 - 1) * (3 / math.sqrt(3)) ** 3
    assert SETTING.log_margin == pytest.approx(math.log(margin), rel=1e-14)


def test_theorem_5_by_hand():
    n, d, kappa = 60_000, 10_000, 0.455
    entropy = -kappa * math.log(kappa) - (1 - kappa) * math.log(1 - kappa)
    extra = (2 * entropy - kappa * math.log(kappa)) / math.log(n)
    lipschitz = math.exp(SETTING.log_lipschitz)
    gap = (12 * lipschitz * 3 + math.sqrt(d)) * math.sqrt((kappa + extra) * math.log(n) / n)
    found = bounds.theorem_5(SETTING)
    assert found.log_gap == pytest.approx(math.log(gap), rel=1e-13)
    assert found.epsilon_kappa == pytest.approx(extra, rel=1e-13)
    assert found.failure == pytest.approx(0.03, rel=1e-12)
    assert found.unmet == ()


def test_theorem_7_by_hand():
    lipschitz, factor = math.exp(SETTING.log_lipschitz), float(bounds.p_epsilon(0.455, 0.1))
    gap = 24 * factor * lipschitz * 3 / 100 * math.sqrt(1e4 * math.log(60_000) / 60_000)
    found = bounds.theorem_7(SETTING)
    assert found.log_gap == pytest.approx(math.log(gap), rel=1e-13)
    assert found.log_margin == math.log(0.5)
    assert found.p_epsilon == pytest.approx(factor, rel=1e-13)
    assert found.images_needed == pytest.approx(81 * 0.1**-0.91)
    small = dataclasses.replace(SETTING, reach=1e-9)
    assert bounds.theorem_7(small).log_gap == pytest.approx(math.log(2 * math.sqrt(1e4 * math.log(6e4) / 6e4)))


def test_conditions_are_reported():
    few = dataclasses.replace(SETTING, images=100)
    assert bounds.theorem_5(few).unmet == ("n/log n > 10L",)
    assert bounds.theorem_7(few).unmet == ("n/log n > max(9L, 81 epsilon^(-2 kappa))",)
    tiny = dataclasses.replace(SETTING, sizes=(4, 2, 2), kappas=(0.0, 0.0, 0.0))
    assert bounds.theorem_7(tiny).unmet == ("d >= 10",)
    assert bounds.theorem_5(tiny).failure == 1  # 2*exp(0): nothing is kept


def test_bounds_beyond_the_range_of_floats_stay_numbers():
    huge = dataclasses.replace(SETTING, log_radius=2000.0)
    found = [bounds.theorem_5(huge), bounds.theorem_7(huge)]
    assert all(6000 < one.log_gap < 6100 for one in found)  # R enters with its third power, the depth


@pytest.mark.parametrize(
    "change", [{"sizes": (), "kappas": ()}, {"kappas": (0.5,)}, {"tau": 0}, {"kappas": (2, 0, 0)}, {"images": 1}]
)
def test_settings_without_a_meaning(change):
    with pytest.raises(InputError, match="a bound needs"):
        dataclasses.replace(SETTING, **change)


@pytest.mark.parametrize("alpha", [1.1, 1.5, 1.9])
def test_unit_scale_normalises_the_tail(alpha):
    """P(|x| > t) of SaS(s) nears 2*C*(s/t)^alpha with C = Gamma(alpha)*sin(pi*alpha/2)/pi: here 2/alpha at t = 1."""
    scale = corollary.unit_scale(alpha)
    tail = 2 * math.gamma(alpha) * math.sin(math.pi * alpha / 2) / math.pi * scale**alpha
    assert tail == pytest.approx(2 / alpha, rel=1e-12)


LAYERS = corollary.StableLayers((1.8, 1.6, 1.7), (0.02, 0.01, 0.03), SETTING.sizes)


def test_corollary_1_is_the_paper_s_form():
    """Gap (a*sigma_0^L/tau + 1)*sqrt((kappa + epsilon_kappa)*d*log(n)/n), gamma = tau + b*sigma_0^L*sqrt(d) (paper, 4.4, 4.5)."""
    there, found = corollary.corollary_1(SETTING, LAYERS)
    n, d, depth, alpha = 60_000, 10_000, 3, 1.6
    units = [scale / corollary.unit_scale(a) for scale, a in zip(LAYERS.scales, LAYERS.alphas, strict=True)]
    mean_square = sum(size / d * unit**2 for size, unit in zip(SETTING.sizes, units, strict=True))
    scale = math.sqrt(mean_square) / (4 ** (-1 / alpha) * math.sqrt(depth) / 3 * d ** -(0.5 + 1 / alpha))
    assert LAYERS.log_scale == pytest.approx(math.log(scale), rel=1e-12)
    a = 6 * math.sqrt(2) * 2.0 * 2**depth * depth**1.5
    extra = found.epsilon_kappa
    gap = (a * scale**depth / 0.5 + 1) * math.sqrt((SETTING.kappa + extra) * d * math.log(n) / n)
    assert found.log_gap == pytest.approx(math.log(gap), rel=1e-12)
    b = math.sqrt(2) * 2.0 * (1.1**depth - 1)
    assert found.log_margin == pytest.approx(math.log(0.5 + b * scale**depth * math.sqrt(d)), rel=1e-12)
    assert found.failure == pytest.approx(3 * d ** (-alpha / 6), rel=1e-12)
    assert there.delta == pytest.approx(d ** (-alpha / 6), rel=1e-12)


def test_lemma_5_bounds_norms_of_stable_weights():
    """R(delta) as Corollary 1 has it is exceeded with probability delta at most: here never in 200 draws, 60 would be allowed."""
    rng = np.random.default_rng(0)
    exceeded = 0
    for _ in range(200):
        parts = [stable.sample(a, n, scale=s, rng=rng) for a, s, n in zip(*dataclasses.astuple(LAYERS), strict=True)]
        exceeded += math.sqrt(sum(float(part @ part) for part in parts)) > math.exp(LAYERS.log_radius)
    there, _ = corollary.corollary_1(SETTING, LAYERS)
    assert there.delta < 0.1
    assert exceeded / 200 <= there.delta


def test_conditions_of_corollary_1():
    near = dataclasses.replace(LAYERS, alphas=(1.8, 1.6, 1.9999))
    assert "(2 - max alpha)" in corollary.corollary_1(SETTING, near)[1].unmet[0]
    few = dataclasses.replace(SETTING, kappas=(0.0, 0.0, 0.001))
    assert corollary.corollary_1(few, LAYERS)[1].unmet == ("2 exp(-kappa d/2) <= d^-beta",)
    for alphas in ((1.0, 1.5, 1.5), (1.5, 2.0, 1.5)):
        with pytest.raises(InputError, match="between 1 and 2"):
            dataclasses.replace(LAYERS, alphas=alphas)
    with pytest.raises(InputError, match="1 < alpha < 2"):
        corollary.unit_scale(2.0)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    shapes = {"fc1": (30, 16), "fc2": (20, 30), "head": (4, 20)}
    weights = {name: rng.standard_t(3, shape).astype(np.float32) * 0.2 for name, shape in shapes.items()}
    images = rng.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    labels = rng.integers(0, 4, 60)
    dataset = data.Dataset(images[:40], labels[:40], images[40:], labels[40:], tuple("abcd"), (0.5,), (0.3,))
    return weights, data.splits(dataset, None)


OPTIONS = {"epsilon": 0.1, "delta": 0.05, "uncompressed": 0.05, "tau": 1.0, "radius": 1.0, "test_error": 0.25}


def rows_of(network, alphas=(1.5, 1.7, 1.9), fully_connected=True, **changed):
    weights, splits = network
    found = run_bounds.bounds_rows(
        weights, splits, alphas=alphas, fully_connected=fully_connected, **(OPTIONS | changed)
    )
    return {row["statement"]: row for row in found}


def test_rows_have_the_columns_of_their_table(network):
    for options in ({}, {"alphas": (1.5, 2.0, 1.9)}, {"fully_connected": False}):
        for row in rows_of(network, **options).values():
            assert set(row) | {"run", "dataset", "model", "variant", "weights"} == set(tables.SCHEMAS["bounds"].names)


def test_kappa_is_that_of_the_weights_themselves(network):
    """Pruned towards 0 at kappa_l, every layer's relative error is at most epsilon, and one more entry would exceed it."""
    weights, _ = network
    row = rows_of(network)["theorem_5"]
    kept = 0
    for weight in weights.values():
        squares = np.sort(np.square(weight, dtype=np.float64).ravel())
        kept += weight.size - int((np.cumsum(squares) <= 0.01 * squares.sum()).sum())
    assert row["kappa"] * row["parameters"] == pytest.approx(kept)


def test_margins_and_risks_are_counted(network):
    weights, (train, test) = network
    chain = PrunedNetwork.unpruned(weights).chain
    margins = run_bounds.margins(chain, train)
    logits = chain(train.batch(slice(None))[0])
    best = logits.argmax(axis=1)
    np.testing.assert_array_equal(margins > 0, best == train.labels)
    rows = rows_of(network, tau=0.01)
    assert rows["theorem_7"]["margin_risk"] == np.mean(margins <= 0.01)
    assert rows["theorem_5"]["margin_risk"] == np.mean(margins <= 10 ** rows["theorem_5"]["log10_margin"])
    assert rows["theorem_7"]["test_error"] == np.mean(run_bounds.margins(chain, test) <= 0)


def test_a_bound_is_risk_plus_gap_and_vacuous_from_1_on(network):
    for row in rows_of(network).values():
        total = row["margin_risk"] + 10 ** row["log10_gap"]
        assert row["log10_bound"] == pytest.approx(math.log10(total), rel=1e-12)
        assert row["vacuous"] == (total >= 1)
        assert row["vacuous"]  # as everywhere at such widths


def test_a_bound_below_1_is_not_called_vacuous():
    """No network is that easy: margins above tau and a gap of nearly 0 are put in by hand."""
    setting = dataclasses.replace(SETTING, images=10**12, sizes=(8, 4, 4), reach=1e-9)
    row = run_bounds._row(setting, bounds.theorem_7(setting), np.linspace(0.6, 2, 50))
    assert (row["vacuous"], row["margin_risk"]) == (False, 0.0)
    assert row["log10_bound"] < -3


def test_what_has_no_bound_says_why(network):
    rows = rows_of(network, alphas=(1.5, 2.0, 1.9))
    assert "layers fc2" in rows["corollary_1"]["reason"]
    assert rows["corollary_1"]["unmet"] == "alpha in (1, 2)"
    assert rows["corollary_1"]["vacuous"] is None
    assert rows["theorem_5"]["reason"] is None
    rows = rows_of(network, fully_connected=False)
    assert {row["unmet"] for row in rows.values()} == {"a fully connected network"}
    assert [rows[name]["test_error"] for name in ("theorem_5", "corollary_1", "theorem_7")] == [None, None, 0.25]


def test_a_larger_radius_and_a_smaller_margin_loosen_the_bounds(network):
    base, wide, narrow = (rows_of(network, **change) for change in ({}, {"radius": 2.0}, {"tau": 0.5}))
    for name in ("theorem_5", "theorem_7"):
        # R enters with the third power, 1/tau with the first, but for the lesser terms sqrt(d) and 2.
        assert wide[name]["log10_gap"] - base[name]["log10_gap"] == pytest.approx(3 * math.log10(2), abs=0.01)
        assert narrow[name]["log10_gap"] - base[name]["log10_gap"] == pytest.approx(math.log10(2), abs=0.01)


def test_compressibility_no_longer_helps_theorem_7_above_a_kappa():
    """p_epsilon is 1 at the kappa that networks have at a relative error of 0.1 (0.73 for normal weights).

    By hand, log(0.1)*(1-kappa) + 3/2*h_b(kappa) is -1.036 + 1.032 at 0.55 and -1.013 + 1.029 at 0.56.
    """
    assert bounds.p_epsilon(0.55, 0.1) < 1
    assert bounds.p_epsilon(0.56, 0.1) == bounds.p_epsilon(0.73, 0.1) == 1


def test_torch_evaluates_the_same_bounds(network):
    weights, (train, test) = network
    cpu = torch.device("cpu")
    dataset = data.Dataset(train.images, train.labels, test.images, test.labels, tuple("abcd"), (0.5,), (0.3,))
    found = rows_of((weights, data.splits(dataset, cpu)), device=cpu)
    for name, row in rows_of(network).items():
        assert found[name].keys() == row.keys()
        for key, value in row.items():
            assert found[name][key] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), key
