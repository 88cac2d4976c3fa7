"""Injected noise: its scale and its seeds; and interruptions of SGD with momentum, weight decay and noise."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from scipy import stats

from sgdtails.models import building as models
from sgdtails.stable import sampling as stable
from sgdtails.training.engines import stacked_mlp
from sgdtails.training.engines.sgd import weights_only
from sgdtails.training.settings import SGDSettings
from sgdtails.training.trainer import Run
from tests.training.helpers import (
    EVERYTHING,
    STOP,
    apart,
    assert_equal,
    batch_indices,
    build,
    build_engine,
    interrupt_and_resume,
    train_runs,
)


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_noise_is_scaled_and_multiplied_by_the_step_size(images, name):
    step_size, scale = 0.1, 5.0
    start, indices = models.state(build(name)), batch_indices(1, [0])
    ended = []
    for sgd in (SGDSettings(), SGDSettings(noise_scale=scale, noise_alpha=1.5)):
        tested = build_engine(name, images, sgd=sgd)
        tested.put(0, start, step_size, seed=3)
        tested.advance(indices)
        ended.append(tested.get(0))
    moved = np.concatenate([(ended[1][key] - ended[0][key]).ravel() for key in start]) / (step_size * scale)
    expected = stable.sample(1.5, 40_000, rng=np.random.default_rng(0))
    assert stats.ks_2samp(moved, expected).pvalue > 0.01
    assert len(np.unique(moved)) == len(moved)  # every layer has its own


def test_seeds_give_other_noise_and_the_same_seed_the_same(images):
    ended = []
    for seed in (1, 1, 2):
        tested = build_engine("fcn", images, sgd=EVERYTHING)
        tested.put(0, models.state(build("fcn")), 0.1, seed)
        tested.advance(batch_indices(20, [0]))
        ended.append(tested.get(0))
    assert apart(ended[0], ended[1]) == 0
    assert apart(weights_only(ended[0]), weights_only(ended[2])) > 0


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_training_interrupted_anywhere_and_gone_on(digits, model, monkeypatch):
    """Several runs, which change replicas as others end: velocities and noise go with them."""
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time
    stop = dataclasses.replace(STOP, budget=200)

    def runs():
        return [*(Run(str(seed), 0.03 * (seed + 1), seed) for seed in range(3)), Run("infinite", 1e30, 7)]

    train = partial(train_runs, digits, replicas=2, model=model, stop=stop, sgd=EVERYTHING)
    whole = train(runs())
    assert len({each.outcome["status"] for each in whole.values()}) > 1
    for pieces in (5, 33, 75, 130):
        ended = interrupt_and_resume(train, runs, pieces)
        for name, each in whole.items():
            assert_equal(ended[name], each)
            assert weights_only(each.state) == each.state  # what is left at the end is a network
