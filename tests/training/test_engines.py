"""Every way to step against the plain one: a module, autograd and torch's own optimiser."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from sgdtails.errors import UserCodeError
from sgdtails.models import building as models
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import base, stacked_mlp, wide_matrix
from sgdtails.training.engines.cuda_graph import CudaGraphRunner
from sgdtails.training.engines.module import ModuleEngine
from sgdtails.training.engines.sgd import weights_only
from sgdtails.training.settings import PLAIN_SGD, SGDSettings
from tests.training.helpers import BATCH, EVERYTHING, N, apart, batch_indices, build, build_engine, plain, same_bytes


@pytest.mark.parametrize(
    ("sgd", "step_size", "tolerance"),
    [
        (PLAIN_SGD, 0.02, 1e-12),
        (SGDSettings(momentum=0.9), 0.01, 1e-11),
        (SGDSettings(weight_decay=0.05), 0.01, 1e-11),
        (SGDSettings(momentum=0.5, weight_decay=0.01), 0.01, 1e-11),
    ],
    ids=["plain", "momentum", "decay", "both"],
)
@pytest.mark.parametrize(("name", "replicas"), [("fcn", 1), ("fcn", 3), ("cnn", 1)])
def test_two_hundred_steps_are_those_of_torchs_optimiser(images, name, replicas, sgd, step_size, tolerance):
    """In float64, at step sizes that are stable: at larger ones one rounding grows exponentially, to 1e-10 at 0.2."""
    tested, indices = build_engine(name, images, replicas=replicas, sgd=sgd), batch_indices(200, range(replicas))
    for replica in range(replicas):
        tested.put(replica, models.state(build(name, seed=replica)), step_size * (replica + 1))
    tested.advance(indices)
    more = {"momentum": sgd.momentum, "weight_decay": sgd.weight_decay}
    for replica in range(replicas):
        start, rate = build(name, seed=replica), step_size * (replica + 1)
        expected = plain(start, images, indices[:, replica], rate, **more)
        assert apart(weights_only(tested.get(replica)), expected) < tolerance
        assert apart(models.state(build(name, seed=replica)), expected) > 0.01  # it has moved


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("name", ["fcn", "cnn"])
@pytest.mark.parametrize("steps_before", [0, 2000])
def test_one_step_in_single_precision(images, name, steps_before, onednn, monkeypatch):
    """From random weights, and from weights whose losses are almost zero."""
    monkeypatch.setattr(stacked_mlp, "ONEDNN_FROM", 1 if onednn else 10**6)
    start = plain(build(name), images, batch_indices(steps_before, [0])[:, 0], 0.2)
    if steps_before:
        model = build(name)
        models.load(model, start)
        assert cross_entropy(model(images[0]), images[1]).item() < 1e-3
    start = {key: value.astype(np.float32) for key, value in start.items()}
    tested = build_engine(name, images, torch.float32)
    indices = batch_indices(1, [5])
    tested.put(0, start, 0.2)
    tested.advance(indices)
    model = build(name, dtype=torch.float32)
    models.load(model, start)
    assert apart(tested.get(0), plain(model, (images[0].float(), images[1]), indices[:, 0], 0.2)) < 1e-6


@pytest.mark.parametrize(
    ("sgd", "step_size", "more"), [(PLAIN_SGD, 0.1, 1.0), (EVERYTHING, 0.02, 0.01)], ids=["plain", "noise"]
)
@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_a_member_of_a_stack_is_bit_equal_to_itself_alone(images, replicas, sgd, step_size, more):
    alone, stacked = (build_engine("fcn", images, torch.float32, count, sgd) for count in (1, replicas))
    indices = batch_indices(150, range(replicas))
    starts = [models.state(build("fcn", replica, torch.float32)) for replica in range(replicas)]
    for replica, start in enumerate(starts):
        stacked.put(replica, start, step_size + more * replica, seed=replica)
    stacked.advance(indices)
    for replica, start in enumerate(starts):
        alone.put(0, start, step_size + more * replica, seed=replica)
        alone.advance(indices[:, replica : replica + 1])
        assert same_bytes(alone.get(0), stacked.get(replica))


def test_replicas_that_stand_still_and_replicas_not_in_use_keep_their_bytes(images):
    tested = build_engine("fcn", images, torch.float32, replicas=3)
    states = [models.state(build("fcn", seed, torch.float32)) for seed in range(3)]
    for replica, step_size in enumerate((0.1, 0.0, 0.1)):
        tested.put(replica, states[replica], step_size)
    tested.advance(batch_indices(50, [0, 1]))
    for replica in (1, 2):
        for name, weight in states[replica].items():
            assert weight.tobytes() == tested.get(replica)[name].tobytes()


@pytest.mark.parametrize("sgd", [PLAIN_SGD, EVERYTHING])
def test_a_network_goes_on_in_another_replica_as_if_it_had_stayed(images, sgd):
    """With its velocities, its noise, its step size and its sums, onto a replica that held another's."""
    moved, stayed = (build_engine("fcn", images, torch.float32, replicas=4, sgd=sgd) for _ in range(2))
    for each in (moved, stayed):
        for replica in range(4):
            each.put(replica, models.state(build("fcn", replica, torch.float32)), 0.05 * (replica + 1), seed=replica)
        each.accumulate(True)
        each.advance(batch_indices(30, range(4)))
    moved.move(3, 1)
    moved.clear(3)
    moved.advance(batch_indices(30, [0, 3, 2]))
    stayed.advance(batch_indices(30, range(4)))
    for there, before in ((0, 0), (1, 3), (2, 2)):
        for found in (base.Engine.get, base.Engine.sum_of):
            here, expected = (getattr(each, found.__name__)(n) for each, n in ((moved, there), (stayed, before)))
            assert same_bytes(here, expected)


@pytest.mark.parametrize(("name", "replicas"), [("fcn", 2), ("cnn", 1)])
def test_a_cleared_replica_is_zero_and_stands_still(images, name, replicas):
    tested, last = build_engine(name, images, torch.float32, replicas, SGDSettings(momentum=0.9)), replicas - 1
    for replica in range(replicas):
        tested.put(replica, models.state(build(name, replica, torch.float32)), 1e30)
    tested.advance(batch_indices(20, range(replicas)))
    assert not tested.finite(last)
    tested.clear(last)
    assert tested.finite(last)
    tested.advance(batch_indices(20, range(replicas)))
    assert not any(value.any() for value in tested.get(last).values())
    assert replicas == 1 or not tested.finite(0)


def test_runs_that_stay_move_up_in_their_order(images):
    tested, runs = build_engine("fcn", images, torch.float32, replicas=5), list("abcde")
    states = {run: models.state(build("fcn", ord(run), torch.float32)) for run in runs}
    for replica, run in enumerate(runs):
        tested.put(replica, states[run], 0.1)
    base.close_up(tested, runs, lambda run: run in "bde")
    assert runs == list("bde")
    for replica, run in enumerate(runs):
        for name, value in states[run].items():
            np.testing.assert_array_equal(tested.get(replica)[name], value)
    assert not any(value.any() for replica in (3, 4) for value in tested.get(replica).values())


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "replicas"), [("fcn", 2), ("cnn", 1)])
def test_one_number_that_is_not_finite_is_found(images, name, replicas, broken):
    tested = build_engine(name, images, torch.float32, replicas)
    for key in build(name).state_dict():
        for replica in range(replicas):
            tested.put(replica, models.state(build(name, dtype=torch.float32)), 0.1)
        assert all(tested.finite(replica) for replica in range(replicas))
        state = models.state(build(name, dtype=torch.float32))
        state[key].flat[-1] = broken
        tested.put(0, state, 0.1)
        assert [bool(tested.finite(replica)) for replica in range(replicas)] == [False, True][:replicas]


def test_a_module_with_other_numbers_than_floating_ones(images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 5), torch.nn.BatchNorm1d(5))
    model.register_buffer("mask", torch.tensor([True, False]))
    model.register_buffer("nothing", torch.zeros(0))
    tested = ModuleEngine(model.double(), *images, batch_size=BATCH)
    assert tested.finite(0)
    model[2].running_var.fill_(torch.inf)
    assert not tested.finite(0)
    tested.clear(0)
    assert not any(value.any() for value in tested.get(0).values())


def test_what_is_infinite_in_one_replica_stays_there(images):
    tested = build_engine("fcn", images, torch.float32, replicas=2)
    for replica, step_size in enumerate((1e30, 0.1)):
        tested.put(replica, models.state(build("fcn", replica, torch.float32)), step_size)
    tested.advance(batch_indices(60, [0, 1]))
    assert not base.is_finite(tested.get(0))
    assert base.is_finite(tested.get(1))


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_growth_bounds_the_logits(images, name):
    inputs, _ = images
    tested = build_engine(name, images)
    for seed in range(5):
        tested.put(0, models.state(build(name, seed)), 0.1)
        logits = tested.network(0)(inputs)
        ratio = logits.norm(dim=1) / inputs.flatten(1).norm(dim=1)
        bound = tested.lipschitz_bound(0).item()
        assert ratio.max().item() <= bound < 1e6


def test_growth_of_a_module_of_ones_own_is_not_known(images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 5))  # a bias
    assert ModuleEngine(model.double(), *images, batch_size=BATCH).lipschitz_bound(0) is None
    overlapping = torch.nn.MaxPool2d(3, stride=1), torch.nn.Flatten(), torch.nn.Linear(72, 5, bias=False)
    pool = torch.nn.Sequential(*overlapping).double()
    assert ModuleEngine(pool, *images, batch_size=BATCH).lipschitz_bound(0) is None


def test_sums_are_of_every_iterate(images):
    for name, replicas in (("fcn", 2), ("cnn", 1)):
        tested, reference = (build_engine(name, images, replicas=replicas) for _ in range(2))
        for each in (tested, reference):
            for replica in range(replicas):
                each.put(replica, models.state(build(name, replica)), 0.1)
        indices = batch_indices(7, range(replicas))
        tested.accumulate(True)
        tested.advance(indices)
        iterates = []
        for index in indices:
            reference.advance(index[None])
            iterates.append([reference.get(replica) for replica in range(replicas)])
        for replica in range(replicas):
            for key, total in tested.sum_of(replica).items():
                np.testing.assert_allclose(total, sum(states[replica][key] for states in iterates), rtol=1e-14)


def test_engines_take_turns_and_stop_between_pieces(images, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time
    two = [build_engine("fcn", images), build_engine("fcn", images)]
    asked = iter([False, False, True])
    assert base.interleave([(one, batch_indices(9, [0])) for one in two], lambda: next(asked)) == [2, 2]
    assert base.interleave(zip(two, (batch_indices(3, [0]), batch_indices(5, [0])), strict=True), lambda: False) == [
        3,
        5,
    ]


@pytest.fixture(scope="module")
def wide_images():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (N,), generator=generator)
    noise = torch.randn(N, 3, 16, 16, generator=generator, dtype=torch.float64)
    return noise + labels[:, None, None, None] * 0.3, labels


@pytest.fixture(params=[1, 2])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


def wide_model(dtype=torch.float64):
    """Two threads share all its matrices but the last one's; two blocks a share, or more, and an unequal one."""
    return models.build("wide", (3, 16, 16), 5, {"wide": {"fcn": [1100, 700]}}, seed=0).to(dtype)


def wide_engine(images, batch):
    shapes = {key: tuple(weight.shape) for key, weight in wide_model().state_dict().items()}
    tested = stacked_mlp.StackedMLPEngine(shapes, images[0].float(), images[1], batch_size=batch, replicas=1)
    tested.put(0, models.state(wide_model(torch.float32)), 0.05)
    return tested


def wide_indices(steps, batch):
    return BatchSampler(N, batch, 3).take(0, steps)


@pytest.mark.parametrize("batch", [50, 100])
def test_steps_of_a_wide_network_are_the_plain_loops(wide_images, threads, batch, monkeypatch):
    """In float32 against float64: from the same weights, one step is as exact as its products."""
    monkeypatch.setattr(wide_matrix, "BLOCK", 2**17)
    tested, indices = wide_engine(wide_images, batch), wide_indices(1, batch)
    tested.advance(indices[:, None])
    start = wide_model(torch.float32).double()  # float32's weights
    expected = plain(start, wide_images, indices, 0.05)
    assert apart(tested.get(0), expected) < 1e-6
    assert apart(models.state(wide_model()), expected) > 1e-3  # it has moved
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("batch", [50, 100])
def test_steps_of_a_wide_network_are_the_same_bytes_again(wide_images, threads, batch):
    first, second = (wide_engine(wide_images, batch) for _ in range(2))
    indices = wide_indices(6, batch)[:, None]
    first.advance(indices)
    for piece in indices.split(2):
        second.advance(piece)
    for name, weight in first.get(0).items():
        assert weight.tobytes() == second.get(0)[name].tobytes()


def test_sums_of_a_wide_networks_iterates(wide_images, threads):
    tested, reference = (wide_engine(wide_images, BATCH) for _ in range(2))
    indices, totals = wide_indices(3, BATCH)[:, None], []
    tested.accumulate(True)
    tested.advance(indices)
    for index in indices:
        reference.advance(index[None])
        totals.append(reference.get(0))
    for name, total in tested.sum_of(0).items():
        np.testing.assert_array_equal(total, sum(state[name].astype(np.float64) for state in totals))


def test_torch_has_its_threads_back_after_an_error_in_a_step(wide_images, threads):
    with pytest.raises(IndexError):
        wide_engine(wide_images, BATCH).advance(torch.full((1, 1, BATCH), N))
    assert torch.get_num_threads() == threads


def test_rows_are_shared_out_unless_they_are_few(monkeypatch):
    pieces, linear = [], wide_matrix.linear
    monkeypatch.setattr(wide_matrix, "linear", lambda rows, inputs: pieces.append(len(rows)) or linear(rows, inputs))
    with wide_matrix.one_thread_each():
        for rows, threads, expected in ((600, 1, [600]), (600, 2, [300, 300]), (10, 2, [10])):
            pieces.clear()
            wide_matrix.WideMatrix(torch.ones(rows, 8), threads).forward(torch.ones(4, 8))
            assert pieces == expected


class Capture:
    """A capture as torch ends it after an error inside: with another error."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize(
    "error", [UserCodeError("config key models.mine: ..."), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_an_error_while_steps_are_captured_is_not_hidden_by_that_of_the_capture(monkeypatch, error):
    cause = ValueError("in the user's code")

    def steps(_):
        raise error from cause

    monkeypatch.setattr(torch.cuda, "graph", Capture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    runner = CudaGraphRunner(steps, (1, 2), torch.device("cpu"))
    with pytest.raises(type(error)) as raised:
        runner._capture()
    assert raised.value is error
    assert raised.value.__cause__ is cause
