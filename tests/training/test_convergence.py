"""A cheap gate decides as a full pass does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdtails.models import building as models
from sgdtails.training import convergence, evaluation
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.convergence import ConvergenceCheck, max_input_norm
from sgdtails.training.settings import Stop
from tests.training.helpers import SPECS, STOP, engines_of


@pytest.mark.parametrize(
    ("iteration", "nll", "accuracy", "finite", "status"),
    [
        (20, 0.04, 1.0, True, "converged"),
        (20, 0.05, 1.0, True, None),
        (20, 0.04, 0.999, True, None),
        (20, float("nan"), 0.1, True, "diverged"),
        (20, float("inf"), 0.5, True, "diverged"),
        (20, 0.04, 1.0, False, "diverged"),
        (100, 2.3, 0.1, True, None),
        (200, 2.3, 0.1, True, "diverged"),
        (200, 2.3, 0.11, True, None),
        (220, 2.3, 0.1, True, None),  # not a row of the history
        (300, 2.3, 0.1, True, "diverged"),
        (1000, 2.3, 0.5, True, "budget"),
        (1000, 0.04, 1.0, True, "converged"),
    ],
)
def test_stop_rule(iteration, nll, accuracy, finite, status):
    assert STOP.status(iteration, nll, accuracy, finite) == status


def test_where_everything_is_evaluated():
    assert [i for i in range(0, 401, 20) if STOP.needs_full_pass(i)] == [0, 100, 200, 300, 400]
    assert STOP.needs_full_pass(1000)
    late = Stop(0.05, 1.0, 20, 10**6, chance_after=230, chance_accuracy=0.1, history=50)
    assert [i for i in range(0, 401, 20) if late.needs_full_pass(i)] == [0, 240]


class Scripted:
    """A split whose images are their own logits."""

    def __init__(self, logits, labels):
        self.logits = torch.as_tensor(logits, dtype=torch.float32)
        self.labels = torch.as_tensor(labels)
        self.seen = 0

    def __len__(self):
        return len(self.labels)

    def batch(self, index):
        return self.logits[index], self.labels[index]

    def network(self, logits):
        self.seen += len(logits)
        return logits


def decision(split, stop=STOP, *, before=None, lipschitz_bound=1.0):
    """What a cheap gate says: None if it proves that nothing ends here, else what the full pass then says."""
    check = ConvergenceCheck(split, stop, max_input_norm=1.0)
    if before is not None:
        check._losses = torch.as_tensor(before, dtype=torch.float64)
    found = check.quick_check(
        split.network, None if lipschitz_bound is None else torch.tensor(lipschitz_bound, dtype=torch.float64)
    )
    if check.extend(split.network, found.tolist()):
        return None
    return stop.status(20, *check.full_pass(split.network), True)


def full(split, stop=STOP):
    return stop.status(20, *evaluation.evaluate(split.network, split), True)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.0]), st.floats(-2, 2))
def test_decisions_equal_a_full_passs(seed, accuracy, nearness):
    """Networks around the threshold, losses last seen in any order, and all accuracies that may be asked for."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 600))
    logits = rng.standard_normal((n, 4)) + 3
    labels = rng.integers(0, 4, n)
    logits[np.arange(n), labels] += rng.choice([-1, 2, 8, 12], p=[0.002, 0.008, 0.29, 0.7], size=n)
    split = Scripted(logits, labels)
    nll, _ = evaluation.evaluate(split.network, split)
    stop = Stop(nll * 10**nearness if nll else 1e-9, accuracy, 20, 10**6, 10**6, 0.1, 10**6)
    assert decision(split, stop, before=rng.random(n)) == full(split, stop)


@pytest.mark.parametrize("rounding", [-1e-7, 0.0, 1e-7])
def test_on_the_threshold_itself_the_full_pass_decides(rounding):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 500)
    logits = rng.standard_normal((500, 4))
    logits[np.arange(500), labels] += 9
    split = Scripted(logits, labels)
    nll, _ = evaluation.evaluate(split.network, split)
    stop = Stop(nll * (1 + rounding), 1.0, 20, 10**6, 10**6, 0.1, 10**6)
    assert decision(split, stop) == full(split, stop) == ("converged" if rounding > 0 else None)


@pytest.mark.parametrize(("apart", "above", "proven"), [(1e-4, 1e-3, True), (1e-2, 1e-3, False), (1e-2, 0.1, True)])
def test_where_kernels_differ_by_more_a_proof_needs_more(monkeypatch, apart, above, proven):
    """In TF32 a look may be off by more than 1e-4: what is so near to the threshold only the full pass decides."""
    monkeypatch.setattr(convergence.devices, "rounding", lambda device: apart)
    labels = np.arange(500) % 4
    logits = 9 * np.eye(4)[labels]
    split = Scripted(logits, labels)
    nll, _ = evaluation.evaluate(split.network, split)
    stop = Stop(nll / (1 + above), 1.0, 20, 10**6, 10**6, 0.1, 10**6)
    check = ConvergenceCheck(split, stop, max_input_norm=1.0)
    found = check.quick_check(split.network, torch.tensor(1.0, dtype=torch.float64)).tolist()
    assert check.extend(split.network, found) == proven


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 499])
def test_what_is_not_finite_anywhere_is_found(value, where):
    """The easiest image alone overflows: no partial sum shows it, so its bound must have kept the gate from a proof."""
    logits = np.zeros((500, 4))
    logits[where] = value
    split = Scripted(logits, np.zeros(500, np.int64))
    before = np.ones(500)
    before[where] = 0.0
    for lipschitz_bound in (np.nan, np.inf, 1e31, None):
        assert decision(split, before=before, lipschitz_bound=lipschitz_bound) == full(split) == "diverged"


def test_a_gate_looks_at_few_images_while_there_are_errors():
    split = Scripted(np.tile([1, 0, 0, 0], (5000, 1)), np.r_[np.ones(50), np.zeros(4950)].astype(int))
    check = ConvergenceCheck(split, STOP, max_input_norm=1.0)
    check.full_pass(split.network)
    split.seen = 0
    assert check.proves(check.quick_check(split.network, torch.tensor(1.0)).tolist())
    assert split.seen == convergence.FIRST


def test_a_gate_looks_as_far_as_the_last_one_had_to():
    """No errors; the mean is twice the threshold, and half of all losses is in half of the images."""
    loss = 2 * STOP.train_nll
    gap = -np.log(np.expm1(loss) / 3)
    split = Scripted(np.tile([gap, 0, 0, 0], (5000, 1)), np.zeros(5000, int))
    check = ConvergenceCheck(split, STOP, max_input_norm=1.0)
    check.full_pass(split.network)
    counts = []
    for _ in range(3):
        split.seen = 0
        assert check.extend(split.network, check.quick_check(split.network, torch.tensor(1.0)).tolist())
        counts.append(split.seen)
    assert counts[0] == counts[1] == 4096
    assert counts[2] == 4096 * 3 // 4


def test_decisions_about_a_real_network_at_every_gate(digits):
    """A narrow network on digits, from chance to convergence: 60 gates, each decided both ways."""
    train = digits[1]
    stop = Stop(0.01, 1.0, 20, 10**6, 10**6, 0.1, 10**6)
    (engine,) = engines_of(digits)
    engine.put(0, models.state(models.build("fcn", digits[0].shape, 10, SPECS)), 0.3)
    check, sampler = ConvergenceCheck(train, stop, max_input_norm(train)), BatchSampler(len(train), 50, 0)
    said = []
    for number in range(60):
        engine.advance(sampler.take(20 * number, 20)[:, None])
        network = engine.network(0)
        cheap = check.extend(network, check.quick_check(network, engine.lipschitz_bound(0)).tolist())
        status = stop.status(20 * number, *evaluation.evaluate(network, train), True)
        assert status == (None if cheap else stop.status(20 * number, *check.full_pass(network), True))
        said.append((cheap, status))
    assert said[0] == (True, None)
    assert said[-1] == (False, "converged")
