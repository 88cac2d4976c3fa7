"""Noise of each kind: its law, what rows share, and that runs do not depend on interruptions or on the runs beside them."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from sgdtails.config import run_table
from sgdtails.errors import InputError
from sgdtails.models import building as models
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import mmo
from sgdtails.training.engines import noise, stacked_mlp
from sgdtails.training.engines.sgd import SGDUpdate
from sgdtails.training.settings import SGDSettings
from sgdtails.training.trainer import Run
from tests.training.helpers import (
    EVERYTHING,
    STOP,
    assert_equal,
    batch_indices,
    build,
    build_engine,
    interrupt_and_resume,
    train_runs,
)

SHARED = ("neuron", "elliptical")
ALPHAS = [0.7, 1.0, 1.5, 1.9, 2.0]


def draw(kind, shape, alpha, seed=1):
    return noise.draw_noise(kind, shape, alpha, torch.Generator().manual_seed(seed)).numpy()


def test_noise_of_another_kind_of_device_cannot_go_on():
    """A GPU's generator has a state of 16 bytes."""
    sgd = SGDSettings(noise_scale=0.1, noise_alpha=1.8)
    update = SGDUpdate(sgd, {"w": torch.zeros(1, 2, 2)})
    update.put(0, {}, step_size=0.1, seed=0)
    state = update.get(0)
    update.put(0, state, step_size=0.1, seed=0)
    (name,) = state
    with pytest.raises(InputError, match="noise of another kind of device than cpu"):
        update.put(0, {name: np.zeros(16, np.uint8)}, step_size=0.1, seed=0)


def test_every_kind_of_the_run_table_can_be_drawn():
    for kind in run_table.NOISE_KINDS:
        for shape in ((), (3,), (3, 4), (3, 4, 2, 2)):
            assert draw(kind, shape, 1.5).shape == shape


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("kind", run_table.NOISE_KINDS)
def test_an_entry_is_stable_of_scale_1(kind, alpha):
    drawn = draw(kind, (40_000, 2), alpha)
    expected = stable.sample(alpha, 40_000, rng=np.random.default_rng(2))
    assert len(np.unique(drawn[:, 1])) == len(drawn)  # rows are independent, and none repeats another
    assert stats.ks_2samp(drawn[:, 1], expected).pvalue > 0.01
    assert stats.ks_2samp(drawn[:, 1], 1.1 * expected).pvalue < 0.01  # and the scale can be told


@pytest.mark.parametrize("alpha", ALPHAS)
def test_elliptical_rows_have_the_law_of_the_librarys_sampler(alpha):
    """Their norms, and their projections on a direction that mixes all entries."""
    drawn, expected = (
        draw("elliptical", (20_000, 9), alpha),
        stable.elliptical(alpha, 20_000, 9, rng=np.random.default_rng(2)),
    )
    assert stats.ks_2samp(*(np.linalg.norm(rows, axis=1) for rows in (drawn, expected))).pvalue > 0.01
    # ch.f. exp(-||u||^alpha): the sum of 9 entries is 3 times one entry, whatever alpha
    assert (
        stats.ks_2samp(drawn.sum(axis=1) / 3, stable.sample(alpha, 20_000, rng=np.random.default_rng(3))).pvalue > 0.01
    )


def test_small_alpha_stays_in_the_range_of_float64():
    for kind in run_table.NOISE_KINDS:
        assert np.isfinite(draw(kind, (20_000, 2), 0.1)).all()


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("kind", run_table.NOISE_KINDS)
def test_the_tail_index_of_rows_is_alpha(kind, alpha):
    """By the project's multivariate estimator, with K1 = K2 = 200.

    The tolerance is three standard errors of 1/alpha: log norms deviate by at most 1.3, so these are 1.3/sqrt(200)/log(200) = 0.017.
    """
    assert mmo.inverse_alpha(draw(kind, (40_000, 5), alpha), 200) == pytest.approx(1 / alpha, abs=0.05)


def test_a_row_given_its_scale_is_gaussian_only_where_it_is_elliptical():
    """Entries over their row's root mean square, of 400 entries each, are then normal; independent ones are far from it."""
    for kind, gaussian in (("independent", False), ("elliptical", True)):
        drawn = draw(kind, (100, 400), 1.5)
        pooled = (drawn / np.sqrt((drawn**2).mean(axis=1, keepdims=True))).ravel()
        assert (stats.kstest(pooled, "norm").pvalue > 0.01) == gaussian


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_what_a_neuron_shares_in_a_step(images, name, kind):
    step_size, scale = 0.1, 5.0
    start, indices = models.state(build(name)), batch_indices(1, [0])
    ended = []
    for sgd in (SGDSettings(), SGDSettings(noise_scale=scale, noise_alpha=1.5, noise_kind=kind)):
        tested = build_engine(name, images, sgd=sgd)
        tested.put(0, start, step_size, seed=3)
        tested.advance(indices)
        ended.append(tested.get(0))
    for key in start:
        rows = ((ended[1][key] - ended[0][key]) / (step_size * scale)).reshape(len(start[key]), -1)
        # Float64 weights of order 1 that moved by the noise: rounding is below 1e-15 of the largest draw.
        spread, largest = np.ptp(rows, axis=1), np.abs(rows).max()
        assert (spread < 1e-12 * max(largest, 1)).all() == (kind == "neuron")
        assert len(np.unique(rows[:, 0])) == len(rows)  # neurons do not share


@pytest.mark.parametrize("kind", SHARED)
def test_a_run_in_a_stack_is_the_run_alone(digits, kind):
    sgd = dataclasses.replace(EVERYTHING, noise_kind=kind)
    stop = dataclasses.replace(STOP, budget=60)

    def train(seeds, replicas):
        runs = [Run(str(seed), 0.03 * (seed + 1), seed) for seed in seeds]
        return train_runs(digits, runs, replicas=replicas, stop=stop, sgd=sgd)

    together = train(range(3), 3)
    for seed in range(3):
        assert_equal(train([seed], 1)[str(seed)], together[str(seed)])
    assert (
        together["0"].state["head.weight"].tobytes()
        != train_runs(digits, [Run("0", 0.03, 0)], stop=stop, sgd=EVERYTHING)["0"].state["head.weight"].tobytes()
    )


@pytest.mark.parametrize(("model", "kind"), [("fcn", "neuron"), ("cnn", "elliptical")])
def test_training_with_shared_noise_interrupted_and_gone_on(digits, model, kind, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time
    stop = dataclasses.replace(STOP, budget=100)

    def runs():
        return [Run(str(seed), 0.03 * (seed + 1), seed) for seed in range(2)]

    train = partial(
        train_runs, digits, replicas=2, model=model, stop=stop, sgd=dataclasses.replace(EVERYTHING, noise_kind=kind)
    )
    whole = train(runs())
    for pieces in (5, 33):
        ended = interrupt_and_resume(train, runs, pieces)
        for name, each in whole.items():
            assert_equal(ended[name], each)
