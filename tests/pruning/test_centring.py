"""Observations less their median, mean or nothing: what pruning and kappa make of each."""

import numpy as np
import pytest
import torch

from sgdtails import layers
from sgdtails.errors import InputError
from sgdtails.pruning import compression
from sgdtails.pruning import methods as pruning
from tests.pruning.networks import RATIOS, convolutional, network, reference

CENTRES = {"median": np.median, "mean": np.mean, "none": lambda sample, axis: 0 * sample[0]}
METHODS = ("layer_magnitude", "global_magnitude", "singular_value", "node", "row", "kernel", "filter", "channel")


def case(method):
    return convolutional() if method in ("kernel", "filter", "channel") else network((12, 21, 16, 5), dtype=np.float64)


def purpose(method):
    return "univariate" if "magnitude" in method else method


@pytest.mark.parametrize("how", layers.CENTRINGS)
@pytest.mark.parametrize("shape", [(7,), (8,), (7, 3), (8, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_middle_is_numpys_for_both_kinds_of_array(how, shape, dtype):
    sample = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = CENTRES[how](sample.astype(float), axis=0).astype(dtype)
    for found in (layers.middle(sample, how), layers.middle(torch.from_numpy(sample), how).numpy()):
        np.testing.assert_allclose(found, expected, rtol=1e-14 if how == "mean" else 0)  # sums have an order
        assert found.dtype == dtype
    np.testing.assert_allclose(layers.centre(sample, how=how), sample - expected.astype(float), atol=1e-7)
    assert layers.centre(sample, np.float32, how).dtype == np.float32


def test_the_median_is_what_is_taken_unless_another_is_named():
    sample = np.array([[0.0, 3], [1, 9], [5, 0]])
    np.testing.assert_array_equal(layers.centre(sample), layers.centre(sample, how="median"))
    np.testing.assert_array_equal(layers.centre(sample), [[-1, 0], [0, 6], [4, -3]])
    np.testing.assert_array_equal(layers.centre(sample, how="mean"), [[-2, -1], [-1, 5], [3, -4]])
    same = layers.centre(sample, how="none")
    np.testing.assert_array_equal(same, sample)
    assert not np.shares_memory(same, sample)  # who works on it must not change the layer


def test_equal_observations_are_their_mean():
    for dtype in (np.float32, np.float64):
        sample = np.full((999_999,), 0.3, dtype=dtype)
        assert not layers.centre(sample, how="mean").any()
        assert not layers.centre(sample.reshape(-1, 3), how="mean").any()


def test_unknown_centring_names_the_nearest():
    for centre in (
        lambda: layers.centre(np.ones(3), how="medain"),
        lambda: pruning.Pruner(network(), method="node", centring="medain"),
        lambda: list(compression.per_layer(network(), p=[2.0], epsilon=[0.1], centring="medain")),
    ):
        with pytest.raises(InputError, match=r"unknown centring 'medain' in the config: did you mean 'med"):
            centre()


@pytest.mark.parametrize("how", layers.CENTRINGS)
@pytest.mark.parametrize("method", METHODS)
def test_removed_terms_become_the_centre(method, how):
    weights = case(method)
    for name, dense in pruning.Pruner(weights, method=method, centring=how).at_ratio(1).weights().items():
        if name not in ("conv1", "head"):
            sample = layers.observations(weights[name], purpose(method))
            after = layers.observations(dense, purpose(method))
            np.testing.assert_allclose(after, np.broadcast_to(CENTRES[how](sample, axis=0), sample.shape), atol=1e-12)


@pytest.mark.parametrize("how", layers.CENTRINGS)
@pytest.mark.parametrize("method", METHODS)
def test_costs_and_errors(method, how):
    """Without a centre there is none to store, none to add back, and the error is that of the weights as they are."""
    weights = case(method)
    for ratio in RATIOS:
        pruned, medians = (
            pruning.Pruner(weights, method=method, centring=each).at_ratio(ratio) for each in (how, "median")
        )
        dense = pruned.weights()
        for name in pruned.pruned:
            form, other = pruned.layers[name], medians.layers[name]
            size = layers.middle(layers.observations(weights[name], purpose(method))).size
            if method != "global_magnitude":  # which takes other numbers from a layer by another centre
                assert form.stored == other.stored - size * (how == "none")
                assert form.kept == other.kept
                assert (form.multiply_adds == other.multiply_adds) == (how != "none")
            if how == "none" and method not in ("singular_value", "global_magnitude"):
                assert form.multiply_adds == form.kept
        subject = [
            (layers.observations(weights[name], purpose(method)), layers.observations(dense[name], purpose(method)))
            for name in pruned.pruned
        ]
        for norm in pruning.NORMS:
            removed = sum(np.sum(np.abs(after - before) ** norm) for before, after in subject)
            total = sum(np.sum(np.abs(layers.centre(before, how=how)) ** norm) for before, _ in subject)
            assert pruned.relative_error(norm) == pytest.approx((removed / total) ** (1 / norm), abs=1e-7)
        if "conv1" not in weights:
            x = np.random.default_rng(0).standard_normal((6, 12))
            np.testing.assert_allclose(pruned.chain(x), reference(dense, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "global_magnitude"])
def test_a_centre_is_blind_to_a_shift_and_none_is_not(method):
    weights = case(method)
    shifted = {name: weight + 0.5 for name, weight in weights.items()}
    for how in layers.CENTRINGS:
        one, other = (pruning.Pruner(each, method=method, centring=how).at_ratio(0.5) for each in (weights, shifted))
        same = all(np.allclose(other.weights()[name] - 0.5, dense, atol=1e-9) for name, dense in one.weights().items())
        assert same == (how != "none")


def test_kappa_without_a_centre_is_that_of_the_weights_as_they_are():
    weights = {name: weight + 0.5 for name, weight in network().items()}
    rows = compression.per_layer(weights, p=[1.0, 2.0], epsilon=[0.1, 0.3], centring="none")
    for row in (row for row in rows if row["structure"] == "entries"):
        errors = compression.relative_errors(weights[row["layer_name"]].ravel(), row["p"])
        assert row["kappa"] == compression.kappa(errors, row["epsilon"])
    shifted = {name: weight - weight.mean() for name, weight in weights.items()}
    mean, zero = (
        list(compression.per_layer(each, p=[2.0], epsilon=[0.1, 0.3], centring=how))
        for each, how in ((weights, "mean"), (shifted, "none"))
    )
    of_entries = [
        [(row["layer"], row["epsilon"], row["kappa"]) for row in rows if row["structure"] == "entries"]
        for rows in (mean, zero)
    ]
    assert of_entries[0] == of_entries[1]
    # Stable rank and PQ index are of the weights as they are, whatever the centring.
    assert mean[0]["stable_rank"] != zero[0]["stable_rank"]
