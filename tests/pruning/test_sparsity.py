"""Stable rank and PQ index: closed forms, bounds, and what leaves them alone."""

import math

import numpy as np
import pytest

from sgdtails.pruning import compression, sparsity

GAUSSIAN = 1 - math.sqrt(2) * math.gamma(0.75) ** 2 / math.pi * math.sqrt(math.pi / 2)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("draw", "index"),
    [
        (lambda shape: rng(0).standard_normal(shape), GAUSSIAN),  # 0.153
        (lambda shape: rng(1).uniform(-1, 1, shape), 1 / 9),
        (lambda shape: rng(2).laplace(size=shape), 1 - math.pi / 4),
    ],
)
def test_pq_index_of_laws(draw, index):
    """A million entries: the relative standard error of the mean of sqrt|w| is at most 0.0006, of the index 0.002 of 1 - index."""
    assert sparsity.pq_index(draw((1000, 1000))) == pytest.approx(index, abs=0.006)


def test_pq_index_is_between_equal_magnitudes_and_a_single_entry():
    assert sparsity.pq_index(np.full((3, 4), -0.3)) == pytest.approx(0, abs=1e-12)
    assert sparsity.pq_index(np.array([[0, 0, 7.0], [0, 0, 0]])) == pytest.approx(1 - 1 / 6)


def test_pq_index_is_that_of_its_definition():
    weight, d = rng().standard_normal((20, 30)), 600
    for p, q in ((0.5, 1.0), (1.0, 2.0)):
        norms = [np.sum(np.abs(weight) ** power) ** (1 / power) for power in (p, q)]
        expected = 1 - d ** (1 / q - 1 / p) * norms[0] / norms[1]
        assert sparsity.pq_index(weight, p, q) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (300, 310), (8, 4, 3, 3)])
def test_stable_rank_is_that_of_singular_values(shape):
    """Both ways to the largest singular value, of float32 too."""
    weight = rng().standard_normal(shape, np.float32)
    singular = np.linalg.svd(weight.astype(np.float64).reshape(len(weight), -1), compute_uv=False)
    expected = np.sum(singular**2) / singular[0] ** 2
    assert sparsity.stable_rank(weight) == pytest.approx(expected, rel=1e-9)
    assert sparsity.stable_rank(weight) == sparsity.stable_rank(weight)


def test_stable_rank_of_known_matrices():
    assert sparsity.stable_rank(np.eye(7)) == pytest.approx(7)
    assert sparsity.stable_rank(np.outer(np.arange(1.0, 5), np.ones(3))) == pytest.approx(1)


def test_scale_changes_nothing():
    weight = rng().standard_normal((30, 20))
    for scale in (1e-200, 1e200, -3):
        assert sparsity.stable_rank(scale * weight) == pytest.approx(sparsity.stable_rank(weight), rel=1e-9)
        assert sparsity.pq_index(scale * weight) == pytest.approx(sparsity.pq_index(weight), rel=1e-9)


def test_a_layer_of_zeros_has_neither():
    assert math.isnan(sparsity.stable_rank(np.zeros((3, 2))))
    assert math.isnan(sparsity.pq_index(np.zeros((3, 2))))


def test_every_row_of_table_compression_has_them_of_its_layer():
    weights = {"fc": rng().standard_normal((12, 9)) + 3, "head": rng(1).standard_normal((4, 12))}
    rows = list(compression.per_layer(weights, p=[1.0, 2.0], epsilon=[0.1]))
    found = {row["layer_name"]: (row["stable_rank"], row["pq_index"]) for row in rows}
    assert found == {name: (sparsity.stable_rank(w), sparsity.pq_index(w)) for name, w in weights.items()}
    assert len({(row["layer"], row["stable_rank"], row["pq_index"]) for row in rows}) == 2
