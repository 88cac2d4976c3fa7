"""Audits with threads, shared nulls, and what readings say."""

import numpy as np
import pytest

from sgdtails.audit import layers
from sgdtails.audit.layer import bands
from sgdtails.tail_index import nulls
from tests.audit.helpers import normal

SETTINGS = {"where": "it", "seed": 0, "entries": 2**20, "nulls": {"replicates": 2, "entries": 2**12}, "epsilon": [0.1]}


def test_threads_change_nothing(capsys):
    state = {f"{n}.weight": normal(40 + n % 2, 30, seed=n) for n in range(6)}
    one, three = (layers.audit(state, threads=threads, **SETTINGS) for threads in (1, 3))
    assert repr(one) == repr(three)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines[:6]] == [f"layer {n + 1} of 6: {n}" for n in range(6)]


def test_gaussian_layers_of_one_size_are_drawn_once(monkeypatch):
    drawn = []
    known = bands._profiles
    monkeypatch.setattr(bands, "_profiles", lambda draws, rng: drawn.append(1) or known(draws, rng))
    layers.audit({f"{n}.weight": normal(40, 30, seed=n) for n in range(5)}, **SETTINGS)
    assert len(drawn) == 5 * 3 + 2  # of each layer rows, rows shuffled, entries; Gaussian rows and entries


def test_profiles_are_those_of_the_study():
    """The layer's own profile, and nulls of the same law as those that a study draws for one network."""
    weight = normal(256, 16)
    mine = list(bands.profiles(weight, weight.ravel(), bands.GaussianBands(30, 0), 30, [0]))
    theirs = list(nulls.bands(weight, None, head=False, replicates=30, seed=[1]))
    for series in ("gaussian", "shuffled"):
        for estimator in ("mmo_multivariate",):
            values = [
                [row["alpha"] for row in rows if (row["series"], row["estimator"]) == (series, estimator)]
                for rows in (mine, theirs)
            ]
            np.testing.assert_allclose(*values, atol=0.08)
    observed = [row for row in mine if row["series"] == "observed"]
    assert all(row["alpha_low"] == row["alpha"] == row["alpha_high"] for row in observed)


def test_layers_name_the_array_that_they_lie_in():
    rows = layers.audit(
        {"attn.in_proj_weight": normal(96, 32), "fc.weight": normal(32, 8), "bare": normal(9, 8)}, **SETTINGS
    )
    found = {row["layer_name"]: row["parameter"] for row in rows["audit"]}
    parts = {f"attn.in_proj_weight[{part}]": "attn.in_proj_weight" for part in "qkv"}
    assert found == parts | {"fc": "fc.weight", "bare": "bare"}


@pytest.mark.parametrize("unit", [1e37, 1e300])
def test_weights_too_large_for_sums_are_said_and_stop_no_other_layer(unit):
    weights = np.random.default_rng(0).standard_normal((64, 32))
    state = {"huge.weight": weights * unit, "plain.weight": weights}
    nulls = {"replicates": 2, "entries": 1024}
    rows = layers.audit(state, where="huge", seed=0, entries=2**20, nulls=nulls, epsilon=[0.1])["audit"]
    assert rows[0]["reason"] == "the weights are not all finite, or exceed 1e30"
    assert rows[1]["alpha"] is not None
