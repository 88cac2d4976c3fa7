"""Layers as torch tensors: the same tables as from numpy's arrays, without leaving their device."""

import numpy as np
import pytest
import torch

from sgdtails import arrays
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index.permutations import FEWEST

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")),
]


def rng(seed=0):
    return np.random.default_rng(seed)


WEIGHTS = {
    "conv": stable.sample(1.6, 32 * 16 * 9, rng=rng()).reshape(32, 16, 3, 3).astype(np.float32),
    "grid": (rng(1).integers(-512, 513, (120, 60)) / 512).astype(np.float32),  # zeros among entries and block sums
    "doubles": stable.elliptical(1.4, 300, 40, rng=rng(2)),
    "far off": (rng(3).standard_normal((45, 21)) * 3 + 100).astype(np.float32),
    "prime": rng(4).standard_normal((7, 3)).astype(np.float32),
    "equal": np.full((64, 12), 0.3, np.float32),
    "tiny": rng(5).standard_normal((64, 9)).astype(np.float32) * np.float32(1e-30),  # squares leave the range
    "head": rng(6).standard_normal((10, 300)).astype(np.float32),
}


def own(sample):
    assert isinstance(sample, np.ndarray)
    return 1 + float(np.abs(sample).mean()) if np.abs(sample).mean() < 1e3 else 1.0


def rows(weights):
    return list(layer_tails.per_layer(weights, seed=3, own={"mine": own}))


def placed(weights, device):
    return {name: torch.from_numpy(weight).to(device) for name, weight in weights.items()}


def assert_close(found, expected):
    """Sums in another order differ by 1e-7 of their terms, and intervals by what that is of a small spread.

    Where 1/alpha is near 0, its rounding is large beside it.
    """
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for column, value in row.items():
            if isinstance(value, float) and value != other[column]:
                within = 1e-5 if column in ("alpha", "alpha_published", "log_norm_dispersion") else 1e-4
                where = (row["layer_name"], row.get("estimator"), row.get("k1"), column)
                assert value == pytest.approx(other[column], rel=within, abs=1e-5 * ("drift" in column)), where
            else:
                assert value == other[column], (row["layer_name"], row.get("estimator"), column)


@pytest.mark.parametrize("device", DEVICES)
def test_tails_are_those_of_numpy(device):
    found = rows(placed(WEIGHTS, device))
    assert_close(found, rows(WEIGHTS))
    without = {(row["layer_name"], row["estimator"] == "spectrum") for row in found if row["reason"]}
    # Eigenvalues of tiny weights are below WeightWatcher's threshold; a matrix of three columns has too few.
    assert without == {("prime", False), ("equal", False), ("prime", True), ("equal", True), ("tiny", True)}


@pytest.mark.parametrize("device", DEVICES)
def test_readings_are_those_of_numpy(device):
    found = list(layer_tails.per_layer_classes(placed(WEIGHTS, device), seed=3))
    assert_close(found, list(layer_tails.per_layer_classes(WEIGHTS, seed=3)))


@pytest.mark.parametrize("device", DEVICES)
def test_orders_of_large_samples_are_those_of_numpy(device):
    weights = {"large": rng(7).standard_normal((1024, FEWEST // 1024), np.float32)}
    settings = layer_tails.Settings(permutations=1, orders=1, block_lengths=(2, 16), robustness=False)
    found, expected = (
        list(layer_tails.per_layer(which, seed=3, settings=settings)) for which in (placed(weights, device), weights)
    )
    assert_close(found, expected)


def test_weights_stay_as_they_are():
    tensors = placed({name: weight.copy() for name, weight in WEIGHTS.items()}, "cpu")
    rows(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.numpy(), WEIGHTS[name])


def test_what_leaves_the_device_is_short(monkeypatch):
    sizes, host = [], arrays.host
    monkeypatch.setattr(arrays, "host", lambda array: sizes.append(array.numel()) or host(array))
    weight = {"fc": rng(8).standard_normal((256, 256), np.float32)}
    list(layer_tails.per_layer(placed(weight, "cpu"), seed=0))
    assert 0 < max(sizes) <= 513  # two of each of sqrt(65,536) blocks; one magnitude more than the longest block has
