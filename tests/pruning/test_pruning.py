import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sgdtails import layers
from sgdtails.errors import InputError
from sgdtails.pruning import compression
from sgdtails.pruning import methods as pruning
from sgdtails.pruning.forms import PrunedNetwork
from tests.conftest import ROOT
from tests.pruning.networks import RATIOS, at_ratios, convolutional, network, reference

FCN_METHODS = ("layer_magnitude", "global_magnitude", "singular_value", "node")


def centred(weight, purpose):
    return layers.centre(layers.observations(weight, purpose))


@st.composite
def cases(draw):
    widths = [draw(st.integers(1, 9)) for _ in range(draw(st.integers(3, 5)))]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return network(widths, dtype, draw(st.integers(0, 99))), draw(st.floats(0, 1))


@given(cases())
def test_layer_magnitude_removes_the_promised_number_of_smallest_entries(case):
    weights, ratio = case
    sizes = {name: weight.size for name, weight in weights.items()}
    if any(size == 1 for size in sizes.values()):
        return  # a single entry is its own median: see test_layers_of_equal_weights
    pruned = pruning.layer_magnitude(weights, ratio).weights()
    for name in list(weights)[:-1]:
        changed = np.abs(pruned[name] - weights[name])
        size = sizes[name]
        kept = size - compression.removed(ratio, size)
        distance = np.sort(np.abs(centred(weights[name], "univariate")))
        # What went lay on the median or was moved to it.
        assert np.count_nonzero(changed) <= size - kept
        np.testing.assert_allclose(np.sort(changed.ravel())[kept:], distance[: size - kept], atol=1e-5)
    np.testing.assert_array_equal(pruned["head"], weights["head"])


@settings(max_examples=50)
@given(cases(), st.sampled_from(FCN_METHODS), st.sampled_from([0.5, 1.0, 2.0]))
def test_every_method_on_any_shape(case, method, p):
    weights, ratio = case
    purpose = {"singular_value": "singular_value", "node": "node"}.get(method, "univariate")
    names = layers.prunable(weights, method)  # not those of a single observation
    assume(names)
    if any(not centred(weights[name], purpose).any() for name in names):
        with pytest.raises(InputError, match="observations are equal"):  # one row or column is its own median
            pruning.Pruner(weights, method=method, p=p).at_ratio(ratio)
        return
    pruned = pruning.Pruner(weights, method=method, p=p).at_ratio(ratio)
    dense = pruned.weights()
    for name, weight in weights.items():
        assert dense[name].shape == weight.shape
        assert dense[name].dtype == weight.dtype
    x = np.random.default_rng(0).standard_normal((3, next(iter(weights.values())).shape[1])).astype(np.float32)
    scale = 1 + np.abs(reference(dense, x)).max()
    np.testing.assert_allclose(pruned.chain(x), reference(dense, x), atol=2e-5 * scale)
    for norm in pruning.NORMS:
        removed = sum(np.sum(np.abs(dense[n].astype(float) - weights[n]) ** norm) for n in list(weights)[:-1])
        total = pruned.totals[norm]
        assert pruned.relative_error(norm) == pytest.approx((removed / total) ** (1 / norm), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("method", FCN_METHODS)
def test_errors_and_costs_are_monotone_and_the_ends_are_exact(method):
    pruned = at_ratios(network(), RATIOS, method=method)
    for norm in pruning.NORMS:
        errors = [each.relative_error(norm) for each in pruned]
        assert errors == sorted(errors) or method == "singular_value"
        assert errors[0] == pytest.approx(0, abs=1e-6)
        assert errors[-1] == pytest.approx(1)
    for cost in ("parameters_left", "stored_parameters"):
        values = [getattr(each, cost) for each in pruned]
        assert values == sorted(values, reverse=True)
    assert pruned[-1].pruned_ratio == 1
    assert pruned[-1].parameters_left == network()["head"].size


@pytest.mark.parametrize("method", FCN_METHODS)
def test_ratio_one_leaves_the_medians_alone(method):
    weights = network()
    purpose = {"singular_value": "singular_value", "node": "node"}.get(method, "univariate")
    for name, dense in pruning.Pruner(weights, method=method).at_ratio(1).weights().items():
        if name != "head":
            median = np.median(layers.observations(weights[name], purpose), axis=0)
            expected = median[:, None] if method == "node" else median
            np.testing.assert_allclose(dense, np.broadcast_to(expected, dense.shape), atol=1e-6)


@pytest.mark.parametrize("ratio", RATIOS)
def test_pythagoras_links_what_stays_and_what_goes(ratio):
    for prune in (pruning.layer_magnitude, pruning.global_magnitude, pruning.singular_value, pruning.node):
        weights = network(dtype=np.float64)
        pruned = prune(weights, ratio)
        purpose = {"singular_value": "singular_value", "node": "node"}.get(prune.__name__, "univariate")
        kept = 0.0
        for name in pruned.pruned:
            median = np.median(layers.observations(weights[name], purpose), axis=0)
            kept += np.sum((layers.observations(pruned.weights()[name], purpose) - median) ** 2)
        assert kept / pruned.totals[2] + pruned.relative_error(2) ** 2 == pytest.approx(1, abs=1e-9)


def test_global_is_layer_wise_for_one_layer():
    weights = network((12, 20, 5))
    for ratio in RATIOS:
        one, other = pruning.global_magnitude(weights, ratio), pruning.layer_magnitude(weights, ratio)
        np.testing.assert_array_equal(one.weights()["fc1"], other.weights()["fc1"])
        assert one.relative_error(1) == other.relative_error(1)


def test_global_removes_the_smallest_of_all_layers():
    weights = network()
    weights["fc2"] = weights["fc2"] * 100  # so it loses nothing while the others can still lose
    pruned = pruning.global_magnitude(weights, 0.3)
    sizes = {name: weights[name].size for name in ("fc1", "fc2")}
    kept = {name: pruned.layers[name].kept for name in sizes}
    assert kept["fc2"] > 0.95 * sizes["fc2"]
    assert sum(kept.values()) == int(0.7 * sum(sizes.values()))
    gone = np.concatenate([(pruned.weights()[n] != weights[n]).ravel() for n in sizes])
    magnitudes = np.concatenate([np.abs(centred(weights[n], "univariate")) for n in sizes])
    assert magnitudes[gone].max() <= magnitudes[~gone].min() + 1e-6


def test_global_ties_go_from_the_first_layer_first():
    weight = np.array([[-1.0, -1, 0, 1, 1]])
    pruned = pruning.global_magnitude({"fc1": weight, "fc2": weight.copy(), "head": np.ones((2, 1))}, 0.5)
    # Five of ten go: both zeros, then three of the first layer's four ones.
    np.testing.assert_array_equal(pruned.weights()["fc1"], [[0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(pruned.weights()["fc2"], [[-1, -1, 0, 1, 1]])


def test_singular_values_at_full_rank_reproduce_the_outputs():
    weights = network((30, 64, 48, 10))
    x = np.random.default_rng(1).standard_normal((50, 30)).astype(np.float32)
    outputs = reference(weights, x)
    np.testing.assert_allclose(pruning.singular_value(weights, 0).chain(x), outputs, atol=1e-4 * np.abs(outputs).max())


def test_singular_value_pruning_is_the_best_approximation_of_its_rank():
    weight = np.random.default_rng(0).standard_normal((20, 30))
    pruned = pruning.singular_value({"fc1": weight, "head": np.ones((2, 20))}, 0.6).layers["fc1"]
    median = np.median(weight, axis=0)
    u, s, v = np.linalg.svd(weight - median)
    np.testing.assert_allclose(pruned.dense(), (u[:, :8] * s[:8]) @ v[:8] + median, atol=1e-10)
    assert pruned.removed[2] == pytest.approx(np.sum(s[8:] ** 2))
    assert pruned.kept == 8 * (20 + 30 + 1)
    assert pruned.stored == pruned.kept + 30


def test_node_removes_whole_columns_by_norm():
    weight = np.array([[1.0, 5, 0, 2, -9], [1, 4, 0, -2, 9]])
    form = pruning.node({"fc1": weight, "head": np.ones((3, 2))}, 0.6).layers["fc1"]
    np.testing.assert_array_equal(form.index, [1, 4])
    np.testing.assert_array_equal(form.dense(), [[1, 5, 1, 1, -9], [1, 4, 1, 1, 9]])
    assert (form.kept, form.stored) == (4, 4 + 2 + 2)


def test_the_norm_decides_which_column_is_small():
    weights = {"fc1": np.array([[3.0, 4, 0, 0, 0], [3, 0, 0, 0, 0]]), "head": np.ones((2, 2))}
    assert pruning.node(weights, 0.8, p=0.5).layers["fc1"].index.tolist() == [0]
    assert pruning.node(weights, 0.8, p=8.0).layers["fc1"].index.tolist() == [1]


def test_convolutions_spare_the_first_layer_and_the_head():
    weights = convolutional()
    for method in ("layer_magnitude", "global_magnitude", "singular_value", "kernel"):
        pruned = pruning.Pruner(weights, method=method).at_ratio(0.5)
        assert pruned.pruned == {"conv2", "conv3"}
        np.testing.assert_array_equal(pruned.weights()["conv1"], weights["conv1"])
    assert layers.prunable(weights, "node") == []


def test_a_layer_that_is_one_observation_is_left_whole():
    weights = convolutional() | {"conv3": np.random.default_rng(1).standard_normal((1, 8, 3, 3))}
    assert layers.prunable(weights, "singular_value") == ["conv2"]
    assert layers.prunable(weights, "kernel") == layers.prunable(weights, "layer_magnitude") == ["conv2", "conv3"]
    assert layers.prunable(network((9, 1, 6, 5)), "node") == ["fc1"]
    assert layers.prunable(network((9, 1, 6, 5)), "singular_value") == ["fc2"]


def test_kernels_go_whole():
    weights = convolutional()
    form = pruning.kernel(weights, 0.25).layers["conv2"]
    sample = layers.observations(weights["conv2"], "kernel")
    after = layers.observations(form.dense(), "kernel")
    gone = (after != sample).any(axis=1)
    assert gone.sum() == 12
    norms = np.linalg.norm(layers.centre(sample), axis=1)
    assert norms[gone].max() < norms[~gone].min()
    np.testing.assert_allclose(after[gone], np.broadcast_to(np.median(sample, axis=0), (12, 9)))
    assert (form.kept, form.stored) == (36 * 9, 36 * 9 + 36 + 9)


def test_costs_of_a_convolution_count_its_positions():
    weights = convolutional()
    positions = {"conv1": 64, "conv2": 64, "conv3": 16}
    whole = PrunedNetwork.unpruned(weights).multiply_adds(positions)
    assert whole == 64 * 54 + 64 * 432 + 16 * 504 + 140
    pruned = pruning.layer_magnitude(weights, 0.5).multiply_adds(positions)
    assert pruned == 64 * 54 + 64 * (216 + 6 + 8 + 9) + 16 * (252 + 8 + 7 + 9) + 140


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_smaller_network_has_the_outputs_of_the_masked_one(ratio):
    weights = network((30, 64, 48, 10))
    pruned = pruning.node(weights, ratio)
    inputs, smaller = pruning.without_columns(pruned)
    masked = {}
    for name, weight in weights.items():
        masked[name] = weight.copy()
        if name != "head":
            masked[name][:, np.setdiff1d(np.arange(weight.shape[1]), pruned.layers[name].index)] = 0
    x = np.random.default_rng(1).standard_normal((40, 30)).astype(np.float32)
    expected = reference(masked, x)
    np.testing.assert_allclose(reference(smaller, x[:, inputs]), expected, atol=1e-5 * max(1, np.abs(expected).max()))
    if ratio == 0.5:
        assert [weight.shape for weight in smaller.values()] == [(32, 15), (48, 32), (10, 48)]


def test_only_chains_can_be_made_smaller():
    with pytest.raises(InputError, match="only a fully connected network"):
        pruning.without_columns(pruning.layer_magnitude(network(), 0.5))


@pytest.mark.parametrize("method", [*FCN_METHODS, "kernel"])
def test_torch_arrays_give_the_same_networks(method):
    weights = convolutional() if method == "kernel" else network(dtype=np.float64)
    tensors = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    for one, other in zip(
        at_ratios(weights, RATIOS, method=method), at_ratios(tensors, RATIOS, method=method), strict=True
    ):
        for name, dense in other.weights().items():
            assert isinstance(dense, torch.Tensor)
            np.testing.assert_allclose(dense, one.weights()[name], atol=1e-9)
        assert other.stored_parameters == one.stored_parameters
        assert other.relative_error(1) == pytest.approx(one.relative_error(1), abs=1e-9)


def test_weights_are_not_changed():
    weights = network()
    before = {name: weight.copy() for name, weight in weights.items()}
    for method in FCN_METHODS:
        for pruned in at_ratios(weights, RATIOS, method=method):
            pruned.chain(np.ones((2, 12), np.float32))
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, before[name])


@pytest.mark.parametrize("method", FCN_METHODS)
def test_layers_of_equal_weights(method):
    weights = network()
    weights["fc2"] = np.full_like(weights["fc2"], 0.3)
    with pytest.raises(InputError, match="layer 'fc2'"):
        pruning.Pruner(weights, method=method).at_ratio(0.5)


def test_bad_input():
    weights = network()
    with pytest.raises(InputError, match=r"1\.5 is not in \[0, 1\]"):
        pruning.layer_magnitude(weights, 1.5)
    with pytest.raises(InputError, match="give p > 0"):
        pruning.node(weights, 0.5, p=0)
    with pytest.raises(InputError, match="did you mean 'kernel'"):
        pruning.Pruner(weights, method="kernels").at_ratio(0.5)
    weights["fc1"][0, 0] = np.inf
    with pytest.raises(InputError, match="layer 'fc1'"), np.errstate(invalid="ignore"):
        pruning.layer_magnitude(weights, 0.5)


def test_errors_are_the_same_to_the_last_digit_in_every_process():
    """Sums over layers must not follow the order of a set of names, which Python changes from process to process."""
    code = (
        "from tests.pruning.networks import *\n"
        "pruned = at_ratios(network((12, 20, 15, 18, 16, 14, 5)), RATIOS, method='node')\n"
        "print([each.relative_error(p).hex() for each in pruned for p in methods.NORMS])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


@pytest.mark.parametrize("place", [np.asarray, torch.from_numpy])
def test_an_own_method(place):
    """Smallest magnitudes by a function of the user's are smallest magnitudes."""

    def smallest(weight, count):
        order = np.abs(weight).ravel().argsort(kind="stable")
        kept = np.ones(weight.size, dtype=bool)
        kept[order[:count]] = False
        return kept.reshape(weight.shape)

    rng = np.random.default_rng(0)
    names = ("conv", "more", "fc", "head")
    shapes = ((4, 2, 3, 3), (5, 4, 3, 3), (7, 20), (3, 7))
    weights = {n: place(rng.normal(size=shape).astype(np.float32)) for n, shape in zip(names, shapes, strict=True)}
    for ratio in (0.0, 0.3, 1.0):
        own = pruning.Pruner(weights, method="mine", own=smallest).at_ratio(ratio)
        ours = pruning.layer_magnitude(weights, ratio)
        for name, weight in ours.weights().items():
            np.testing.assert_array_equal(np.asarray(own.weights()[name]), np.asarray(weight))
        assert own.parameters_left == ours.parameters_left
        assert own.stored_parameters == ours.stored_parameters
        assert own.relative_error(2) == pytest.approx(ours.relative_error(2), rel=1e-12)


@pytest.mark.parametrize("gives", [lambda w, n: w, lambda w, n: w.ravel() > 0, lambda w, n: None])
def test_what_an_own_method_may_not_give(gives):
    weights = {"a": np.eye(3, dtype=np.float32), "head": np.eye(3, dtype=np.float32)}
    with pytest.raises(
        InputError, match=r"config key pruning.own.mine: it gave .*; it must give booleans of the weight's"
    ):
        pruning.Pruner(weights, method="mine", own=gives).at_ratio(0.5)
