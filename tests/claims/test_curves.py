"""Distances from the curves of figure 8, whose ends are known and whose error all layers share."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sgdtails import layers
from sgdtails.claims import curves, quantities
from sgdtails.pruning import compression
from tests.claims.test_claims import study, table

ROWS = {"p": 2.0, "epsilon": 0.1}


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.5])
def test_what_can_be_removed_of_gaussian_entries_has_the_allowed_error(p, epsilon):
    threshold = norm.ppf((1 + curves.gaussian_pruned(p, epsilon)) / 2)
    below, whole = (quad(lambda x: x**p * norm.pdf(x), 0, end)[0] for end in (threshold, np.inf))
    assert (below / whole) ** (1 / p) == pytest.approx(epsilon, rel=1e-6)


def test_it_is_what_samples_give():
    sample = layers.centre(np.random.default_rng(0).standard_normal(400_000))
    for p in (1.0, 2.0):
        kappa = compression.kappa(compression.relative_errors(sample, p), 0.1)
        assert 1 - kappa == pytest.approx(curves.gaussian_pruned(p, 0.1), abs=3e-3)
    assert curves.gaussian_pruned(2, 0.1) == pytest.approx(0.2653, abs=5e-5)


def matrices(slope, structure="independent", draws=100):
    end = curves.gaussian_pruned(2, 0.1)
    rows = [
        {"draw": number, "alpha": a, "kappa": 1 - end - slope * (2 - a)}
        for number, a in enumerate(np.linspace(1.75, 1.99, draws))
    ]
    return [row | {"structure": structure} | ROWS for row in rows]


def test_a_curve_covers_every_index_from_the_heaviest_matrix_to_2():
    """Medians of groups end half a group early: a straight curve is itself, to both ends."""
    end = curves.gaussian_pruned(2, 0.1)
    xs, ys = curves.of_matrices(matrices(0.7), bins=10)
    assert (xs[0], xs[-1], ys[-1]) == (1.75, 2.0, end)
    np.testing.assert_allclose(ys, end + 0.7 * (2 - xs), atol=1e-12)
    assert (np.diff(xs) > 0).all()
    one, other = (
        curves.of_matrices(matrices(0.7, draws=3), bins=10),
        [1.75, 1.75, 1.87, 1.99, 2],
    )
    np.testing.assert_allclose(one[0], other)


def test_resamples_that_hold_every_matrix_give_the_curve():
    rows = matrices(0.7)
    x, y = curves.points(rows)
    xs, _ = curves.through_medians(x, y, np.array([np.arange(100)[::-1], np.arange(100)]), end=0.2, bins=7)
    assert xs[0].tolist() == xs[1].tolist()
    one = curves.of_resamples(rows, bins=10, bootstrap=5, rng=np.random.default_rng(0))
    two = curves.of_resamples(matrices(0.2, "layer"), bins=10, bootstrap=5, rng=np.random.default_rng(0))
    assert (one[0] == two[0]).all()  # the same matrices of either structure
    assert (one[0][0] != one[0][1]).any()


def test_layers_of_gaussian_entries_are_as_near_to_every_structure():
    """At 2 all structures are one law: a curve that ends before would call layers nearer to the flattest one."""
    of = study(1)
    tails = [row | {"alpha": 2.1, "alpha_published": 2.0} for row in of.tails.to_pylist()]
    kappas = [row | {"kappa": 1 - curves.gaussian_pruned(2, 0.1)} for row in of.compression.to_pylist()]
    synthetic = [
        row for slope, name in ((0.7, "independent"), (0.3, "columns"), (0, "layer")) for row in matrices(slope, name)
    ]
    found = replace(
        of,
        tails=table("tails", tails),
        compression=table("compression", kappas),
        synthetic=table("synthetic", synthetic),
    )
    for structure in ("independent", "columns", "layer"):
        assert quantities.distance(found, {"run": "r0"}, structure=structure, bins=10) == pytest.approx(0, abs=1e-12)
