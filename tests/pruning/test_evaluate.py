import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgdtails import layers
from sgdtails.config import architectures
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import InputError
from sgdtails.io import storage, tables
from sgdtails.models import building as models
from sgdtails.pruning import evaluate, latency
from sgdtails.pruning import methods as pruning
from sgdtails.pruning.forms import PrunedNetwork
from tests.conftest import Files, script

CPU = torch.device("cpu")
CONFIG = {"fcn": {"fcn": [24, 16]}, "cnn": {"cnn": [4, "M", 6, 8, "M"]}}


@pytest.fixture(scope="module")
def digits():
    return loaders.load("digits", {"kind": "digits"}, root="nowhere", download=False)


def rows(dataset, name, method, *, device=CPU, chain=False, evaluated=("test", "train"), epsilons=(), **more):
    train, test = data.splits(dataset, device)
    splits = {key: split for key, split in (("test", test), ("train", train)) if key in evaluated}
    model = models.build(name, dataset.shape, 10, CONFIG, seed=1)
    weights = layers.weights(models.state(model))
    if chain:
        weights, how, positions = layers.placed(weights, device), evaluate.fully_connected(splits), {}
    else:
        how, positions = evaluate.module(model, splits), evaluate.output_positions(model, dataset.shape)
    return list(
        evaluate.pruning_rows(
            weights, how, evaluate.Sweep(method, [0, 0.5, 0.9], epsilons), positions=positions, **more
        )
    )


@pytest.mark.parametrize("method", ["layer_magnitude", "global_magnitude", "singular_value", "node", "row"])
def test_numpy_chains_torch_chains_and_modules_agree(digits, method):
    more = {"epsilons": [0.5] if method in pruning.ADAPTIVE else [], "centring": "mean", "exempt": []}
    numpy_rows = rows(digits, "fcn", method, device=None, chain=True, **more)
    # A few images may be decided otherwise by rounding; relative accuracy has the unpruned network's as its unit.
    images = {"test_accuracy": 1e-2, "train_accuracy": 1e-2}
    images["relative_test_accuracy"] = 1e-2 / numpy_rows[0]["test_accuracy"]
    for other in (rows(digits, "fcn", method, chain=True, **more), rows(digits, "fcn", method, **more)):
        for one, two in zip(numpy_rows, other, strict=True):
            assert one.keys() == two.keys()
            for key, value in one.items():
                assert value == pytest.approx(two[key], abs=images.get(key, 1e-4)), key


def test_positions_are_those_of_the_outputs(digits):
    model = models.build("cnn", digits.shape, 10, CONFIG)
    assert evaluate.output_positions(model, digits.shape) == {"conv1": 64, "conv2": 16, "conv3": 16}
    unpruned = rows(digits, "cnn", "kernel")[0]
    assert unpruned["multiply_adds"] >= 64 * 36 + 16 * (24 + 48) * 9 + 320
    assert unpruned["parameters_left"] == 36 + (24 + 48) * 9 + 320


@pytest.mark.parametrize("method", ["layer_magnitude", "singular_value", "node"])
def test_a_row_has_a_ratio_or_a_relative_error(digits, method):
    found = rows(digits, "fcn", method, device=None, chain=True, epsilons=[0.1, 0.6])
    asked = [(row["ratio"], row["epsilon"]) for row in found]
    assert asked == [(0, None), (0.5, None), (0.9, None), (None, 0.1), (None, 0.6)]
    assert found[3]["relative_error_l2"] <= 0.1
    assert found[3]["relative_error_l2"] <= found[4]["relative_error_l2"] <= 0.6
    assert found[3]["pruned_ratio"] < found[4]["pruned_ratio"]
    missing = list(evaluate.missing_rows(evaluate.Sweep(method, [0, 0.5, 0.9], [0.1, 0.6])))
    assert [(row["ratio"], row["epsilon"]) for row in missing] == asked


@pytest.mark.parametrize(("method", "blocks", "adds"), [("filter", 4, 36), ("channel", 2, 4 + 6 * 9)])
def test_filters_and_channels_of_a_network(digits, method, blocks, adds):
    whole, half, _ = rows(digits, "cnn", method)
    assert whole["relative_test_accuracy"] == 1
    (_, other, *_) = rows(digits, "cnn", method, exempt=["first_convolution", "conv3", "head"])
    # Of the second convolution, (6, 4, 3, 3), three filters of 36 numbers or two channels of 54 go.
    assert other["parameters_left"] == whole["parameters_left"] - 3 * 36
    assert other["pruned_ratio"] == 0.5
    assert whole["multiply_adds"] - half["multiply_adds"] == 16 * (108 + 216)
    unpruned = 64 * 36 + 16 * (216 + 432) + 320
    assert other["multiply_adds"] == unpruned - 16 * 108 + 16 * adds


def test_splits_that_are_not_evaluated_are_none(digits):
    (row, *_) = rows(digits, "fcn", "node", device=None, chain=True, evaluated=("test",))
    assert row["train_nll"] is None
    assert row["train_accuracy"] is None
    assert row["test_nll"] > 0


@pytest.mark.parametrize("method", ["layer_magnitude", "singular_value", "node"])
def test_a_network_is_evaluated_before_pruning_once_for_all_methods(digits, method):
    """What is passed in stands for that evaluation, and for ratio 0 where the network is the same, bit for bit."""
    evaluated = []
    test = data.splits(digits, None)[1]
    weights = layers.weights(models.state(models.build("fcn", digits.shape, 10, CONFIG, seed=1)))
    measure = evaluate.fully_connected({"test": test})

    def counted(network):
        evaluated.append(network)
        return measure(network)

    sweep = evaluate.Sweep(method, [0, 0.5])
    alone = list(evaluate.pruning_rows(weights, counted, sweep, positions={}))
    expected = 2 if method == "layer_magnitude" else 3
    assert len(evaluated) == expected
    unpruned = measure(PrunedNetwork.unpruned(weights))
    assert list(evaluate.pruning_rows(weights, counted, sweep, unpruned=unpruned, positions={})) == alone
    assert len(evaluated) == expected + expected - 1


def test_a_method_without_layers_has_no_rows(digits):
    assert rows(digits, "fcn", "kernel") == []
    assert rows(digits, "cnn", "node") == []


def test_missing_rows_have_the_same_columns(digits):
    (row,) = evaluate.missing_rows(evaluate.Sweep("node", [0.5]))
    assert row.keys() == rows(digits, "fcn", "node", device=None, chain=True)[0].keys()
    assert {value for key, value in row.items() if key not in ("method", "ratio")} == {None}


def test_all_layers_exempt(digits):
    assert rows(digits, "fcn", "node", device=None, chain=True, exempt=[0, 1, 2]) == []
    with pytest.raises(InputError, match="unknown layer 'fc9' in config key pruning.exempt: did you mean 'fc"):
        rows(digits, "fcn", "node", device=None, chain=True, exempt=["fc9"])


def test_the_job_prunes_by_what_the_config_says(digits, tmp_path):
    """Relative errors where a method has them, the centring, and the exempt layers: the head is pruned here."""
    rng = np.random.default_rng(0)
    weights = {"fc1.weight": (16, 64), "head.weight": (10, 16)}
    state = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}
    storage.save_arrays(tmp_path / "last", state, {"run": "a", "status": "averaged"})
    data.write(digits, tmp_path / "digits")
    methods = ("layer_magnitude", "global_magnitude", "row")
    settings = {
        "run": {"run": "a", "model": "fcn"},
        "model": {"fcn": [16]},
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "weights": "last",
        "evaluate": ["test"],
        "own": {},
        "centring": "none",
        "exempt": [],
        "adaptive": {"epsilon": [0.1]},
        "methods": {method: {"ratios": [0.5]} for method in methods},
    }
    smk = SimpleNamespace(
        params=SimpleNamespace(settings=json.dumps(settings), code=""),
        input=Files(dataset=str(tmp_path / "digits"), trained=str(tmp_path / "last")),
        output=Files(pruned=str(tmp_path / "runs/a/pruned.parquet")),
    )
    script("prune").main(smk)
    found = tables.read(smk.output.pruned).to_pylist()
    assert {row["weights"] for row in found} == {"last"}
    asked = {(row["method"], row["ratio"], row["epsilon"]) for row in found}
    assert asked == {(method, 0.5, None) for method in methods} | {(m, None, 0.1) for m in methods if "global" not in m}
    entries = next(row for row in found if row["method"] == "layer_magnitude" and row["ratio"])
    assert entries["parameters_left"] == (16 * 64 + 16 * 10) / 2
    assert entries["stored_parameters"] == 2 * entries["parameters_left"]  # no medians
    assert {row["robust_accuracy"] for row in found} == {None}
    smk.params.settings = json.dumps(settings | {"attack": {"epsilon": 0.1, "steps": 3}})
    script("prune").main(smk)
    attacked = tables.read(smk.output.pruned).to_pylist()
    assert [row | {"robust_accuracy": None} for row in attacked] == found
    assert all(0 <= row["robust_accuracy"] <= row["test_accuracy"] for row in attacked)
    state["fc1.weight"][0, 0] = np.nan
    storage.save_arrays(tmp_path / "last", state, {"run": "a", "status": "averaged"})
    script("prune").main(smk)
    missing = tables.read(smk.output.pruned).to_pylist()
    assert {(row["method"], row["ratio"], row["epsilon"]) for row in missing} == asked
    assert {row["test_accuracy"] for row in missing} == {None}


def test_files_of_another_model():
    weights = {"fc1": np.ones((3, 4)), "head": np.ones((2, 3))}
    layers.check(weights, {"fc1": (3, 4), "head": (2, 3)}, "a")
    with pytest.raises(InputError, match=r"a\.safetensors: layer 'head' has shape \(2, 3\), but the model needs"):
        layers.check(weights, {"fc1": (3, 4), "head": (2, 5)}, "a.safetensors")
    with pytest.raises(InputError, match="layer 'fc2' is missing"):
        layers.check(weights, {"fc1": (3, 4), "fc2": (3, 3), "head": (2, 3)}, "a")
    with pytest.raises(InputError, match="layer 'head' has shape .* but the model has no such layer"):
        layers.check(weights, {"fc1": (3, 4)}, "a")


def test_a_network_that_starts_with_equal_weights_is_compressed_where_it_was_trained(tmp_path):
    rng = np.random.default_rng(0)
    weights = {"fc1.weight": rng.standard_normal((6, 5)), "head.weight": rng.standard_normal((3, 6))}
    equal = weights | {"head.weight": np.zeros((3, 6))}
    smk = SimpleNamespace(
        params=SimpleNamespace(
            settings='{"weights": "last", "centring": "median", "p": [2.0], "epsilon": [0.1]}', code=""
        )
    )

    def found(kind, state):
        storage.save_arrays(tmp_path / kind, state, {"run": "a", "status": "averaged"})
        name = "initial" if kind == "initial" else "trained"
        smk.input = Files(**{name: str(tmp_path / kind)})
        smk.output = Files(compression=str(tmp_path / "runs/a/compression.parquet"))
        script("compression").main(smk)
        return tables.read(smk.output.compression)["weights"].to_pylist()

    assert found("initial", equal) == []
    assert set(found("initial", weights)) == {"initial"}
    assert set(found("last", weights)) == {"last"}
    with pytest.raises(InputError, match="last: layer 'head'"):
        found("last", equal)


def test_without_a_centre_the_smaller_network_is_the_pruned_one(digits):
    """Columns that become 0 can be left out: latency's network has the accuracy of the pruned network's row."""
    rng = np.random.default_rng(3)
    names = architectures.fully_connected_shapes(64, [24, 16], 10)
    weights = {name: rng.standard_normal(shape).astype(np.float32) + 0.1 for name, shape in names.items()}
    test = data.splits(digits, None)[1]
    pruned = evaluate.pruning_rows(
        weights,
        evaluate.fully_connected({"test": test}),
        evaluate.Sweep("node", [0.5]),
        positions={},
        centring="none",
    )
    small = latency.latency_rows(weights, test, ratios=[0.5], p=2.0, centring="none")
    assert next(small)["test_accuracy"] == next(pruned)["test_accuracy"]
