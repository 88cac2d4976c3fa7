"""Snapshots of tails against the library's own estimators, against laws with a known index, and beside training without them."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from sgdtails import layers
from sgdtails.pruning import compression
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import layer_tails, mmo
from sgdtails.tail_index.block_estimates import Settings as TailSettings
from sgdtails.training import snapshots
from sgdtails.training.engines import stacked_mlp
from sgdtails.training.settings import Stop, snapshot_iterations
from sgdtails.training.trainer import Run
from tests.training.helpers import STOP, assert_equal, engines_of, interrupt_and_resume, train_runs

ONE_ORDER = TailSettings(permutations=1, orders=1, robustness=False)
SHAPES = [((96, 40), False), ((10, 64), True), ((16, 12, 3, 3), False), ((10, 7), True), ((30, 18), False)]


def layer(shape, seed=0):
    """Entries of rows whose scales differ, beside a common shift."""
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.standard_normal((shape[0], *[1] * (len(shape) - 1))))
    return (0.02 * scales * rng.standard_normal(shape) + 0.01).astype(np.float32)


def published(weight, head):
    """Rows of table ``tails`` from one order."""
    rows = layer_tails.of_layer(weight, seed=[0, 3], head=head, settings=ONE_ORDER)
    return [row for row in rows if row["estimator"] == "mmo_multivariate"]


@pytest.mark.parametrize(("shape", "head"), SHAPES)
def test_estimates_are_those_of_table_tails_from_one_order(shape, head):
    """Up to rounding in float32: norms differ in their seventh digit, and alpha by as much over log K1."""
    weight = layer(shape)
    before, found = weight.copy(), snapshots.of_layer(weight, [0, 3, 0], head=head)
    expected = published(weight, head)
    assert np.array_equal(weight, before)
    assert [row["k1"] for row in found] == [row["k1"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        for name in ("estimator", "observations", "dimension", "reason"):
            assert row[name] == other[name], name
        for name in ("alpha", "alpha_published", "log_norm_dispersion"):
            assert row[name] == (None if other[name] is None else pytest.approx(other[name], rel=1e-5)), name
        if row["k1"] and row["alpha_high"] is not None:  # the library reaches further down, for rare large rows
            # Its quantile of Student's t is exact; 1e-4 of half an interval is far below 1e-4 of alpha.
            assert row["alpha_high"] == pytest.approx(other["alpha_high"], rel=1e-4)
            assert row["alpha_low"] >= other["alpha_low"] * (1 - 1e-4)
        if row["alpha_low"] is not None:
            assert row["alpha_low"] < row["alpha"] < row["alpha_high"]
    structures = compression.per_layer({"a": weight}, p=[2.0], epsilon=[snapshots.EPSILON])
    (kappa,) = (row["kappa"] for row in structures if row["structure"] == "entries")
    assert found[-1]["kappa"] == pytest.approx(
        kappa, abs=1.5 / weight.size
    )  # an entry more or less, centred in float32


@pytest.mark.parametrize(("shape", "head"), SHAPES)
def test_tensors_give_what_numpy_gives(shape, head):
    """As on a GPU, where sums run in another order."""
    weight = layer(shape)
    pairs = zip(
        *(snapshots.of_layer(kind(weight), [0], head=head) for kind in (np.array, torch.from_numpy)), strict=True
    )
    for one, other in pairs:
        for name, value in one.items():
            assert other[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


def test_conventions_are_those_of_their_homes():
    assert snapshots.TARGETS == mmo.BLOCK_LENGTHS
    for n in (4, 10, 16, 64, 97, 192, 262_144):
        try:
            expected = mmo.block_lengths(n)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error)[:30]):
                snapshots.block_lengths(n)
        else:
            assert snapshots.block_lengths(n) == expected
    for shape, head in SHAPES:
        weight = layer(shape)
        assert np.array_equal(
            snapshots.observations(weight, head=head), layers.observations(weight, "multivariate", head=head)
        )


def test_quantiles_of_students_t():
    for freedom in (7, 8, 10, 30, 1000):
        assert snapshots.student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-4)


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_intervals_cover_about_as_often_as_they_say(alpha):
    """Of 200 samples 95% of 200, within 3.3 standard errors of such a share: 180 or more."""
    covered = []
    for seed in range(200):
        rows = stable.sample(alpha, (192, 9), rng=np.random.default_rng([9, seed])).astype(np.float32)
        first, *_, whole = snapshots.of_layer(rows, [seed])
        covered.append([each["alpha_low"] <= alpha <= each["alpha_high"] for each in (first, whole)])
    assert (np.sum(covered, axis=0) >= 180).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_that_leave_the_range_of_squares_change_nothing(scale):
    weight = layer((64, 32))
    (*_, plain), (*_, scaled) = (snapshots.of_layer(w, [0]) for w in (weight, weight * np.float32(scale)))
    for name in ("alpha", "alpha_low", "alpha_published", "kappa", "log_norm_dispersion"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-4)


def test_layers_without_a_tail_index_say_why():
    broken = layer((16, 8))
    broken[3, 2] = np.inf
    for weight, words in ((np.ones((16, 8), np.float32), "more than half"), (broken, "not all finite")):
        (row,) = snapshots.of_layer(weight, [0])
        assert words in row["reason"]
        assert row["alpha"] is row["kappa"] is None
    (row,) = snapshots.of_layer(layer((7, 8)), [0])
    assert "no admissible block length" in row["reason"]
    assert 0 < row["kappa"] < 1


def test_iterations_of_the_config():
    stop = Stop(5e-5, 1.0, gate=200, budget=10_000, chance_after=0, chance_accuracy=0.1, history=50)
    assert snapshot_iterations({"first": 200, "ratio": 2}, stop) == [0, 200, 400, 800, 1600, 3200, 6400]
    assert snapshot_iterations({"first": 150, "ratio": 1.5}, stop) == [
        0,
        200,
        400,
        600,
        800,
        1200,
        1800,
        2600,
        4000,
        5800,
        8800,
    ]
    assert snapshot_iterations([5000, 0, 20_000], stop) == [0, 5000]
    assert snapshot_iterations([], stop) == []


DUE = (0, 20, 40, 80)


@pytest.mark.parametrize("model", ["fcn", "cnn", "wide"])
def test_snapshots_change_nothing_else(digits, model):
    """Two runs side by side, of which one leaves the finite numbers; their weights are the same to the last bit."""
    stop = STOP if model == "fcn" else Stop(0.4, 0.9, 20, 200, 100, 0.1, 5)

    def runs():
        return [Run("good", 0.3, 0), Run("bad", 1e6, 1)]

    train = partial(train_runs, digits, model=model, replicas=2, stop=stop)
    plain, ended = train(runs()), train(runs(), snapshots=DUE)
    for name, run in ended.items():
        iterations = list(dict.fromkeys(row["iteration"] for row in run.trajectory))
        assert iterations == [*(i for i in DUE if i < run.iteration), run.iteration]
        last = [row for row in run.trajectory if row["iteration"] == run.iteration]
        weights = {key: torch.from_numpy(value) for key, value in run.state.items()}
        assert last == [{"iteration": run.iteration, **row} for row in snapshots.per_layer(weights)]
        broken = {name.removesuffix(".weight") for name, value in run.state.items() if not np.isfinite(value).all()}
        assert {row["layer_name"] for row in last if row["reason"]} == broken
        run.trajectory = []
        assert plain[name].trajectory == []
        assert_equal(run, plain[name])


def test_interrupted_anywhere_the_trajectory_is_the_same(digits, monkeypatch):
    """Within steps, gates and full passes, with more runs than replicas."""
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time

    def runs():
        return [Run(str(seed), 0.1 * (seed + 1), seed) for seed in range(3)]

    train = partial(train_runs, digits, replicas=2, snapshots=DUE)
    whole = train(runs())
    assert all(len(run.trajectory) > 10 for run in whole.values())
    for pieces in (3, 21, 25, 47, 90, 131):
        for name, run in interrupt_and_resume(train, runs, pieces).items():
            assert_equal(run, whole[name])
    for run in runs():  # alone
        assert_equal(train([run])[run.name], whole[run.name])


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_weights_of_an_engine_are_those_that_it_returns(digits, model):
    (engine,) = engines_of(digits, model)
    shapes = engine.get(0)
    engine.put(0, {name: np.full_like(value, 0.5) for name, value in shapes.items()}, step_size=0.1)
    found, expected = engine.weights(0), engine.get(0)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name].numpy(), value) for name, value in expected.items())
