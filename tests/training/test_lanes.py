"""Every way to step against the plain one: a module, autograd and torch's own optimiser."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from sgdtails.models import building as models
from sgdtails.training import trainer as training
from sgdtails.training.engines import fully_connected, lanes, modules, updates, wide_matrix
from sgdtails.training.engines.updates import Sgd

CONFIG = {"fcn": {"fcn": [16, 12, 16]}, "cnn": {"cnn": [4, "M", 6, 6]}}
SHAPE = (2, 8, 8)
N, BATCH = 120, 20
EVERYTHING = Sgd(momentum=0.8, weight_decay=1e-3, noise_scale=1e-3, noise_alpha=1.7)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (N,), generator=generator)
    noise = torch.randn(N, *SHAPE, generator=generator, dtype=torch.float64)
    return noise + labels[:, None, None, None] * 0.3, labels


def build(name, seed=0, dtype=torch.float64):
    return models.build(name, SHAPE, 5, CONFIG, seed=seed).to(dtype)


def lane(name, images, dtype=torch.float64, slots=1, sgd=updates.PLAIN):
    inputs, labels = images
    model = build(name, dtype=dtype)
    if name == "cnn":
        return modules.Module(model, inputs.to(dtype), labels, batch_size=BATCH, sgd=sgd)
    shapes = {key: tuple(weight.shape) for key, weight in model.state_dict().items()}
    return fully_connected.FullyConnected(
        shapes, inputs.to(dtype), labels, batch_size=BATCH, slots=slots, dtype=dtype, sgd=sgd
    )


def plain(model, images, order, step_size, **more):
    """What everybody writes; ``more`` are arguments of the optimiser."""
    inputs, labels = images
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size, **more)
    for index in order:
        optimizer.zero_grad()
        cross_entropy(model(inputs[index]), labels[index]).backward()
        optimizer.step()
    return models.state(model)


def orders(steps, seeds):
    return torch.stack([training.Order(N, BATCH, seed).take(0, steps) for seed in seeds], dim=1)


def apart(one, other):
    """Largest difference of two states, relative to the largest weight."""
    return max(np.abs(one[name] - other[name]).max() / np.abs(other[name]).max() for name in other)


@pytest.mark.parametrize(("name", "slots"), [("fcn", 1), ("fcn", 3), ("cnn", 1)])
def test_two_hundred_steps_are_the_plain_loops(images, name, slots):
    """In float64, at step sizes that are stable: at larger ones one rounding grows exponentially, to 1e-10 at 0.2."""
    tested = lane(name, images, slots=slots)
    order = orders(200, range(slots))
    for slot in range(slots):
        tested.put(slot, models.state(build(name, seed=slot)), 0.02 * (slot + 1))
    tested.advance(order)
    for slot in range(slots):
        expected = plain(build(name, seed=slot), images, order[:, slot], 0.02 * (slot + 1))
        assert apart(tested.get(slot), expected) < 1e-12
        assert apart(models.state(build(name, seed=slot)), expected) > 0.01  # it has moved


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("name", ["fcn", "cnn"])
@pytest.mark.parametrize("steps_before", [0, 2000])
def test_one_step_in_single_precision(images, name, steps_before, onednn, monkeypatch):
    """From random weights, and from weights whose losses are almost zero."""
    monkeypatch.setattr(fully_connected, "ONEDNN_FROM", 1 if onednn else 10**6)
    start = plain(build(name), images, orders(steps_before, [0])[:, 0], 0.2)
    if steps_before:
        model = build(name)
        models.load(model, start)
        assert cross_entropy(model(images[0]), images[1]).item() < 1e-3
    start = {key: value.astype(np.float32) for key, value in start.items()}
    tested = lane(name, images, torch.float32)
    order = orders(1, [5])
    tested.put(0, start, 0.2)
    tested.advance(order)
    model = build(name, dtype=torch.float32)
    models.load(model, start)
    assert apart(tested.get(0), plain(model, (images[0].float(), images[1]), order[:, 0], 0.2)) < 1e-6


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_a_member_of_a_stack_is_bit_equal_to_itself_alone(images, slots):
    alone, stacked = (lane("fcn", images, torch.float32, slots=count) for count in (1, slots))
    order = orders(150, range(slots))
    for slot in range(slots):
        stacked.put(slot, models.state(build("fcn", slot, torch.float32)), 0.1 + slot)
    stacked.advance(order)
    for slot in range(slots):
        alone.put(0, models.state(build("fcn", slot, torch.float32)), 0.1 + slot)
        alone.advance(order[:, slot : slot + 1])
        for name, weight in alone.get(0).items():
            np.testing.assert_array_equal(weight, stacked.get(slot)[name])


def test_slots_that_stand_still_and_slots_not_in_use_keep_their_bytes(images):
    tested = lane("fcn", images, torch.float32, slots=3)
    states = [models.state(build("fcn", seed, torch.float32)) for seed in range(3)]
    for slot, step_size in enumerate((0.1, 0.0, 0.1)):
        tested.put(slot, states[slot], step_size)
    tested.advance(orders(50, [0, 1]))
    for slot in (1, 2):
        for name, weight in states[slot].items():
            assert weight.tobytes() == tested.get(slot)[name].tobytes()


@pytest.mark.parametrize("sgd", [updates.PLAIN, EVERYTHING])
def test_a_network_goes_on_in_another_slot_as_if_it_had_stayed(images, sgd):
    """With its velocities, its noise, its step size and its sums, onto a slot that held another's."""
    moved, stayed = (lane("fcn", images, torch.float32, slots=4, sgd=sgd) for _ in range(2))
    for each in (moved, stayed):
        for slot in range(4):
            each.put(slot, models.state(build("fcn", slot, torch.float32)), 0.05 * (slot + 1), seed=slot)
        each.accumulate(True)
        each.advance(orders(30, range(4)))
    moved.move(3, 1)
    moved.clear(3)
    moved.advance(orders(30, [0, 3, 2]))
    stayed.advance(orders(30, range(4)))
    for there, before in ((0, 0), (1, 3), (2, 2)):
        for found in (lanes.Lane.get, lanes.Lane.sum_of):
            here, expected = (getattr(each, found.__name__)(n) for each, n in ((moved, there), (stayed, before)))
            assert {name: value.tobytes() for name, value in here.items()} == {
                name: value.tobytes() for name, value in expected.items()
            }


@pytest.mark.parametrize(("name", "slots"), [("fcn", 2), ("cnn", 1)])
def test_a_cleared_slot_is_zero_and_stands_still(images, name, slots):
    tested, last = lane(name, images, torch.float32, slots, Sgd(momentum=0.9)), slots - 1
    for slot in range(slots):
        tested.put(slot, models.state(build(name, slot, torch.float32)), 1e30)
    tested.advance(orders(20, range(slots)))
    assert not tested.finite(last)
    tested.clear(last)
    assert tested.finite(last)
    tested.advance(orders(20, range(slots)))
    assert not any(value.any() for value in tested.get(last).values())
    assert slots == 1 or not tested.finite(0)


def test_runs_that_stay_move_up_in_their_order(images):
    tested, runs = lane("fcn", images, torch.float32, slots=5), list("abcde")
    states = {run: models.state(build("fcn", ord(run), torch.float32)) for run in runs}
    for slot, run in enumerate(runs):
        tested.put(slot, states[run], 0.1)
    lanes.close_up(tested, runs, lambda run: run in "bde")
    assert runs == list("bde")
    for slot, run in enumerate(runs):
        for name, value in states[run].items():
            np.testing.assert_array_equal(tested.get(slot)[name], value)
    assert not any(value.any() for slot in (3, 4) for value in tested.get(slot).values())


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "slots"), [("fcn", 2), ("cnn", 1)])
def test_one_number_that_is_not_finite_is_found(images, name, slots, broken):
    tested = lane(name, images, torch.float32, slots)
    for key in build(name).state_dict():
        for slot in range(slots):
            tested.put(slot, models.state(build(name, dtype=torch.float32)), 0.1)
        assert all(tested.finite(slot) for slot in range(slots))
        state = models.state(build(name, dtype=torch.float32))
        state[key].flat[-1] = broken
        tested.put(0, state, 0.1)
        assert [bool(tested.finite(slot)) for slot in range(slots)] == [False, True][:slots]


def test_a_module_with_other_numbers_than_floating_ones(images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 5), torch.nn.BatchNorm1d(5))
    model.register_buffer("mask", torch.tensor([True, False]))
    model.register_buffer("nothing", torch.zeros(0))
    tested = modules.Module(model.double(), *images, batch_size=BATCH)
    assert tested.finite(0)
    model[2].running_var.fill_(torch.inf)
    assert not tested.finite(0)
    tested.clear(0)
    assert not any(value.any() for value in tested.get(0).values())


def test_what_is_infinite_in_one_slot_stays_there(images):
    tested = lane("fcn", images, torch.float32, slots=2)
    for slot, step_size in enumerate((1e30, 0.1)):
        tested.put(slot, models.state(build("fcn", slot, torch.float32)), step_size)
    tested.advance(orders(60, [0, 1]))
    assert not training.finite(tested.get(0))
    assert training.finite(tested.get(1))


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_growth_bounds_the_logits(images, name):
    inputs, _ = images
    tested = lane(name, images)
    for seed in range(5):
        tested.put(0, models.state(build(name, seed)), 0.1)
        logits = tested.network(0)(inputs)
        ratio = logits.norm(dim=1) / inputs.flatten(1).norm(dim=1)
        bound = tested.growth(0).item()
        assert ratio.max().item() <= bound < 1e6


def test_growth_of_a_module_of_ones_own_is_not_known(images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 5))  # a bias
    assert modules.Module(model.double(), *images, batch_size=BATCH).growth(0) is None
    overlapping = torch.nn.MaxPool2d(3, stride=1), torch.nn.Flatten(), torch.nn.Linear(72, 5, bias=False)
    pool = torch.nn.Sequential(*overlapping).double()
    assert modules.Module(pool, *images, batch_size=BATCH).growth(0) is None


def test_sums_are_of_every_iterate(images):
    for name, slots in (("fcn", 2), ("cnn", 1)):
        tested, reference = (lane(name, images, slots=slots) for _ in range(2))
        for each in (tested, reference):
            for slot in range(slots):
                each.put(slot, models.state(build(name, slot)), 0.1)
        order = orders(7, range(slots))
        tested.accumulate(True)
        tested.advance(order)
        iterates = []
        for index in order:
            reference.advance(index[None])
            iterates.append([reference.get(slot) for slot in range(slots)])
        for slot in range(slots):
            for key, total in tested.sum_of(slot).items():
                np.testing.assert_allclose(total, sum(states[slot][key] for states in iterates), rtol=1e-14)


def test_lanes_take_turns_and_stop_between_pieces(images, monkeypatch):
    monkeypatch.setattr(fully_connected, "A_MOMENT", 1)  # a step at a time
    two = [lane("fcn", images), lane("fcn", images)]
    asked = iter([False, False, True])
    assert lanes.interleave([(one, orders(9, [0])) for one in two], lambda: next(asked)) == [2, 2]
    assert lanes.interleave(zip(two, (orders(3, [0]), orders(5, [0])), strict=True), lambda: False) == [3, 5]


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


def wide_lane(images, batch):
    shapes = {key: tuple(weight.shape) for key, weight in wide_model().state_dict().items()}
    tested = fully_connected.FullyConnected(shapes, images[0].float(), images[1], batch_size=batch, slots=1)
    tested.put(0, models.state(wide_model(torch.float32)), 0.05)
    return tested


def wide_order(steps, batch):
    return training.Order(N, batch, 3).take(0, steps)


@pytest.mark.parametrize("batch", [50, 100])
def test_steps_of_a_wide_network_are_the_plain_loops(wide_images, threads, batch, monkeypatch):
    """In float32 against float64: from the same weights, one step is as exact as its products."""
    monkeypatch.setattr(wide_matrix, "BLOCK", 2**17)
    tested, order = wide_lane(wide_images, batch), wide_order(1, batch)
    tested.advance(order[:, None])
    start = wide_model(torch.float32).double()  # float32's weights
    expected = plain(start, wide_images, order, 0.05)
    assert apart(tested.get(0), expected) < 1e-6
    assert apart(models.state(wide_model()), expected) > 1e-3  # it has moved
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("batch", [50, 100])
def test_steps_of_a_wide_network_are_the_same_bytes_again(wide_images, threads, batch):
    first, second = (wide_lane(wide_images, batch) for _ in range(2))
    order = wide_order(6, batch)[:, None]
    first.advance(order)
    for piece in order.split(2):
        second.advance(piece)
    for name, weight in first.get(0).items():
        assert weight.tobytes() == second.get(0)[name].tobytes()


def test_sums_of_a_wide_networks_iterates(wide_images, threads):
    tested, reference = (wide_lane(wide_images, BATCH) for _ in range(2))
    order, totals = wide_order(3, BATCH)[:, None], []
    tested.accumulate(True)
    tested.advance(order)
    for index in order:
        reference.advance(index[None])
        totals.append(reference.get(0))
    for name, total in tested.sum_of(0).items():
        np.testing.assert_array_equal(total, sum(state[name].astype(np.float64) for state in totals))


def test_torch_has_its_threads_back_after_an_error_in_a_step(wide_images, threads):
    with pytest.raises(IndexError):
        wide_lane(wide_images, BATCH).advance(torch.full((1, 1, BATCH), N))
    assert torch.get_num_threads() == threads


def test_rows_are_shared_out_unless_they_are_few(monkeypatch):
    pieces, linear = [], wide_matrix.linear
    monkeypatch.setattr(wide_matrix, "linear", lambda rows, inputs: pieces.append(len(rows)) or linear(rows, inputs))
    with wide_matrix.one_thread_each():
        for rows, threads, expected in ((600, 1, [600]), (600, 2, [300, 300]), (10, 2, [10])):
            pieces.clear()
            wide_matrix.WideMatrix(torch.ones(rows, 8), threads).forward(torch.ones(4, 8))
            assert pieces == expected
