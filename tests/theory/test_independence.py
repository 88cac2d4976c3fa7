"""Dependence between weights: closed cases, independence, and each kind of dependence alone."""

import numpy as np
import pytest
from scipy.stats import binom

from sgdtails.theory import independence
from sgdtails.theory.independence import MEASURES, Settings, distance_correlation

SETTINGS = Settings(rows=128, entries=8, splits=4, permutations=39, seed=0)


def rng(seed=0):
    return np.random.default_rng(seed)


def by_definition(x, y):
    """The estimator as its authors write it, entry by entry."""

    def centred(z):
        a = np.array([[np.linalg.norm(one - other) for other in z] for one in z])
        n = len(a)
        found = np.zeros_like(a)
        for i in range(n):
            for j in range(n):
                if i != j:
                    found[i, j] = (
                        a[i, j] - a[i].sum() / (n - 2) - a[:, j].sum() / (n - 2) + a.sum() / ((n - 1) * (n - 2))
                    )
        return found

    a, b = centred(x), centred(y)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def test_it_is_the_definition():
    x, y = rng().standard_normal((9, 3)), rng(1).standard_normal((9, 2))
    value, null = distance_correlation(x, y, permutations=1, rng=rng(5))
    assert value == pytest.approx(by_definition(x, y), abs=1e-12)
    assert null[0] == pytest.approx(by_definition(x, y[rng(5).permutation(9)]), abs=1e-12)


def test_similar_samples_have_1_and_constant_ones_nothing():
    x = rng().standard_normal((20, 3))
    turn = np.linalg.qr(rng(1).standard_normal((3, 3)))[0]
    assert distance_correlation(x, 5 - 2 * x @ turn, permutations=2, rng=rng())[0] == pytest.approx(1)
    assert distance_correlation(x, np.ones((20, 2)), permutations=2, rng=rng()) is None


def test_it_has_no_bias_for_independent_vectors_of_any_dimension():
    """Plain distance correlation of 12 pairs of 50 numbers is near 1, whatever they are."""
    draws = rng()
    found = [
        distance_correlation(*draws.standard_normal((2, 12, 50)), permutations=1, rng=draws)[0] for _ in range(400)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20


def test_normal_pairs_have_the_distance_correlation_that_is_known():
    """Szekely, Rizzo and Bakirov (2007), theorem 7, at rho = 1/2."""
    rho = 0.5
    x = rng().standard_normal((3000, 2))
    y = rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]
    above = rho * np.arcsin(rho) + np.sqrt(1 - rho**2) - rho * np.arcsin(rho / 2) - np.sqrt(4 - rho**2) + 1
    known = above / (1 + np.pi / 3 - np.sqrt(3))
    found = distance_correlation(x[:, :1], y[:, None], permutations=1, rng=rng())[0]
    assert found == pytest.approx(known, abs=0.03)  # four standard errors of 3,000 pairs


def values(weights):
    rows = list(independence.per_layer(weights, SETTINGS))
    assert [row["layer"] for row in rows] == [n for n in range(len(weights)) for _ in MEASURES]
    return {(row["layer"], row["measure"]): row for row in rows}


def network(**layers):
    draws = rng(3)
    return {name: draws.standard_normal(shape) for name, shape in layers.items()}


def test_independent_weights_depend_on_nothing():
    found = values(network(a=(96, 64), b=(96, 96), head=(10, 96)))
    known = [row["p"] for row in found.values() if row["value"] is not None]
    assert len(known) == 14
    # The least p that 39 permutations give has a chance of 1 in 40 each.
    assert sum(p <= 1 / 40 for p in known) <= binom.ppf(0.9999, 14, 1 / 40)
    assert np.mean(known) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 14))
    assert found[2, "next_layer"]["value"] is None
    assert (found[0, "within_rows"]["observations"], found[0, "within_rows"]["dimension"]) == (96, 64)
    assert (found[0, "within_columns"]["observations"], found[0, "within_columns"]["dimension"]) == (64, 96)


def spread(matrix):
    return np.log(np.linalg.norm(matrix, axis=1)).var()


def decided(found, layer):
    return {
        measure
        for measure in MEASURES
        if found[layer, measure]["p"] is not None and found[layer, measure]["p"] <= 1 / 40
    }


def test_rows_of_unequal_scale_depend_within_rows_alone():
    weights = network(a=(96, 64), head=(10, 96))
    weights["a"] *= np.exp(0.7 * rng(1).standard_normal((96, 1)))
    found = values(weights)
    assert decided(found, 0) == {"row_dispersion", "within_rows"}
    centred = weights["a"] - np.median(weights["a"], axis=0)
    draws = rng(2)
    shuffled = [spread(draws.permutation(centred.ravel()).reshape(centred.shape)) for _ in range(200)]
    expected = spread(centred) - np.mean(shuffled)
    assert found[0, "row_dispersion"]["value"] == pytest.approx(expected, abs=4 * np.std(shuffled) / np.sqrt(39))


def test_dispersion_of_rows_of_unequal_scale_does_not_depend_on_their_length():
    scales = np.exp(0.4 * rng(1).standard_normal((96, 1)))
    found = [
        values({"a": scales * rng(2).standard_normal((96, size)), "head": np.ones((10, 96))})[0, "row_dispersion"][
            "value"
        ]
        for size in (64, 1024)
    ]
    # The variance of 96 log norms of 64 numbers has a standard error of about 0.015 from the numbers themselves.
    assert found == pytest.approx([np.log(scales).var()] * 2, abs=0.045)


def test_columns_of_unequal_scale_depend_within_columns_alone():
    weights = network(a=(96, 64), head=(10, 96))
    weights["a"] *= np.exp(0.7 * rng(1).standard_normal(64))
    assert decided(values(weights), 0) == {"column_dispersion", "within_columns"}


def test_what_leads_into_a_unit_and_out_of_it():
    weights = network(a=(96, 64), b=(96, 96), head=(10, 96))
    scale = np.exp(0.7 * rng(1).standard_normal(96))
    weights["a"] *= scale[:, None]
    weights["b"] *= scale
    found = values(weights)
    assert "next_layer" in decided(found, 0)
    assert "next_layer" not in decided(found, 1)


def test_convolutions_and_layers_that_do_not_follow_each_other():
    found = values(network(c=(32, 16, 3, 3), d=(32, 32, 3, 3), head=(10, 64)))
    assert found[0, "next_layer"]["value"] is not None
    assert found[1, "next_layer"]["value"] is None  # pixels lie between
    assert found[0, "within_rows"]["dimension"] == 144


def test_zeros_that_a_shuffle_brings_together_in_one_row():
    """Each row of the identity has one number other than zero; of rows of zeros no log norm can be taken."""
    found = values({"a": np.eye(64)})
    assert found[0, "row_dispersion"]["value"] is None
    head = rng(3).standard_normal((2, 101))  # less its columns' medians: 101 pairs of opposite numbers
    for seed in range(5):
        rows = independence.per_layer({"a": head.T, "b": rng(seed).standard_normal((4, 2))}, SETTINGS)
        assert {row["measure"] for row in rows} == set(MEASURES)


def test_it_is_what_its_seed_makes_it():
    weights = network(a=(40, 30))
    first, second = (list(independence.per_layer(weights, SETTINGS)) for _ in range(2))
    assert first == second
