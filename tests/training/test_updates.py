"""Momentum, weight decay and injected noise: against torch's own optimiser, in stacks, and over interruptions."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from sgdtails.errors import Interrupted
from sgdtails.models import building as models
from sgdtails.stable import sampling as stable
from sgdtails.training import averaging
from sgdtails.training import trainer as training
from sgdtails.training.engines import fully_connected, updates
from sgdtails.training.engines.updates import Sgd
from tests.training.test_averaging import averages, run
from tests.training.test_lanes import EVERYTHING, apart, build, images, lane, orders, plain  # noqa: F401
from tests.training.test_training import STOP, Keeper, assert_equal, digits, fleet  # noqa: F401


@pytest.mark.parametrize("sgd", [Sgd(momentum=0.9), Sgd(weight_decay=0.05), Sgd(momentum=0.5, weight_decay=0.01)])
@pytest.mark.parametrize(("name", "slots"), [("fcn", 1), ("fcn", 3), ("cnn", 1)])
def test_two_hundred_steps_are_those_of_torchs_optimiser(images, name, slots, sgd):  # noqa: F811
    tested, order = lane(name, images, slots=slots, sgd=sgd), orders(200, range(slots))
    for slot in range(slots):
        tested.put(slot, models.state(build(name, seed=slot)), 0.01 * (slot + 1))
    tested.advance(order)
    for slot in range(slots):
        more = {"momentum": sgd.momentum, "weight_decay": sgd.weight_decay}
        expected = plain(build(name, seed=slot), images, order[:, slot], 0.01 * (slot + 1), **more)
        assert apart(updates.weights(tested.get(slot)), expected) < 1e-11
        assert apart(models.state(build(name, seed=slot)), expected) > 0.01  # it has moved


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.9, 2.0])
def test_noise_is_stable(alpha):
    drawn = updates.stable_noise((50, 800), alpha, torch.Generator().manual_seed(1)).numpy().ravel()
    expected = stable.sample(alpha, 40_000, rng=np.random.default_rng(2))
    assert stats.ks_2samp(drawn, expected).pvalue > 0.01
    assert stats.ks_2samp(drawn, 1.1 * expected).pvalue < 0.01  # and the scale can be told


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_noise_is_scaled_and_multiplied_by_the_step_size(images, name):  # noqa: F811
    step_size, scale = 0.1, 5.0
    start, order = models.state(build(name)), orders(1, [0])
    ended = []
    for sgd in (Sgd(), Sgd(noise_scale=scale, noise_alpha=1.5)):
        tested = lane(name, images, sgd=sgd)
        tested.put(0, start, step_size, seed=3)
        tested.advance(order)
        ended.append(tested.get(0))
    moved = np.concatenate([(ended[1][key] - ended[0][key]).ravel() for key in start]) / (step_size * scale)
    expected = stable.sample(1.5, 40_000, rng=np.random.default_rng(0))
    assert stats.ks_2samp(moved, expected).pvalue > 0.01
    assert len(np.unique(moved)) == len(moved)  # every layer has its own


def test_seeds_give_other_noise_and_the_same_seed_the_same(images):  # noqa: F811
    ended = []
    for seed in (1, 1, 2):
        tested = lane("fcn", images, sgd=EVERYTHING)
        tested.put(0, models.state(build("fcn")), 0.1, seed)
        tested.advance(orders(20, [0]))
        ended.append(tested.get(0))
    assert apart(ended[0], ended[1]) == 0
    assert apart(updates.weights(ended[0]), updates.weights(ended[2])) > 0


@pytest.mark.parametrize("slots", [2, 3])
def test_a_member_of_a_stack_is_bit_equal_to_itself_alone(images, slots):  # noqa: F811
    alone, stacked = (lane("fcn", images, torch.float32, count, EVERYTHING) for count in (1, slots))
    order = orders(150, range(slots))
    for slot in range(slots):
        stacked.put(slot, models.state(build("fcn", slot, torch.float32)), 0.02 + 0.01 * slot, seed=slot)
    stacked.advance(order)
    for slot in range(slots):
        alone.put(0, models.state(build("fcn", slot, torch.float32)), 0.02 + 0.01 * slot, seed=slot)
        alone.advance(order[:, slot : slot + 1])
        for name, weight in alone.get(0).items():
            np.testing.assert_array_equal(weight, stacked.get(slot)[name])


@pytest.mark.parametrize("model", ["fcn", "cnn"])
@pytest.mark.parametrize("pieces", [5, 33, 75, 130])
def test_training_interrupted_anywhere_and_gone_on(digits, model, pieces, monkeypatch):  # noqa: F811
    """Several runs, which change slots as others end: velocities and noise go with them."""
    monkeypatch.setattr(fully_connected, "A_MOMENT", 1)  # a step at a time
    stop = dataclasses.replace(STOP, budget=200)
    runs = [training.Run(str(seed), 0.03 * (seed + 1), seed) for seed in range(3)]
    runs.append(training.Run("infinite", 1e30, 7))
    more = {"slots": 2, "model": model, "stop": stop, "sgd": EVERYTHING}
    whole = fleet(digits, [dataclasses.replace(each, history=[]) for each in runs], **more)
    assert len({each.outcome["status"] for each in whole.values()}) > 1
    keeper = Keeper(pieces)
    with pytest.raises(Interrupted):
        fleet(digits, [dataclasses.replace(each, history=[]) for each in runs], keeper=keeper, **more)
    saved = {each.name: each for each in keeper.saved} | keeper.finished
    left = [saved.get(each.name, each) for each in runs if each.name not in keeper.finished]
    ended = fleet(digits, left, **more) | keeper.finished
    for name, each in whole.items():
        assert_equal(ended[name], each)
        assert updates.weights(each.state) == each.state  # what is left at the end is a network


@pytest.mark.parametrize("pieces", [3, 17, 24, 49])
def test_averaging_interrupted_anywhere_and_gone_on(digits, pieces, monkeypatch):  # noqa: F811
    monkeypatch.setattr(fully_connected, "A_MOMENT", 1)
    length = {"burn_in": 20, "length": 30, "sgd": EVERYTHING}
    whole = run(digits, averages(digits, "fcn"), **length)["3"]
    assert set(whole.state) == set(averages(digits, "fcn")[0].load())
    keeper = Keeper(pieces)
    with pytest.raises(Interrupted):
        run(digits, averages(digits, "fcn"), keeper=keeper, **length)
    (saved,) = keeper.saved
    assert isinstance(saved, averaging.Average)
    resumed = run(digits, [dataclasses.replace(saved)], **length)["3"]
    for name, value in whole.state.items():
        assert value.tobytes() == resumed.state[name].tobytes()
        assert whole.mean[name].tobytes() == resumed.mean[name].tobytes()
