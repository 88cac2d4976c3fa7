import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sgdtails.errors import InputError
from sgdtails.pruning import compression

VECTORS = arrays(
    np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3)
).filter(lambda x: x.any())
NORMS = st.sampled_from([0.3, 0.5, 1.0, 1.5, 2.0, 4.0])


def direct_error(vector, k, p):
    approximation = compression.k_best(vector, k)
    return (np.sum(np.abs(vector - approximation) ** p) / np.sum(np.abs(vector) ** p)) ** (1 / p)


@given(VECTORS, NORMS)
def test_one_sort_gives_the_error_of_every_k_best_approximation(vector, p):
    errors = compression.relative_errors(vector, p)
    expected = [direct_error(vector, len(vector) - count, p) for count in range(len(vector) + 1)]
    np.testing.assert_allclose(errors, expected, rtol=1e-9, atol=1e-12)
    assert (np.diff(errors) >= 0).all()
    assert errors[0] == 0
    assert errors[-1] == 1


@given(VECTORS, NORMS, st.floats(0.01, 0.99))
def test_kappa_is_the_smallest_fraction_within_the_error(vector, p, epsilon):
    errors = compression.relative_errors(vector, p)
    kept = round(compression.kappa(errors, epsilon) * len(vector))
    assert errors[len(vector) - kept] <= epsilon
    assert kept == 0 or errors[len(vector) - kept + 1] > epsilon


@given(VECTORS, st.integers(0, 40))
def test_k_best_keeps_exactly_k_terms_and_pythagoras_holds(vector, k):
    vector = np.where(vector == 0, 1.0, vector)  # so that a term that stays can be told from one that went
    k = min(k, len(vector))
    best = compression.k_best(vector, k)
    assert np.count_nonzero(best) == k
    assert np.sum(best**2) + np.sum((vector - best) ** 2) == pytest.approx(np.sum(vector**2))
    if 0 < k < len(vector):
        assert np.abs(best[best != 0]).min() >= np.abs(vector[best == 0]).max()


@given(VECTORS, NORMS, st.floats(1e-6, 1e6))
def test_relative_errors_do_not_depend_on_scale_or_order(vector, p, scale):
    errors = compression.relative_errors(vector, p)
    np.testing.assert_allclose(compression.relative_errors(scale * vector[::-1], p), errors, rtol=1e-9, atol=1e-12)


def test_of_equal_terms_the_first_go_first():
    np.testing.assert_array_equal(compression.k_best(np.array([2.0, -2, 1, 2, 3]), 2), [0, 0, 0, 2, 3])


@pytest.mark.parametrize(
    ("draw", "pruned"),
    [
        (lambda rng, n: rng.standard_normal(n), 0.2653),
        (lambda rng, n: rng.uniform(-1, 1, n), 0.2154),
        (lambda rng, n: rng.laplace(size=n), 0.3534),
    ],
)
def test_closed_forms(draw, pruned):
    sample = draw(np.random.default_rng(0), 4_000_000)
    kappa = compression.kappa(compression.relative_errors(sample, 2.0), 0.1)
    assert 1 - kappa == pytest.approx(pruned, abs=1e-3)


def test_uniform_closed_form_for_other_norms():
    # Of U(-1, 1) the fraction r removed leaves an error of r^((p+1)/p), so 1 - kappa = epsilon^(p/(p+1)).
    sample = np.random.default_rng(0).uniform(-1, 1, 1_000_000)
    for p in (0.5, 1.0, 3.0):
        kappa = compression.kappa(compression.relative_errors(sample, p), 0.1)
        assert 1 - kappa == pytest.approx(0.1 ** (p / (p + 1)), abs=1e-3)


@pytest.mark.parametrize(
    ("ratio", "n", "count"),
    [(0, 7, 0), (1, 7, 7), (0.5, 7, 4), (0.9, 10, 9), (0.7, 10, 7), (0.1, 30, 3), (0.975, 40, 39), (1e-9, 5, 1)],
)
def test_the_promised_number_goes_in_exact_arithmetic(ratio, n, count):
    assert compression.removed(ratio, n) == count


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan])
def test_ratios_outside_the_unit_interval(ratio):
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        compression.removed(ratio, 5)


def test_bad_vectors_and_norms():
    for vector in (np.zeros(3), np.array([1.0, np.inf]), np.zeros(0)):
        with pytest.raises(InputError, match="no relative error"):
            compression.relative_errors(vector, 2)
    for p in (0, -1.0):
        with pytest.raises(InputError, match="give p > 0"):
            compression.relative_errors(np.ones(3), p)
        with pytest.raises(InputError, match="give p > 0"):
            compression.column_norms(np.ones((3, 2)), p)


def test_kappa_of_singular_values_counts_factors_and_can_exceed_one():
    errors = compression.relative_errors(np.ones(10), 2.0)
    assert compression.kappa_of_rank(errors, 0.0, (10, 20)) == 10 * 31 / 200
    assert compression.kappa_of_rank(errors, 1.0, (10, 20)) == 0


def test_rows_of_a_network():
    rng = np.random.default_rng(0)
    weights = {"conv": rng.standard_normal((4, 3, 3, 3)), "head": rng.standard_normal((10, 40))}
    rows = list(compression.per_layer(weights, p=[1.0, 2.0], epsilon=[0.1, 0.3]))
    assert {(row["layer"], row["structure"], row["p"]) for row in rows} == {
        *((0, structure, p) for structure in ("entries", "kernels") for p in (1.0, 2.0)),
        *((1, structure, p) for structure in ("entries", "columns") for p in (1.0, 2.0)),
        (0, "singular_values", 2.0),
        (1, "singular_values", 2.0),
    }
    direct = next(row for row in rows if row["structure"] == "columns" and row["p"] == 2 and row["epsilon"] == 0.3)
    head = weights["head"] - np.median(weights["head"], axis=1, keepdims=True)
    squares = np.sort((head**2).sum(axis=0))
    assert direct["kappa"] == np.mean(np.cumsum(squares) / squares.sum() > 0.3**2)


@pytest.mark.parametrize(
    ("shape", "structures"),
    [
        ((1, 98), {"entries", "columns"}),
        ((98, 1), {"entries", "singular_values"}),
        ((1, 2, 7, 7), {"entries", "kernels"}),
        ((1, 1, 3, 3), {"entries"}),
    ],
)
def test_a_structure_that_is_its_own_median_has_no_rows(shape, structures):
    weight = np.random.default_rng(0).standard_normal(shape)
    assert {row["structure"] for row in compression.per_layer({"a": weight}, p=[2.0], epsilon=[0.1])} == structures


def test_a_constant_layer_is_named():
    with pytest.raises(InputError, match="layer 'fc1'"):
        list(compression.per_layer({"fc1": np.full((3, 4), 0.2)}, p=[2.0], epsilon=[0.1]))
