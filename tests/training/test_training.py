import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from sgdtails.data import datasets as data
from sgdtails.errors import InputError, Interrupted
from sgdtails.models import building as models
from sgdtails.runtime import devices
from sgdtails.runtime.progress import Progress
from sgdtails.training import evaluation
from sgdtails.training.batch_sampler import BatchSampler, permutation
from sgdtails.training.engines import stacked_mlp
from sgdtails.training.trainer import Run
from tests.training.helpers import (
    SPECS,
    STOP,
    MemoryCheckpointer,
    assert_equal,
    count_calls,
    interrupt_and_resume,
    train_runs,
)


def train(digits, *, step_size=0.3, seed=0, **more):
    (run,) = train_runs(digits, [Run("one", step_size, seed)], **more).values()
    return run


def test_an_epoch_sees_every_image_once():
    order = BatchSampler(103, 10, seed=4)
    for epoch in range(2):
        seen = order.take(10 * epoch, 10).flatten()
        expected = permutation(103, 4, epoch)
        assert sorted(expected.tolist()) == list(range(103))
        assert torch.equal(seen, expected[:100])
    assert not torch.equal(permutation(9, 4, 0), permutation(9, 4, 1))


def test_batches_can_start_anywhere():
    whole = BatchSampler(103, 10, seed=1).take(0, 60)
    for start, steps in ((37, 1), (5, 44), (59, 1), (10, 10)):
        assert torch.equal(BatchSampler(103, 10, seed=1).take(start, steps), whole[start : start + steps])


def test_runs_of_one_seed_share_permutations_and_what_was_drawn_ahead_is_not_drawn_again(monkeypatch):
    drawn = []

    def generator(key, made=np.random.default_rng):
        drawn.append(tuple(key))
        return made(key)

    permutation.cache_clear()
    expected = [BatchSampler(103, 10, seed).take(0, 60) for seed in (1, 1, 2)]
    permutation.cache_clear()
    monkeypatch.setattr(np.random, "default_rng", generator)
    ordered = [BatchSampler(103, 10, seed) for seed in (1, 1, 2)]
    taken = []
    for start in range(0, 60, 15):
        for order in ordered:
            order.prefetch(start, 15)
        before = len(drawn)
        taken.append([order.take(start, 15) for order in ordered])
        assert len(drawn) == before
    assert sorted(drawn) == [(seed, epoch) for seed in (1, 2) for epoch in range(6)]
    for number, whole in enumerate(expected):
        assert torch.equal(torch.cat([orders[number] for orders in taken]), whole)


def test_little_is_drawn_ahead_where_epochs_are_short():
    permutation.cache_clear()
    order = BatchSampler(103, 100, seed=1)  # a step is an epoch
    order.prefetch(10, 200)
    assert permutation.cache_info().misses == 2


def test_a_batch_larger_than_the_data():
    with pytest.raises(InputError, match=r"batch_size 2000 is larger than the training set of 1437 images"):
        BatchSampler(1437, 2000, seed=0)


def test_evaluation_is_the_mean_over_the_split(digits, monkeypatch):
    dataset, split, _ = digits
    model = models.build("fcn", dataset.shape, 10, SPECS)
    images, labels = split.batch(slice(None))
    expected = torch.nn.functional.cross_entropy(model(images), labels).item()
    nll, accuracy = evaluation.evaluate(models.network(model), split)
    assert nll == pytest.approx(expected, rel=1e-6)
    assert accuracy == (model(images).argmax(1) == labels).double().mean().item()
    monkeypatch.setattr(evaluation, "BATCH", 7)
    assert evaluation.evaluate(models.network(model), split)[0] == pytest.approx(expected, rel=1e-6)


def test_images_are_normalised(digits, monkeypatch):
    dataset, split, _ = digits
    images, _ = split.batch(slice(None))
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr(data, "RESIDENT", 1000)  # too many to be kept as float32
    again, _ = data.splits(dataset, torch.device("cpu"))
    index = torch.tensor([5, 0, 1436])
    for part in (slice(3, 9), index):
        assert torch.equal(again.batch(part)[0], split.batch(part)[0])
        assert torch.equal(again.batch(part)[1], split.batch(part)[1])


def test_a_run_converges_at_a_gate_and_says_so(digits):
    run = train(digits)
    row, history = run.outcome, run.history
    assert row["status"] == "converged"
    assert row["iterations"] == run.iteration == history[-1]["iteration"]
    assert [h["iteration"] for h in history[:-1]] == list(range(0, row["iterations"], 100))
    assert history[-1]["train_nll"] == row["train_nll"] < 0.05
    assert row["train_accuracy"] == 1
    assert history[-1]["test_accuracy"] == row["test_accuracy"] > 0.9
    dataset, split, _ = digits
    model = models.build("fcn", dataset.shape, 10, SPECS)
    models.load(model, run.state)
    assert evaluation.evaluate(models.network(model), split) == (row["train_nll"], 1.0)


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_runs_stop_at_the_gate_where_a_full_pass_says_so(digits, model):
    """The plain loop: a module, a full pass at every gate."""
    stop = dataclasses.replace(STOP, train_nll=0.2, train_accuracy=0.97)
    run = train(digits, model=model, step_size=0.1, stop=stop)
    dataset, split, _ = digits
    network = models.build(model, dataset.shape, 10, SPECS)
    order = BatchSampler(len(split), 50, 0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    iteration = 0
    while not (status := stop.status(iteration, *evaluation.evaluate(models.network(network), split), True)):
        for index in order.take(iteration, stop.gate):
            optimizer.zero_grad()
            images, labels = split.batch(index)
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        iteration += stop.gate
    assert (status, iteration) == (run.outcome["status"], run.outcome["iterations"])


def test_divergence_is_a_result(digits):
    run = train(digits, step_size=1e6)
    assert run.outcome["status"] == "diverged"
    assert run.outcome["iterations"] <= STOP.chance_after
    assert run.outcome["train_nll"] is run.outcome["test_nll"] is run.outcome["test_accuracy"] is None


def test_budget(digits):
    outcome = train(digits, step_size=0.01).outcome
    assert (outcome["status"], outcome["iterations"]) == ("budget", 1000)
    assert outcome["test_accuracy"] is not None


def test_the_same_seed_gives_the_same_bytes(digits):
    assert_equal(train(digits), train(digits))


@pytest.mark.parametrize("model", ["fcn", "cnn", "wide"])
def test_a_run_beside_others_is_bit_equal_to_itself_alone(digits, model):
    """Five runs in two replicas: replicas are refilled, moved, and one run among them leaves the finite numbers."""
    step_sizes = (0.3, 0.1, 1e6, 0.2, 0.25)
    stop = dataclasses.replace(STOP, train_nll=0.1, train_accuracy=0.98)

    def runs():
        return [Run(f"{s}-{seed}", s, seed) for seed, s in enumerate(step_sizes)]

    together = train_runs(digits, runs(), model=model, replicas=2, stop=stop)
    assert {run.outcome["status"] for run in together.values()} == {"converged", "diverged"}
    for run in runs():
        alone = train_runs(digits, [run], model=model, stop=stop)
        assert_equal(alone[run.name], together[run.name])


def test_weights_leave_a_replica_at_the_end_and_when_they_are_saved_alone(digits, monkeypatch):
    """Full passes and refills leave them where they are."""
    calls = count_calls(monkeypatch, stacked_mlp.StackedMLPEngine, "put", "get")
    stop = dataclasses.replace(STOP, train_nll=0.1, train_accuracy=0.98, history=1)
    runs = [Run(f"{seed}", 0.1 * (seed + 1), seed) for seed in range(5)]
    ended = train_runs(digits, runs, replicas=3, stop=stop)
    assert all(len(run.history) > 2 for run in ended.values())
    assert (calls.count("put"), calls.count("get")) == (5, 5)
    calls.clear()
    checkpointer = MemoryCheckpointer(always_due=True)
    train_runs(digits, [Run("one", 0.1, 0)], stop=stop, checkpointer=checkpointer)
    assert (calls.count("put"), calls.count("get")) == (1, len(checkpointer.saved) + 1)


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_images_too_many_to_stay_normalised_train_to_the_same_bytes(digits, model, monkeypatch):
    dataset = digits[0]
    monkeypatch.setattr(data, "RESIDENT", 1000)
    batchwise = (dataset, *data.splits(dataset, torch.device("cpu")))
    stop = dataclasses.replace(STOP, budget=60)
    assert_equal(train(batchwise, model=model, stop=stop), train(digits, model=model, stop=stop))


def test_smallest_step_size_first(digits):
    ended = train_runs(digits, [Run(str(s), s, 0) for s in (1e6, 1e8, 1e4, 1e7)], replicas=1)
    assert list(ended) == ["10000.0", "1000000.0", "10000000.0", "100000000.0"]


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_going_on_from_any_gate_is_bit_equal_to_no_stop(digits, model):
    straight = MemoryCheckpointer(always_due=True)
    train_runs(digits, [Run("one", 0.1, 3)], model=model, checkpointer=straight)
    assert len(straight.saved) > 10
    for saved in straight.saved[:: 3 if model == "fcn" else 8]:
        resumed = dataclasses.replace(saved, history=list(saved.history))
        assert_equal(train_runs(digits, [resumed], model=model)["one"], straight.finished["one"])


def test_interrupted_anywhere_and_gone_on(digits, monkeypatch):
    """Between gates, at gates that are not decided yet and within full passes, with several runs that are not equally far."""
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)  # a step at a time

    def runs():
        return [Run(str(seed), 0.1 * (seed + 1), seed) for seed in range(3)]

    train = partial(train_runs, digits, replicas=2)
    whole = train(runs())
    for pieces in (*range(8), *range(20, 40), 47, 130, 131, 400):
        ended = interrupt_and_resume(train, runs, pieces)
        for name, run in whole.items():
            assert_equal(ended[name], run)


def test_some_interruptions_are_at_gates_that_are_not_decided_and_some_between_gates(digits, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "STRIDE_OPERATIONS", 1)
    places = set()
    for pieces in range(60):
        checkpointer = MemoryCheckpointer(pieces)
        with pytest.raises(Interrupted):
            train_runs(digits, [Run("one", 0.1, 0)], checkpointer=checkpointer)
        (run,) = checkpointer.saved
        places.add((run.iteration % STOP.gate == 0, run.gated == run.iteration))
    assert places == {(True, False), (True, True), (False, False)}


def test_devices(monkeypatch):
    assert devices.describe(devices.select("cpu", "fp32", 1)) == "cpu"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_num_threads() == 1
    if not torch.cuda.is_available():
        assert devices.select("auto", "fp32", 1).type == "cpu"
        with pytest.raises(InputError, match="no CUDA device"):
            devices.select("cuda", "fp32", 1)


def test_progress_is_one_line_at_a_human_pace(capsys):
    progress = Progress(1000, every=0.0)
    progress.report("a", 0, NLL=2.3)
    progress.report("a", 100, NLL=0.25, accuracy=0.5)
    assert "a: iteration 100  NLL 0.25  accuracy 0.5" in capsys.readouterr().err
    slow = Progress(1000)
    for iteration in range(1, 100):
        slow.report("a", iteration)
    assert capsys.readouterr().err == ""
