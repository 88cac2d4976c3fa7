"""Rows, filters and channels: which go, and what a network without them stores and computes."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from sgdtails import layers
from sgdtails.pruning import methods as pruning
from tests.pruning.networks import RATIOS, at_ratios, convolutional, network

HEAD = {"head": np.ones((2, 5))}


def pruned(weights, method, ratio, **how):
    return pruning.Pruner(weights, method=method, **how).at_ratio(ratio)


def conv(x, weight):
    return conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=1).numpy()


def gone(form, weight, purpose):
    """Which of a layer's observations changed."""
    after, before = (layers.observations(each, purpose) for each in (form.dense(), weight))
    return (after != before).any(axis=1)


def test_row_removes_whole_rows_by_norm():
    weight = np.array([[1.0, 5], [1, 4], [-9, 9], [0, 0], [2, -2]])
    form = pruned({"fc1": weight} | HEAD, "row", 0.6).layers["fc1"]
    np.testing.assert_array_equal(form.dense(), [[1, 4], [1, 4], [-9, 9], [1, 4], [2, -2]])
    # Two rows of two, their indices, and one row of medians, which is multiplied once for all three that are gone.
    assert (form.kept, form.stored, form.multiply_adds) == (4, 4 + 2 + 2, 4 + 2)


@pytest.mark.parametrize(
    ("method", "observations", "size", "adds"),
    [("filter", 8, 6 * 9, 6 * 9), ("channel", 6, 8 * 9, 6 + 8 * 9), ("kernel", 48, 9, 6 + 8 + 9)],
)
def test_exact_counts_of_a_convolution(method, observations, size, adds):
    weights = convolutional()
    network = pruned(weights, method, 0.5)
    assert network.pruned == {"conv2", "conv3"}
    form, left = network.layers["conv2"], observations // 2
    assert (form.kept, form.stored) == (left * size, left * size + left + size)
    assert form.multiply_adds == left * size + adds
    assert network.parameters_left == 54 + left * size + network.layers["conv3"].kept + 140
    centred = layers.centre(layers.observations(weights["conv2"], method))
    norms, removed = np.linalg.norm(centred, axis=1), gone(form, weights["conv2"], method)
    assert removed.sum() == observations - left
    assert norms[removed].max() < norms[~removed].min()
    after = layers.observations(form.dense(), method)[removed]
    median = np.median(layers.observations(weights["conv2"], method), axis=0)
    np.testing.assert_array_equal(after, np.broadcast_to(median, after.shape))
    assert form.removed[2] == pytest.approx(np.sum(centred[removed] ** 2))
    assert form.removed[1] == pytest.approx(np.sum(np.abs(centred[removed])))


def test_what_is_counted_computes_the_outputs():
    """The cheap way of each method, whose operations are those that are counted, gives what the full weights give."""
    rng = np.random.default_rng(0)
    weight = convolutional()["conv2"]
    x = rng.standard_normal((3, 6, 5, 5))
    form = pruned(convolutional(), "filter", 0.5).layers["conv2"]
    removed = gone(form, weight, "filter")
    median = np.median(weight, axis=0, keepdims=True)
    outputs = np.empty((3, 8, 5, 5))
    outputs[:, ~removed], outputs[:, removed] = conv(x, weight[~removed]), conv(x, median)
    np.testing.assert_allclose(outputs, conv(x, form.dense()), atol=1e-12)

    form = pruned(convolutional(), "channel", 0.5).layers["conv2"]
    removed = gone(form, weight, "channel")
    median = np.median(weight, axis=1, keepdims=True)
    outputs = conv(x[:, ~removed], (weight - median)[:, ~removed]) + conv(x.sum(axis=1, keepdims=True), median)
    np.testing.assert_allclose(outputs, conv(x, form.dense()), atol=1e-12)

    weight = rng.standard_normal((5, 7))
    form = pruned({"fc1": weight} | HEAD, "row", 0.5).layers["fc1"]
    removed, x = gone(form, weight, "row"), rng.standard_normal((4, 7))
    outputs = np.empty((4, 5))
    outputs[:, ~removed], outputs[:, removed] = x @ weight[~removed].T, (x @ np.median(weight, axis=0))[:, None]
    np.testing.assert_allclose(outputs, form.product(x), atol=1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("p", [0.5, 2.0])
def test_relations_between_structures(ratio, p):
    rng = np.random.default_rng(1)
    matrix, tensor = rng.standard_t(3, (9, 6)), rng.standard_t(3, (9, 6, 3, 3))

    def dense(weight, method):
        ahead = {"first": np.ones((2, 2, 3, 3))} if weight.ndim > 2 else {}
        return pruned(ahead | {"layer": weight} | HEAD, method, ratio, p=p).layers["layer"]

    rows = dense(matrix, "row")
    np.testing.assert_array_equal(rows.dense(), dense(matrix.T, "node").dense().T)  # rows are columns of the transpose
    filters = dense(tensor, "filter")
    np.testing.assert_array_equal(filters.dense(), dense(tensor.swapaxes(0, 1), "channel").dense().swapaxes(0, 1))
    np.testing.assert_array_equal(filters.dense().reshape(9, -1), dense(tensor.reshape(9, -1), "row").dense())
    assert filters.multiply_adds == dense(tensor.reshape(9, -1), "row").multiply_adds
    points = dense(matrix[:, :, None, None], "kernel")  # kernels of one entry are entries
    np.testing.assert_array_equal(points.dense()[:, :, 0, 0], dense(matrix, "layer_magnitude").dense())


@pytest.mark.parametrize("method", ["row", "filter", "channel"])
def test_torch_arrays_and_the_ends(method):
    weights = network(dtype=np.float64) if method == "row" else convolutional()
    tensors = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    sweeps = (at_ratios(each, RATIOS, method=method) for each in (weights, tensors))
    for ratio, one, other in zip(RATIOS, *sweeps, strict=True):
        for name, dense in other.weights().items():
            np.testing.assert_allclose(dense, one.weights()[name], atol=1e-12)
        assert other.stored_parameters == one.stored_parameters
        if ratio in (0, 1):
            assert one.relative_error(2) == pytest.approx(ratio)
            assert one.pruned_ratio == ratio
        if ratio == 0:
            assert all((dense == weights[name]).all() for name, dense in one.weights().items())


def test_layers_of_the_other_kind_are_left_whole():
    both = {"conv1": np.ones((2, 1, 3, 3))} | convolutional() | {"fc1": np.ones((3, 28)), "head": np.ones((2, 3))}
    both = {name: weight for name, weight in both.items() if name != "head"} | {"head": both["head"]}
    assert layers.prunable(both, "row") == layers.prunable(both, "node") == ["fc1"]
    for method in ("kernel", "filter", "channel"):
        assert layers.prunable(both, method) == ["conv2", "conv3"]
    assert layers.prunable({"a": np.ones((1, 4, 3, 3)), "b": np.ones((4, 1, 3, 3))}, "channel", []) == ["a"]
    assert layers.prunable({"a": np.ones((1, 4, 3, 3)), "b": np.ones((4, 1, 3, 3))}, "filter", []) == ["b"]
