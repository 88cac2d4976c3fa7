"""A cheap gate decides as a full pass does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdtails.data import datasets as data
from sgdtails.data import sources
from sgdtails.training import evaluation, gates
from sgdtails.training.gates import Gate, Stop

STOP = Stop(
    **{"train_nll": 0.05, "train_accuracy": 1.0, "gate": 20, "budget": 1000, "chance_after": 200},
    **{"chance_accuracy": 0.1, "history": 5},
)


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
    assert [i for i in range(0, 401, 20) if STOP.full(i)] == [0, 100, 200, 300, 400]
    assert STOP.full(1000)
    late = Stop(0.05, 1.0, 20, 10**6, chance_after=230, chance_accuracy=0.1, history=50)
    assert [i for i in range(0, 401, 20) if late.full(i)] == [0, 240]


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


def decision(split, stop=STOP, *, before=None, growth=1.0):
    """What a cheap gate says: None if it proves that nothing ends here, else what the full pass then says."""
    gate = Gate(split, stop, reach=1.0)
    if before is not None:
        gate._seen = torch.as_tensor(before, dtype=torch.float64)
    look = gate.look(split.network, None if growth is None else torch.tensor(growth, dtype=torch.float64))
    if gate.proof(split.network, look.tolist()):
        return None
    return stop.status(20, *gate.pass_over(split.network), True)


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
    monkeypatch.setattr(gates.devices, "rounding", lambda device: apart)
    labels = np.arange(500) % 4
    logits = 9 * np.eye(4)[labels]
    split = Scripted(logits, labels)
    nll, _ = evaluation.evaluate(split.network, split)
    stop = Stop(nll / (1 + above), 1.0, 20, 10**6, 10**6, 0.1, 10**6)
    gate = Gate(split, stop, reach=1.0)
    found = gate.look(split.network, torch.tensor(1.0, dtype=torch.float64)).tolist()
    assert gate.proof(split.network, found) == proven


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 499])
def test_what_is_not_finite_anywhere_is_found(value, where):
    """The easiest image alone overflows: no partial sum shows it, so its bound must have kept the gate from a proof."""
    logits = np.zeros((500, 4))
    logits[where] = value
    split = Scripted(logits, np.zeros(500, np.int64))
    before = np.ones(500)
    before[where] = 0.0
    for growth in (np.nan, np.inf, 1e31, None):
        assert decision(split, before=before, growth=growth) == full(split) == "diverged"


def test_a_gate_looks_at_few_images_while_there_are_errors():
    split = Scripted(np.tile([1, 0, 0, 0], (5000, 1)), np.r_[np.ones(50), np.zeros(4950)].astype(int))
    gate = Gate(split, STOP, reach=1.0)
    gate.pass_over(split.network)
    split.seen = 0
    assert gate.proves(gate.look(split.network, torch.tensor(1.0)).tolist())
    assert split.seen == gates.FIRST


def test_a_gate_looks_as_far_as_the_last_one_had_to():
    """No errors; the mean is twice the threshold, and half of all losses is in half of the images."""
    loss = 2 * STOP.train_nll
    gap = -np.log(np.expm1(loss) / 3)
    split = Scripted(np.tile([gap, 0, 0, 0], (5000, 1)), np.zeros(5000, int))
    gate = Gate(split, STOP, reach=1.0)
    gate.pass_over(split.network)
    counts = []
    for _ in range(3):
        split.seen = 0
        assert gate.proof(split.network, gate.look(split.network, torch.tensor(1.0)).tolist())
        counts.append(split.seen)
    assert counts[0] == counts[1] == 4096
    assert counts[2] == 4096 * 3 // 4


def test_rows_of_a_real_network_at_every_gate():
    """A narrow network on digits, from chance to convergence: 60 gates, each decided both ways."""
    from sgdtails.models import building as models
    from sgdtails.training import trainer as training
    from sgdtails.training.engines import lane_builder

    dataset = sources.load("digits", {"kind": "digits"}, root="nowhere", download=False)
    train, _ = data.splits(dataset, torch.device("cpu"))
    stop = Stop(0.01, 1.0, 20, 10**6, 10**6, 0.1, 10**6)
    spec = {"fcn": [16]}
    (lane,) = lane_builder.build(
        spec, lambda: models.build("m", dataset.shape, 10, {"m": spec}), train, batch_size=50, slots=1
    )
    lane.put(0, models.state(models.build("m", dataset.shape, 10, {"m": spec})), 0.3)
    gate, order = Gate(train, stop, training.largest_norm(train)), training.Order(len(train), 50, 0)
    said = []
    for number in range(60):
        lane.advance(order.take(20 * number, 20)[:, None])
        network = lane.network(0)
        cheap = gate.proof(network, gate.look(network, lane.growth(0)).tolist())
        status = stop.status(20 * number, *evaluation.evaluate(network, train), True)
        assert status == (None if cheap else stop.status(20 * number, *gate.pass_over(network), True))
        said.append((cheap, status))
    assert said[0] == (True, None)
    assert said[-1] == (False, "converged")
