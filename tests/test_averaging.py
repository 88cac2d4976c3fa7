import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch

from sgdtails import averaging, fully_connected, lane_builder, models, training, updates
from sgdtails.errors import Interrupted
from sgdtails.progress import Progress
from tests.test_training import SPECS, Keeper, digits  # noqa: F401


def run(digits, runs, *, model="fcn", slots=1, burn_in=4, length=5, keeper=None, sgd=updates.PLAIN):  # noqa: F811
    dataset, train, test = digits
    keeper = keeper or Keeper()
    rows = lane_builder.build(
        SPECS[model], lambda: models.build(model, dataset.shape, 10, SPECS), train, batch_size=50, slots=slots, sgd=sgd
    )
    lengths = {"burn_in": burn_in, "length": length}
    averaging.average(runs, rows, train, test, batch_size=50, **lengths, keeper=keeper, progress=Progress(1))
    return keeper.finished


def _state(model, shape, seed):
    return models.state(models.build(model, shape, 10, SPECS, seed=seed))


def averages(digits, model, seeds=(3,)):  # noqa: F811
    dataset, _, _ = digits
    return [averaging.Average(str(s), 0.1, s, 30, partial(_state, model, dataset.shape, s)) for s in seeds]


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_average_is_the_mean_of_the_iterates_after_burn_in(digits, model):  # noqa: F811
    dataset, train, _ = digits

    def build():
        return models.build(model, dataset.shape, 10, SPECS)

    (lane,) = lane_builder.build(SPECS[model], build, train, batch_size=50, slots=1)
    (start,) = averages(digits, model)
    lane.put(0, start.load(), 0.1)
    iterates = []
    for index in training.Order(len(train), 50, 3).take(30, 9):
        lane.advance(index[None, None])
        iterates.append(lane.get(0))
    result = run(digits, [start], model=model)["3"]
    for name, value in result.state.items():
        expected = np.mean([iterate[name].astype(np.float64) for iterate in iterates[4:]], axis=0)
        np.testing.assert_allclose(value, expected, rtol=2**-24, atol=0)  # one rounding to float32
    assert result.outcome["status"] == "averaged"
    assert 0 <= result.outcome["average_test_accuracy"] <= 1


class Scaled(torch.nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.5))
        self.head = torch.nn.Linear(math.prod(input_shape), classes)

    def forward(self, images):
        return self.scale * self.head(images.flatten(1))


@pytest.mark.parametrize("sgd", [updates.PLAIN, updates.Sgd(noise_scale=1e-3, noise_alpha=1.8)])
def test_a_parameter_of_one_number(digits, monkeypatch, sgd):  # noqa: F811
    monkeypatch.setitem(SPECS, "scaled", {"factory": f"{__name__}.Scaled"})
    result = run(digits, averages(digits, "scaled"), model="scaled", sgd=sgd)["3"]
    assert result.outcome["status"] == "averaged"
    assert result.state["scale"].shape == ()
    assert result.state["scale"] != 0.5


def test_side_by_side_and_alone(digits):  # noqa: F811
    together = run(digits, averages(digits, "fcn", range(5)), slots=2, burn_in=210, length=30)
    for each in averages(digits, "fcn", range(5)):
        alone = run(digits, [each], burn_in=210, length=30)[each.name]
        assert alone.outcome == together[each.name].outcome
        for name, value in alone.state.items():
            assert value.tobytes() == together[each.name].state[name].tobytes()


@pytest.mark.parametrize("model", ["fcn", "cnn"])
@pytest.mark.parametrize("pieces", [3, 17, 20, 21, 31, *range(48, 53)])
def test_interrupted_anywhere_and_gone_on(digits, model, pieces, monkeypatch):  # noqa: F811
    monkeypatch.setattr(fully_connected, "A_MOMENT", 1)  # a step at a time
    whole = run(digits, averages(digits, model), model=model, burn_in=20, length=30)["3"]
    keeper = Keeper(pieces)
    with pytest.raises(Interrupted):
        run(digits, averages(digits, model), model=model, burn_in=20, length=30, keeper=keeper)
    (saved,) = keeper.saved
    assert 0 < saved.taken <= 50
    resumed = run(digits, [dataclasses.replace(saved)], model=model, burn_in=20, length=30)["3"]
    assert resumed.outcome == whole.outcome
    for name, value in whole.state.items():
        assert value.tobytes() == resumed.state[name].tobytes()


def test_leaving_the_finite_numbers_is_a_result(digits):  # noqa: F811
    (one,) = averages(digits, "fcn")
    outcome = run(digits, [dataclasses.replace(one, step_size=1e30)])["3"].outcome
    assert outcome == {"status": "diverged", "average_test_accuracy": None}


def test_no_burn_in(digits):  # noqa: F811
    assert run(digits, averages(digits, "fcn"), burn_in=0, length=1)["3"].outcome["status"] == "averaged"
