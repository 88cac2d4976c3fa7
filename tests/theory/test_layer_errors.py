"""Errors of keeping a share of a layer, measured and of stable samples of its shape."""

from dataclasses import replace

import numpy as np
import pytest

from sgdtails.stable import sampling as stable
from sgdtails.theory import layer_errors
from sgdtails.theory.layer_errors import Settings

SETTINGS = Settings(kappa=(0.1, 0.5), p=2.0, draws=8, seed=0, centring="none")


def found(weights, alphas):
    rows = layer_errors.per_layer(weights, alphas, SETTINGS)
    return {(row["layer"], row["structure"], row["kappa"]): row for row in rows}


def test_errors_by_hand():
    weight = np.diag([4.0, 3.0, 2.0, 1.0])
    rows = found({"a": weight}, {})
    left, whole = np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])
    half = np.linalg.norm(left) / np.linalg.norm(whole)
    assert rows[0, "columns", 0.5]["measured"] == pytest.approx(half)
    assert rows[0, "entries", 0.5]["measured"] == 0
    assert rows[0, "eigenvalues", 0.5]["measured"] == pytest.approx((left**2).sum() / (whole**2).sum())
    assert rows[0, "eigenvalues", 0.5]["p"] == 1.0
    assert rows[0, "columns", 0.5]["simulated"] is None


def test_stable_layers_have_the_errors_of_stable_samples():
    rng = np.random.default_rng(1)
    weights = {"a": stable.sample(1.6, (80, 60), rng=rng), "c": stable.sample(1.6, (20, 10, 3, 3), rng=rng)}
    rows = found(weights, {0: 1.6, 1: 1.6})
    assert len(rows) == 2 * 3 * 2
    for row in rows.values():
        assert row["simulated_low"] <= row["simulated"] <= row["simulated_high"]
        wide = row["simulated_high"] - row["simulated_low"]
        assert row["simulated_low"] - 2 * wide <= row["measured"] <= row["simulated_high"] + 2 * wide


def test_one_observation_alone_has_no_error():
    """It is its own centre."""
    rng = np.random.default_rng(0)
    weights = {"gate": rng.standard_normal((1, 64)), "input": rng.standard_normal((64, 1))}
    rows = layer_errors.per_layer(weights, {0: 1.8, 1: 1.8}, replace(SETTINGS, centring="median"))
    structures = {(row["layer_name"], row["structure"]) for row in rows if row["simulated"] > 0}
    assert structures == {(name, "entries") for name in weights} | {("gate", "columns"), ("input", "eigenvalues")}


def test_lighter_tails_than_normal_ones_count_as_normal():
    rows, normal = (found({"a": np.eye(30)}, {0: alpha}) for alpha in (2.5, 2.0))
    assert rows[0, "entries", 0.1]["simulated"] == normal[0, "entries", 0.1]["simulated"]
    assert rows[0, "entries", 0.1]["alpha"] == 2.5
