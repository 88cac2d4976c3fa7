"""Each layer pruned to one relative error: the scheme of assumption H1 and Theorem 5."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import torch

from sgdtails import layers
from sgdtails.claims.study import Study
from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.pruning import compression
from sgdtails.pruning import methods as pruning
from tests.pruning.networks import convolutional, network

EPSILONS = [0.01, 0.1, 0.3, 0.6, 0.95]
LINEAR = ("layer_magnitude", "singular_value", "node", "row")
CONVOLUTIONAL = ("kernel", "filter", "channel")


def case(method):
    return convolutional() if method in CONVOLUTIONAL else network((12, 20, 15, 5), dtype=np.float64)


def purpose(method):
    return "univariate" if method == "layer_magnitude" else method


def error(form, weight, method, centring="median"):
    """The relative l2 error of a layer, from what its weights became."""
    sample, after = (layers.observations(each, purpose(method)) for each in (weight, form.dense()))
    return np.linalg.norm(after - sample) / np.linalg.norm(layers.centre(sample, how=centring))


@pytest.mark.parametrize("centring", layers.CENTRINGS)
@pytest.mark.parametrize("p", [0.5, 2.0])
@pytest.mark.parametrize("method", [*LINEAR, *CONVOLUTIONAL])
def test_every_layer_keeps_to_the_error_and_one_more_term_exceeds_it(method, p, centring):
    weights = case(method)
    pruner = pruning.Pruner(weights, method=method, p=p, centring=centring)
    for epsilon in EPSILONS:
        pruned = pruner.at_error(epsilon)
        assert pruned.relative_error(2) <= epsilon + 1e-12
        for name in pruned.pruned:
            plan = pruning.METHODS[method](name, weights[name], p, centring)
            count = compression.allowed(plan.errors, epsilon)
            assert error(pruned.layers[name], weights[name], method, centring) <= epsilon + 1e-12
            assert pruned.layers[name].kept == plan.pruned(count).kept
            assert error(plan.pruned(count + 1), weights[name], method, centring) > epsilon


@pytest.mark.parametrize(
    ("method", "structure"),
    [("layer_magnitude", "entries"), ("singular_value", "singular_values"), ("node", "columns"), ("kernel", "kernels")],
)
@pytest.mark.parametrize("centring", layers.CENTRINGS)
def test_what_each_layer_keeps_is_its_kappa(method, structure, centring):
    weights = case(method)
    rows = compression.per_layer(weights, p=[2.0], epsilon=EPSILONS, centring=centring)
    kappas = {(row["layer_name"], row["epsilon"]): row["kappa"] for row in rows if row["structure"] == structure}
    pruner = pruning.Pruner(weights, method=method, centring=centring)
    for epsilon in EPSILONS:
        pruned = pruner.at_error(epsilon)
        for name in pruned.pruned:
            form = pruned.layers[name]
            assert form.kept / form.size == pytest.approx(kappas[name, epsilon], rel=1e-12)


def test_layers_of_different_laws_have_the_kappas_of_their_closed_forms():
    rng = np.random.default_rng(0)
    weights = {"fc1": rng.standard_normal((1000, 1000)), "fc2": 1e-3 * rng.laplace(size=(1000, 1000))}
    pruned = pruning.Pruner(weights | {"head": np.ones((2, 2))}, method="layer_magnitude").at_error(0.1)
    ratios = [1 - pruned.layers[name].kept / 1e6 for name in weights]
    assert ratios == pytest.approx([0.2653, 0.3534], abs=2e-3)
    assert pruned.pruned_ratio == pytest.approx(np.mean(ratios))  # over all layers, as on the axis of figure 4
    assert pruned.relative_error(2) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("method", [*LINEAR, *CONVOLUTIONAL])
def test_relations(method):
    weights = case(method)
    before = pruning.Pruner(weights, method=method)
    scaled = pruning.Pruner({name: weight * 8 for name, weight in weights.items()}, method=method)
    tensors = pruning.Pruner({name: torch.from_numpy(weight) for name, weight in weights.items()}, method=method)
    plan = pruning.METHODS[method]("last", torch.from_numpy(list(weights.values())[-2]), 2.0, "median")
    assert isinstance(plan.errors, np.ndarray)  # a GPU's running sums are not repeatable
    left = []
    for epsilon in EPSILONS:
        kept = {name: form.kept for name, form in before.at_error(epsilon).layers.items()}
        for other in (scaled, tensors):
            assert {name: form.kept for name, form in other.at_error(epsilon).layers.items()} == kept
        left.append(sum(kept.values()))
    assert left == sorted(left, reverse=True)
    nothing, everything = before.at_error(0), before.at_error(1)
    # The centre of an odd sample is one of its observations: it can go at no error at all.
    assert nothing.relative_error(2) == pytest.approx(0, abs=1e-7)
    assert everything.pruned_ratio == 1


def test_in_one_layer_it_is_pruning_by_the_ratio_that_it_found():
    weights = network((12, 20, 5), dtype=np.float64)
    for method in ("layer_magnitude", "node", "row"):
        pruner = pruning.Pruner(weights, method=method)
        for epsilon in EPSILONS:
            pruned = pruner.at_error(epsilon)
            same = pruner.at_ratio(Fraction(pruned.pruned_ratio).limit_denominator(1000))  # exact, as written
            np.testing.assert_array_equal(same.weights()["fc1"], pruned.weights()["fc1"])
            assert same.stored_parameters == pruned.stored_parameters


def test_methods_without_an_error_of_each_layer():
    weights = network()
    for how in ({"method": "global_magnitude"}, {"method": "mine", "own": lambda weight, count: weight > 0}):
        with pytest.raises(InputError, match="cannot prune each layer to one relative error; use one of: layer_magn"):
            pruning.Pruner(weights, **how).at_error(0.1)
    with pytest.raises(InputError, match=r"relative error 1\.5 is not in \[0, 1\]"):
        pruning.Pruner(weights, method="node").at_error(1.5)


def test_claims_read_curves_by_ratio_only():
    asked = [(0.0, None), (0.5, None), (1.0, None), (None, 0.1), (None, 0.6)]
    rows = [
        dict.fromkeys(tables.SCHEMAS["pruning"].names)
        | {"run": "a", "weights": "final", "method": "node", "ratio": ratio, "epsilon": epsilon}
        | {"pruned_ratio": ratio if epsilon is None else epsilon + 0.1, "relative_test_accuracy": 1.0}
        for ratio, epsilon in asked
    ]
    pruning_table = pa.Table.from_pylist(rows, schema=tables.SCHEMAS["pruning"])
    others = dict.fromkeys(("runs", "tails", "compression", "synthetic", "histograms"))
    for table in (pruning_table, pruning_table.slice(0, 3).drop_columns(["epsilon"])):  # or one of earlier versions
        assert Study(pruning=table, **others).curves["node"]["a"][0].tolist() == [0, 0.5, 1]
