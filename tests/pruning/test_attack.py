"""Accuracy under attack, against attacks on linear classifiers, whose best one is known: w^T x falls by epsilon ||w||_1."""

import numpy as np
import pytest
import torch

from sgdtails import layers
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import InputError
from sgdtails.models import building as models
from sgdtails.pruning import attack as attacks
from sgdtails.pruning import evaluate
from sgdtails.pruning.attack import Attack

MEAN, STD = (0.4,), (0.25,)
SPECS = {"fcn": {"fcn": [24, 16]}, "cnn": {"cnn": [4, "M", 6, "M"]}}
N, PIXELS = 200, 12


@pytest.fixture(scope="module")
def digits():
    return loaders.load("digits", {"kind": "digits"}, root="nowhere", download=False)


def split_of(pixels, labels):
    images = pixels.astype(np.uint8).reshape(len(pixels), 1, 3, 4)
    dataset = data.Dataset(images, labels, images, labels, ("a", "b"), MEAN, STD)
    return data.Split(images, labels, dataset, None)


def classifier(seed=0, scale=1.0):
    """Two classes; the margin of class 1 is w^T x of the normalised image."""
    weight = np.random.default_rng(seed).standard_normal(PIXELS).astype(np.float32) * np.float32(scale)
    return weight, attacks.chain([np.stack([-weight / 2, weight / 2])])


def margins(weight, pixels, labels):
    """In units of a pixel's range: by how much a right class leads, over ||w||_1."""
    signs = np.where(labels == 1, 1.0, -1.0)
    normalised = (pixels / 255 - MEAN[0]) / STD[0]
    return signs * (normalised @ weight.astype(float)) * STD[0] / np.abs(weight).sum()


def grey_images(seed=1):
    """Pixels away from black and white, so that the box of 0.2 is not cut, labelled by the classifier but for one in ten."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 196, (N, PIXELS))
    weight, _ = classifier()
    labels = ((pixels / 255 - MEAN[0]) @ weight > 0).astype(np.int64)
    labels[::10] = 1 - labels[::10]
    return pixels, labels


def under_attack(network, split, correct, **how):
    return Attack(MEAN, STD, **how).robust_accuracy(network, split, correct)


@pytest.mark.parametrize("epsilon", [0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("steps", [2, 10])
def test_the_attack_on_a_linear_classifier_is_the_best_one(epsilon, steps):
    """By default the steps reach every side of the box from anywhere in it, so the start does not matter."""
    (weight, network), (pixels, labels) = classifier(), grey_images()
    lead = margins(weight, pixels, labels)
    assert np.abs(lead - epsilon).min() > 1e-6  # float32 decides as float64 does
    expected = (lead > epsilon).mean()
    for seed in (0, 1):
        found = under_attack(network, split_of(pixels, labels), lead > 0, epsilon=epsilon, steps=steps, seed=seed)
        assert found == expected
    assert epsilon > 0.03 or 0 < expected < (lead > 0).mean()


def test_the_loss_grows_by_epsilon_times_the_l1_norm():
    """One image: it falls at an epsilon of exactly margin/||w||_1, to float32's rounding."""
    (weight, network), (pixels, labels) = classifier(), grey_images()
    (lead,) = margins(weight, pixels[1:2], labels[1:2])
    split = split_of(pixels[1:2], labels[1:2])
    for factor, robust in ((1 - 1e-5, 1.0), (1 + 1e-5, 0.0)):
        assert under_attack(network, split, np.array([True]), epsilon=factor * lead, steps=10) == robust


@pytest.mark.parametrize(("pixel", "sign"), [(0, 1), (255, -1)])
def test_pixels_stay_between_black_and_white(pixel, sign):
    """A black pixel can only become brighter: the margin falls by epsilon times the sum of the weights that let it."""
    weight, network = classifier()
    pixels = np.full((1, PIXELS), pixel)
    labels = (margins(weight, pixels, np.array([1])) > 0).astype(np.int64)
    lead = margins(weight, pixels, labels) * np.abs(weight).sum()
    towards = -np.where(labels[0] == 1, 1, -1) * weight * sign  # grows where moving away from the edge helps the attack
    limit = lead[0] / towards[towards > 0].sum()
    assert 0 < limit < 1
    assert limit > 1.01 * lead[0] / np.abs(weight).sum()  # an attack that left [0, 1] would need less
    for factor, robust in ((1 - 1e-5, 1.0), (1 + 1e-5, 0.0)):
        found = under_attack(network, split_of(pixels, labels), np.array([True]), epsilon=factor * limit, steps=10)
        assert found == robust


def test_a_certain_network_is_attacked_as_well():
    """Its cross-entropy is 0 in float32, and so is the gradient of that."""
    pixels, labels = grey_images()
    weight, network = classifier(scale=1e4)
    lead = margins(weight, pixels, labels)
    images = torch.as_tensor(split_of(pixels, labels).batch(slice(None))[0]).requires_grad_()
    loss = torch.nn.functional.cross_entropy(network(images), torch.as_tensor(labels), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    assert (gradient[lead > 0.03].abs().amax(dim=(1, 2, 3)) == 0).all()  # or the test would say nothing
    found = under_attack(network, split_of(pixels, labels), lead > 0, epsilon=0.1, steps=10)
    assert found == (lead > 0.1).mean()


def test_the_direction_is_that_of_the_cross_entropys_gradient():
    rng = np.random.default_rng(0)
    network = attacks.chain([rng.standard_normal((8, PIXELS)), rng.standard_normal((5, 8))])
    images, labels = torch.as_tensor(rng.standard_normal((50, PIXELS))), torch.as_tensor(rng.integers(0, 5, 50))
    _, direction = attacks._ascent(network, images, labels, wanted=True)
    images.requires_grad_()
    loss = torch.nn.functional.cross_entropy(network(images), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    np.testing.assert_allclose(*(each / each.norm(dim=1, keepdim=True) for each in (direction, gradient)), atol=1e-12)


@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_accuracy_never_grows_under_attack_nor_with_its_steps(digits, name):
    """For every network of a sweep: a small one that was fitted for a moment, and its pruned ones."""
    model = models.build(name, digits.shape, 10, SPECS, seed=1)
    train, test = data.splits(digits, torch.device("cpu"))
    images, labels = train.batch(slice(None))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    weights, sweep = layers.weights(models.state(model)), evaluate.Sweep("layer_magnitude", [0, 0.5, 0.9, 1])
    before, shares = None, []
    for steps in (1, 3, 6):
        attack = Attack(digits.mean, digits.std, epsilon=0.1, steps=steps, step_size=0.05)
        measure = evaluate.module(model, {"test": test}, attack)
        rows = list(evaluate.pruning_rows(weights, measure, sweep, positions={}))
        assert rows == list(evaluate.pruning_rows(weights, measure, sweep, positions={}))  # and it repeats
        assert all(row["robust_accuracy"] <= row["test_accuracy"] for row in rows)
        shares = [row["robust_accuracy"] for row in rows]
        assert before is None or all(now <= then for now, then in zip(shares, before, strict=True))
        before = shares
        if name == "fcn":
            chained = evaluate.fully_connected({"test": data.splits(digits, None)[1]}, attack)
            for one, two in zip(rows, evaluate.pruning_rows(weights, chained, sweep, positions={}), strict=True):
                assert one["robust_accuracy"] == pytest.approx(two["robust_accuracy"], abs=2 / len(test))
    assert rows[0]["test_accuracy"] > 0.8
    assert shares[0] < rows[0]["test_accuracy"] - 0.05


def test_without_an_attack_the_rows_are_what_they_were(digits):
    weights = layers.weights(models.state(models.build("fcn", digits.shape, 10, SPECS, seed=1)))
    test = data.splits(digits, None)[1]
    found = []
    for attack in (None, Attack(digits.mean, digits.std, epsilon=0.1, steps=1)):
        measure = evaluate.fully_connected({"test": test}, attack)
        found.append(list(evaluate.pruning_rows(weights, measure, evaluate.Sweep("node", [0, 0.5]), positions={})))
    for plain, attacked in zip(*found, strict=True):
        assert plain["robust_accuracy"] is None
        assert plain == attacked | {"robust_accuracy": None}


def test_a_network_without_gradients():
    _, network = classifier()
    pixels, labels = grey_images()
    with pytest.raises(InputError, match="config key pruning.attack: the network's logits have no gradients"):
        under_attack(
            lambda images: network(images).detach(), split_of(pixels, labels), labels >= 0, epsilon=0.1, steps=1
        )
