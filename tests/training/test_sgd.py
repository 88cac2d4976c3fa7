"""Momentum, weight decay and injected noise: against torch's own optimiser, in stacks, and over interruptions."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from sgdtails.errors import Interrupted
from sgdtails.models import building as models
from sgdtails.stable import sampling as stable
from sgdtails.training.average_run import Average
from sgdtails.training.engines import stacked_mlp
from sgdtails.training.engines.sgd import stable_noise, weights_only
from sgdtails.training.settings import SGDSettings
from sgdtails.training.trainer import Run
from tests.training.helpers import (
    EVERYTHING,
    STOP,
    MemoryCheckpointer,
    apart,
    assert_equal,
    average_runs,
    averages,
    batch_indices,
    build,
    build_engine,
    plain,
    train_runs,
)


@pytest.mark.parametrize(
    "sgd", [SGDSettings(momentum=0.9), SGDSettings(weight_decay=0.05), SGDSettings(momentum=0.5, weight_decay=0.01)]
)
@pytest.mark.parametrize(("name", "replicas"), [("fcn", 1), ("fcn", 3), ("cnn", 1)])
def test_two_hundred_steps_are_those_of_torchs_optimiser(images, name, replicas, sgd):
    tested, indices = build_engine(name, images, replicas=replicas, sgd=sgd), batch_indices(200, range(replicas))
    for replica in range(replicas):
        tested.put(replica, models.state(build(name, seed=replica)), 0.01 * (replica + 1))
    tested.advance(indices)
    for replica in range(replicas):
        more = {"momentum": sgd.momentum, "weight_decay": sgd.weight_decay}
        expected = plain(build(name, seed=replica), images, indices[:, replica], 0.01 * (replica + 1), **more)
        assert apart(weights_only(tested.get(replica)), expected) < 1e-11
        assert apart(models.state(build(name, seed=replica)), expected) > 0.01  # it has moved


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.9, 2.0])
def test_noise_is_stable(alpha):
    drawn = stable_noise((50, 800), alpha, torch.Generator().manual_seed(1)).numpy().ravel()
    expected = stable.sample(alpha, 40_000, rng=np.random.default_rng(2))
    assert stats.ks_2samp(drawn, expected).pvalue > 0.01
    assert stats.ks_2samp(drawn, 1.1 * expected).pvalue < 0.01  # and the scale can be told


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


@pytest.mark.parametrize("replicas", [2, 3])
def test_a_member_of_a_stack_is_bit_equal_to_itself_alone(images, replicas):
    alone, stacked = (build_engine("fcn", images, torch.float32, count, EVERYTHING) for count in (1, replicas))
    indices = batch_indices(150, range(replicas))
    for replica in range(replicas):
        stacked.put(replica, models.state(build("fcn", replica, torch.float32)), 0.02 + 0.01 * replica, seed=replica)
    stacked.advance(indices)
    for replica in range(replicas):
        alone.put(0, models.state(build("fcn", replica, torch.float32)), 0.02 + 0.01 * replica, seed=replica)
        alone.advance(indices[:, replica : replica + 1])
        for name, weight in alone.get(0).items():
            np.testing.assert_array_equal(weight, stacked.get(replica)[name])


@pytest.mark.parametrize("model", ["fcn", "cnn"])
@pytest.mark.parametrize("pieces", [5, 33, 75, 130])
def test_training_interrupted_anywhere_and_gone_on(digits, model, pieces, monkeypatch):
    """Several runs, which change replicas as others end: velocities and noise go with them."""
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time
    stop = dataclasses.replace(STOP, budget=200)
    runs = [Run(str(seed), 0.03 * (seed + 1), seed) for seed in range(3)]
    runs.append(Run("infinite", 1e30, 7))
    more = {"replicas": 2, "model": model, "stop": stop, "sgd": EVERYTHING}
    whole = train_runs(digits, [dataclasses.replace(each, history=[]) for each in runs], **more)
    assert len({each.outcome["status"] for each in whole.values()}) > 1
    checkpointer = MemoryCheckpointer(pieces)
    with pytest.raises(Interrupted):
        train_runs(digits, [dataclasses.replace(each, history=[]) for each in runs], checkpointer=checkpointer, **more)
    saved = {each.name: each for each in checkpointer.saved} | checkpointer.finished
    left = [saved.get(each.name, each) for each in runs if each.name not in checkpointer.finished]
    ended = train_runs(digits, left, **more) | checkpointer.finished
    for name, each in whole.items():
        assert_equal(ended[name], each)
        assert weights_only(each.state) == each.state  # what is left at the end is a network


@pytest.mark.parametrize("pieces", [3, 17, 24, 49])
def test_averaging_interrupted_anywhere_and_gone_on(digits, pieces, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)
    length = {"burn_in": 20, "length": 30, "sgd": EVERYTHING}
    whole = average_runs(digits, averages(digits, "fcn"), **length)["3"]
    assert set(whole.state) == set(averages(digits, "fcn")[0].load())
    checkpointer = MemoryCheckpointer(pieces)
    with pytest.raises(Interrupted):
        average_runs(digits, averages(digits, "fcn"), checkpointer=checkpointer, **length)
    (saved,) = checkpointer.saved
    assert isinstance(saved, Average)
    resumed = average_runs(digits, [dataclasses.replace(saved)], **length)["3"]
    for name, value in whole.state.items():
        assert value.tobytes() == resumed.state[name].tobytes()
        assert whole.mean[name].tobytes() == resumed.mean[name].tobytes()
