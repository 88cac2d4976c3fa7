from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgdtails import data, layers, models, prunability, sources, storage, tables
from sgdtails.errors import InputError
from tests.conftest import script

CPU = torch.device("cpu")
CONFIG = {"fcn": {"fcn": [24, 16]}, "cnn": {"cnn": [4, "M", 6, 8, "M"]}}


@pytest.fixture(scope="module")
def digits():
    return sources.load("digits", {"kind": "digits"}, root="nowhere", download=False)


def rows(dataset, name, method, *, device=CPU, chain=False, evaluate=("test", "train")):
    train, test = data.splits(dataset, device)
    splits = {key: split for key, split in (("test", test), ("train", train)) if key in evaluate}
    model = models.build(name, dataset.shape, 10, CONFIG, seed=1)
    weights = layers.weights(models.state(model))
    if chain:
        weights, how, positions = layers.placed(weights, device), prunability.fully_connected(splits), {}
    else:
        how, positions = prunability.module(model, splits), prunability.output_positions(model, dataset.shape)
    p = 2.0
    return list(prunability.rows(weights, how, method=method, ratios=[0, 0.5, 0.9], p=p, positions=positions))


@pytest.mark.parametrize("method", ["layer_magnitude", "global_magnitude", "singular_value", "node"])
def test_numpy_chains_torch_chains_and_modules_agree(digits, method):
    numpy_rows = rows(digits, "fcn", method, device=None, chain=True)
    for other in (rows(digits, "fcn", method, chain=True), rows(digits, "fcn", method)):
        for one, two in zip(numpy_rows, other, strict=True):
            assert one.keys() == two.keys()
            for key, value in one.items():
                assert value == pytest.approx(two[key], abs=1e-2 if "accuracy" in key else 1e-4), key


def test_positions_are_those_of_the_outputs(digits):
    model = models.build("cnn", digits.shape, 10, CONFIG)
    assert prunability.output_positions(model, digits.shape) == {"conv1": 64, "conv2": 16, "conv3": 16}
    unpruned = rows(digits, "cnn", "kernel")[0]
    assert unpruned["multiply_adds"] >= 64 * 36 + 16 * (24 + 48) * 9 + 320
    assert unpruned["parameters_left"] == 36 + (24 + 48) * 9 + 320


def test_splits_that_are_not_evaluated_are_none(digits):
    (row, *_) = rows(digits, "fcn", "node", device=None, chain=True, evaluate=("test",))
    assert row["train_nll"] is None
    assert row["train_accuracy"] is None
    assert row["test_nll"] > 0


def test_a_method_without_layers_has_no_rows(digits):
    assert rows(digits, "fcn", "kernel") == []
    assert rows(digits, "cnn", "node") == []


def test_missing_rows_have_the_same_columns(digits):
    (row,) = prunability.missing(method="node", ratios=[0.5])
    assert row.keys() == rows(digits, "fcn", "node", device=None, chain=True)[0].keys()
    assert {value for key, value in row.items() if key not in ("method", "ratio")} == {None}


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
    storage.save_arrays(tmp_path / "initial", weights | {"head.weight": np.zeros((3, 6))}, {"run": "a"})
    storage.save_arrays(tmp_path / "last", weights, {"run": "a"})
    smk = SimpleNamespace(
        params=SimpleNamespace(settings='{"weights": "last", "p": [2.0], "epsilon": [0.1]}', code=""),
        input=SimpleNamespace(initial=tmp_path / "initial", trained=tmp_path / "last"),
        wildcards=SimpleNamespace(run="a"),
        output=[tmp_path / "out.parquet"],
    )
    script("compression").main(smk)
    assert set(tables.read(tmp_path / "out.parquet")["weights"].to_pylist()) == {"last"}
    storage.save_arrays(tmp_path / "last", weights | {"head.weight": np.zeros((3, 6))}, {"run": "a"})
    with pytest.raises(InputError, match="last: layer 'head'"):
        script("compression").main(smk)
