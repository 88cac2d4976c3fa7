import dataclasses
import math
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch

from sgdtails.config.run_table import NOISE_KINDS
from sgdtails.errors import Interrupted
from sgdtails.schemas import run_schemas
from sgdtails.training import evaluation
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import stacked_mlp
from sgdtails.training.settings import PLAIN_SGD, SGDSettings
from tests.training.helpers import (
    EVERYTHING,
    SPECS,
    STOP,
    MemoryCheckpointer,
    assert_equal,
    average_runs,
    averages,
    count_calls,
    engines_of,
    interrupt_and_resume,
    same_bytes,
)


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_average_is_the_mean_of_the_iterates_after_burn_in(digits, model):
    (engine,) = engines_of(digits, model)
    (start,) = averages(digits, model)
    engine.put(0, start.load(), 0.1)
    iterates = []
    for index in BatchSampler(len(digits[1]), 50, 3).take(30, 9):
        engine.advance(index[None, None])
        iterates.append(engine.get(0))
    result = average_runs(digits, [start], model=model)["3"]
    for name, value in result.mean.items():
        assert result.state[name].tobytes() == iterates[-1][name].tobytes()
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


NOISY = {kind: SGDSettings(noise_scale=1e-3, noise_alpha=1.8, noise_kind=kind) for kind in NOISE_KINDS}


@pytest.mark.parametrize("sgd", [PLAIN_SGD, *NOISY.values()])
def test_a_parameter_of_one_number(digits, monkeypatch, sgd):
    monkeypatch.setitem(SPECS, "scaled", {"factory": f"{__name__}.Scaled"})
    result = average_runs(digits, averages(digits, "scaled"), model="scaled", sgd=sgd)["3"]
    assert result.outcome["status"] == "averaged"
    assert result.mean["scale"].shape == ()
    assert result.mean["scale"] != result.state["scale"] != 0.5


def test_side_by_side_and_alone(digits):
    together = average_runs(digits, averages(digits, "fcn", range(5)), replicas=2, burn_in=210, length=30)
    for each in averages(digits, "fcn", range(5)):
        alone = average_runs(digits, [each], burn_in=210, length=30)[each.name]
        assert_equal(alone, together[each.name])


def test_weights_stay_in_their_replicas_while_they_are_averaged(digits, monkeypatch):
    """In at the beginning, out when the average is made; the average goes in, to be evaluated."""
    calls = count_calls(monkeypatch, stacked_mlp.StackedMLPEngine, "put", "get", "sum_of", "put_sums")
    average_runs(digits, averages(digits, "fcn", range(5)), replicas=3, burn_in=210, length=30)
    assert sorted(calls) == ["get"] * 5 + ["put"] * 10 + ["sum_of"] * 5


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_velocities_and_noise_stay_with_runs_as_others_end(digits, kind):
    sgd = dataclasses.replace(NOISY[kind], momentum=0.5)
    runs = [dataclasses.replace(one, step_size=0.03 * (3 - int(one.name))) for one in averages(digits, "fcn", range(3))]
    stop = dataclasses.replace(STOP, train_nll=0.3, train_accuracy=0.9, gate=10, budget=30 + 300)
    more = {"sgd": sgd, "stop": stop, **GOES_ON}
    together = average_runs(digits, [dataclasses.replace(one) for one in runs], replicas=3, **more)
    lengths = [together[one.name].outcome["last_iterations"] for one in runs]
    assert lengths[0] < max(lengths[1:])  # the first one ends first, and others move to its replica
    for one in runs:
        assert_equal(average_runs(digits, [one], **more)[one.name], together[one.name])


@pytest.mark.parametrize(
    ("model", "sgd"), [("fcn", PLAIN_SGD), ("fcn", EVERYTHING), ("cnn", PLAIN_SGD)], ids=["fcn", "fcn-noise", "cnn"]
)
def test_interrupted_anywhere_and_gone_on(digits, model, sgd, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time
    average = partial(average_runs, digits, model=model, burn_in=20, length=30, sgd=sgd)
    runs = partial(averages, digits, model)
    whole = average(runs())["3"]
    assert set(whole.state) == set(runs()[0].load())  # what is left at the end is a network
    for pieces in (3, 17, 20, 21, 31, *range(48, 53)):
        assert_equal(interrupt_and_resume(average, runs, pieces)["3"], whole)


def test_leaving_the_finite_numbers_is_a_result(digits):
    (one,) = averages(digits, "fcn")
    outcome = average_runs(digits, [dataclasses.replace(one, step_size=1e30)])["3"].outcome
    assert outcome == {"status": "diverged"} | dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)


def test_no_burn_in(digits):
    assert average_runs(digits, averages(digits, "fcn"), burn_in=0, length=1)["3"].outcome["status"] == "averaged"


GOES_ON = {"burn_in": 20, "length": 33, "until_converged": True}


def followed(digits, one, *, gate, most):
    """NLL and accuracy on the training set after 53 steps and at each gate after them, by full passes, and the iterates."""
    train = digits[1]
    (engine,) = engines_of(digits)
    engine.put(0, one.load(), one.step_size)
    order, found = BatchSampler(len(train), 50, one.seed), {}
    for taken in range(1, most + 1):
        engine.advance(order.take(one.begin + taken - 1, 1)[:, None])
        if taken == 53 or (taken > 53 and taken % gate == 0):
            found[taken] = (*evaluation.evaluate(engine.network(0), train), engine.get(0))
    return found


def test_the_last_iterate_is_that_of_the_first_gate_where_the_run_is_converged(digits):
    """Runs of other seeds and step sizes end elsewhere, and leave the others as they are."""
    runs = [dataclasses.replace(one, step_size=0.05 * (1 + int(one.name))) for one in averages(digits, "fcn", range(4))]
    looks = {one.name: followed(digits, one, gate=10, most=400) for one in runs}
    # A threshold that one of them meets at the end of its averages, and others later or not at all.
    threshold = sorted(nll for found in looks.values() for nll, *_ in found.values())[len(looks["0"])]
    stop = dataclasses.replace(STOP, train_nll=threshold, train_accuracy=0.5, gate=10, budget=30 + 395)
    ended = average_runs(digits, [dataclasses.replace(one) for one in runs], replicas=3, stop=stop, **GOES_ON)
    averaged = average_runs(
        digits, [dataclasses.replace(one) for one in runs], replicas=3, stop=stop, burn_in=20, length=33
    )
    assert len({each.outcome["last_iterations"] for each in ended.values()}) > 2
    assert {each.outcome["last_converged"] for each in ended.values()} == {True, False}
    for name, found in looks.items():
        outcome = ended[name].outcome
        taken = next((taken for taken, (nll, *_) in found.items() if nll < threshold), 400)
        nll, accuracy, state = found[taken]
        assert outcome["last_iterations"] == 30 + taken
        assert outcome["last_converged"] == (nll < threshold)
        assert (outcome["last_train_nll"], outcome["last_train_accuracy"]) == (nll, accuracy)
        assert same_bytes(ended[name].state, state)
        # The average is of the same iterates wherever the last one is.
        at_once = averaged[name]
        assert (at_once.outcome["last_iterations"], at_once.outcome["last_train_nll"]) == (30 + 53, found[53][0])
        assert at_once.outcome["average_test_accuracy"] == outcome["average_test_accuracy"]
        assert same_bytes(at_once.mean, ended[name].mean)


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_going_on_to_a_gate_interrupted_anywhere(digits, model, monkeypatch):
    """Also within the passes over the images, by which the end is found; and again and again."""
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)
    stop = dataclasses.replace(STOP, train_nll=1e-9, gate=10, budget=30 + 90)
    more = {"model": model, "replicas": 2, "stop": stop, **GOES_ON}
    whole = average_runs(digits, averages(digits, model, (3, 4, 5)), **more)
    assert {each.outcome["last_iterations"] for each in whole.values()} == {120}
    for pieces in (53, 56, 59, 61, 75, 103):
        runs, ended = averages(digits, model, (3, 4, 5)), {}
        for attempt in range(100):
            checkpointer = MemoryCheckpointer(pieces + attempt)
            with suppress(Interrupted):
                average_runs(digits, [dataclasses.replace(one) for one in runs], checkpointer=checkpointer, **more)
            ended |= checkpointer.finished
            saved = {each.name: each for each in checkpointer.saved}
            runs = [saved.get(each.name, each) for each in runs if each.name not in ended]
            if not runs:
                break
        assert attempt > 0
        for name, each in whole.items():
            assert_equal(ended[name], each)


def test_leaving_the_finite_numbers_after_the_average_is_divergence(digits):
    (one,) = averages(digits, "fcn")
    stop = dataclasses.replace(STOP, train_nll=1e-9, gate=10, budget=10**6)

    class Unstable(MemoryCheckpointer):
        """The network is infinite in a checkpoint of its way to a gate."""

        def save(self, saved):
            super().save(saved)
            self.pieces = 0

    checkpointer = Unstable()
    with pytest.raises(Interrupted):
        average_runs(digits, [one], checkpointer=checkpointer, stop=stop, **GOES_ON)
    saved = checkpointer.saved[-1]
    assert saved.mean is not None
    saved.state = {name: np.full_like(value, np.inf) for name, value in saved.state.items()}
    ended = average_runs(digits, [dataclasses.replace(saved)], stop=stop, **GOES_ON)["3"]
    assert ended.outcome == {"status": "diverged"} | dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)
