import numpy as np
import pytest
import torch

from sgdtails import averaging, data, devices, evaluation, models, training
from sgdtails.errors import InputError
from sgdtails.progress import Progress

STOP = training.Stop(train_nll=0.05, train_accuracy=1.0, gate=20, budget=1000, chance_after=200, chance_accuracy=0.1)
CONFIG = {"fcn": {"fcn": [16]}}


@pytest.fixture(scope="module")
def digits():
    dataset = data.load("digits", {"kind": "digits"}, root="nowhere", download=False)
    return dataset, *data.splits(dataset, torch.device("cpu"))


def train(digits, *, step_size=0.3, stop=STOP, seed=0):
    dataset, train, test = digits
    model = models.build("fcn", dataset.shape, 10, CONFIG, seed=seed)
    progress = Progress(stop.budget)
    row, history = training.train(
        model, train, test, batch_size=50, step_size=step_size, seed=seed, stop=stop, progress=progress
    )
    return model, row, history


def test_a_step_is_the_gradient_of_the_mean_loss(digits):
    """Against the gradient of softmax regression written out, in float64."""
    _, split, _ = digits
    images, labels = split.batch(torch.arange(30))
    inputs = images.flatten(1).double()
    model = torch.nn.Linear(64, 10, bias=False).double()
    before = model.weight.detach().clone()
    softmax = torch.softmax(inputs @ before.T, dim=1)
    gradient = (softmax - torch.nn.functional.one_hot(labels, 10)).T @ inputs / 30
    next(training.sgd(model, [(inputs, labels)], 0.3))
    torch.testing.assert_close(model.weight.detach(), before - 0.3 * gradient, rtol=0, atol=1e-14)


def test_steps_are_bit_equal_to_torchs_own_optimiser(digits):
    dataset, split, _ = digits
    ours, theirs = (models.build("fcn", dataset.shape, 10, CONFIG) for _ in range(2))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    steps = training.sgd(ours, training.batches(split, 50, seed=3), 0.1)
    for _, (images, labels) in zip(range(50), training.batches(split, 50, seed=3), strict=False):
        next(steps)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(theirs(images), labels).backward()
        optimizer.step()
    for name, value in training.arrays(ours).items():
        np.testing.assert_array_equal(value, training.arrays(theirs)[name])


def test_an_epoch_sees_every_image_once(digits):
    _, split, _ = digits
    per_epoch = len(split) // 50
    stream = training.batches(split, 50, seed=4)
    for epoch in range(2):
        seen = torch.cat([next(stream)[1] for _ in range(per_epoch)])
        order = training.permutation(len(split), 4, epoch)
        assert sorted(order.tolist()) == list(range(len(split)))
        assert torch.equal(seen, split.labels[order[: per_epoch * 50]])
    assert not torch.equal(training.permutation(9, 4, 0), training.permutation(9, 4, 1))


def test_batches_can_start_anywhere(digits):
    _, split, _ = digits
    stream = training.batches(split, 100, seed=1)
    skipped = [next(stream)[1] for _ in range(40)]
    assert torch.equal(next(training.batches(split, 100, seed=1, start=37))[1], skipped[37])


def test_a_batch_larger_than_the_data(digits):
    with pytest.raises(InputError, match=r"batch_size 2000 is larger than the training set of 14\d\d"):
        next(training.batches(digits[1], 2000, seed=0))


def test_evaluation_is_the_mean_over_the_split(digits, monkeypatch):
    dataset, split, _ = digits
    model = models.build("fcn", dataset.shape, 10, CONFIG)
    images, labels = split.batch(slice(None))
    expected = torch.nn.functional.cross_entropy(model(images), labels).item()
    nll, accuracy = training.evaluate(model, split)
    assert nll == pytest.approx(expected, rel=1e-6)
    assert accuracy == (model(images).argmax(1) == labels).double().mean().item()
    monkeypatch.setattr(evaluation, "BATCH", 7)
    assert training.evaluate(model, split)[0] == pytest.approx(expected, rel=1e-6)


def test_images_are_normalised(digits):
    _, split, _ = digits
    images, _ = split.batch(slice(None))
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("iteration", "nll", "accuracy", "finite", "status"),
    [
        (20, 0.04, 1.0, True, "converged"),
        (20, 0.05, 1.0, True, None),
        (20, 0.04, 0.999, True, None),
        (20, float("nan"), 0.1, True, "diverged"),
        (20, float("inf"), 0.5, True, "diverged"),
        (20, 0.04, 1.0, False, "diverged"),
        (180, 2.3, 0.1, True, None),
        (200, 2.3, 0.1, True, "diverged"),
        (200, 2.3, 0.11, True, None),
        (1000, 2.3, 0.5, True, "budget"),
        (1000, 0.04, 1.0, True, "converged"),
    ],
)
def test_stop_rule(iteration, nll, accuracy, finite, status):
    assert STOP.status(iteration, nll, accuracy, finite) == status


def test_a_run_converges_at_a_gate_and_says_so(digits):
    model, row, history = train(digits)
    assert row["status"] == "converged"
    assert row["iterations"] == history[-1]["iteration"] == 20 * (len(history) - 1)
    assert history[-1]["train_nll"] == row["train_nll"] < 0.05
    assert row["train_accuracy"] == 1
    assert history[-2]["train_nll"] >= 0.05 or history[-2]["train_accuracy"] < 1
    assert row["test_accuracy"] == training.evaluate(model, digits[2])[1] > 0.9


def test_divergence_is_a_result(digits):
    _, row, history = train(digits, step_size=1e6)
    assert row["status"] == "diverged"
    assert row["train_nll"] is row["test_nll"] is row["test_accuracy"] is None or row["iterations"] == STOP.chance_after
    assert len(history) < 30


def test_budget(digits):
    _, row, _ = train(digits, step_size=0.01)
    assert (row["status"], row["iterations"]) == ("budget", 1000)
    assert row["test_accuracy"] is not None


def test_the_same_seed_gives_the_same_bytes(digits):
    (one, row, history), (two, row2, history2) = (train(digits) for _ in range(2))
    assert history == history2
    assert {**row, "seconds": 0} == {**row2, "seconds": 0}
    for name, value in training.arrays(one).items():
        assert value.tobytes() == training.arrays(two)[name].tobytes()


def test_average_is_the_mean_of_the_iterates_after_burn_in(digits):
    dataset, split, _ = digits

    def steps(model):
        return training.sgd(model, training.batches(split, 50, seed=3), 0.1)

    plain, averaged = (models.build("fcn", dataset.shape, 10, CONFIG) for _ in range(2))
    iterates = []
    for _ in zip(range(9), steps(plain), strict=False):
        iterates.append(training.arrays(plain))
    averaging.ergodic_average(averaged, steps(averaged), burn_in=4, length=5)
    for name, value in training.arrays(averaged).items():
        expected = np.mean([iterate[name].astype(np.float64) for iterate in iterates[4:9]], axis=0)
        np.testing.assert_allclose(value, expected, rtol=2**-24, atol=0)  # one rounding to float32


def test_continuing_from_the_final_weights_continues_the_trajectory(digits):
    dataset, split, _ = digits
    straight, halves = (models.build("fcn", dataset.shape, 10, CONFIG) for _ in range(2))
    for _ in zip(range(60), training.sgd(straight, training.batches(split, 50, seed=3), 0.1), strict=False):
        pass
    for start in (0, 30):
        for _ in zip(
            range(30), training.sgd(halves, training.batches(split, 50, seed=3, start=start), 0.1), strict=False
        ):
            pass
        training.load(halves, training.arrays(halves))
    for name, value in training.arrays(straight).items():
        np.testing.assert_array_equal(value, training.arrays(halves)[name])


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
    progress.report(0, NLL=2.3)
    progress.report(100, NLL=0.25, accuracy=0.5)
    assert "iteration 100  NLL 0.25  accuracy 0.5" in capsys.readouterr().err
    slow = Progress(1000)
    for iteration in range(1, 100):
        slow.report(iteration)
    assert list(slow.track(iter([None] * 200))) == [None] * 200
    assert capsys.readouterr().err == ""
