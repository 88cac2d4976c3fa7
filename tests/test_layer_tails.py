import tracemalloc

import numpy as np
import pytest

from sgdtails import estimators, layer_tails, schemas, tail_index


def rng(seed=0):
    return np.random.default_rng(seed)


WEIGHTS = {"fc1": rng().standard_normal((64, 12)), "head": rng(1).standard_normal((10, 64))}


def test_rows_of_a_network():
    rows = list(layer_tails.per_layer(WEIGHTS, seed=0))
    assert {(row["layer"], row["layer_name"], row["observations"], row["dimension"]) for row in rows} == {
        (0, "fc1", 64, 12), (0, "fc1", 768, 1), (1, "head", 64, 10), (1, "head", 640, 1),
    }  # fmt: skip
    names = [*layer_tails.ESTIMATORS, *estimators.ESTIMATORS]
    for layer in (0, 1):
        aggregates = [row for row in rows if row["layer"] == layer and row["k1"] is None]
        assert [row["estimator"] for row in aggregates] == names
    for row in rows:
        assert {"run", "weights", *row} == set(schemas.SCHEMAS["tails"].names)
        assert row["alpha_low"] < row["alpha_high"]
        mmo = row["estimator"].startswith("mmo")
        assert (row["alpha_published"] is not None) == (mmo and row["k1"] is None)
        if row["alpha_published"] is not None:
            assert row["alpha_published"] == min(row["alpha"], 2.0)
        assert row["reason"] is None
    assert rows == list(layer_tails.per_layer(WEIGHTS, seed=0))


def test_values_are_those_of_the_estimator():
    rows = list(layer_tails.of_layer(WEIGHTS["fc1"], seed=[3]))
    sample = (WEIGHTS["fc1"].astype(np.float32) - np.median(WEIGHTS["fc1"].astype(np.float32), axis=0)).astype(
        np.float32
    )
    lengths, inverse = tail_index.profile(sample, rng=rng([3, 0]))
    mmo = [row for row in rows if row["estimator"] == "mmo_multivariate"]
    assert [row["k1"] for row in mmo] == [*lengths, None]
    assert [row["alpha"] for row in mmo[:-1]] == pytest.approx(1 / np.median(inverse, axis=0))
    assert mmo[-1]["alpha"] == tail_index.aggregate(inverse)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (rng().standard_normal((7, 3)), "7 observations have no admissible block length"),
        (np.full((64, 12), 0.3), "zero"),
        (np.full((64, 12), np.nan), "finite"),
    ],
)
def test_a_layer_without_a_tail_index_has_rows_with_the_reason(weight, reason):
    with np.errstate(invalid="ignore"):
        rows = list(layer_tails.of_layer(weight))
        readings = list(layer_tails.per_layer_readings({"fc1": weight}, seed=0))
    multivariate = rows[0]
    assert reason in multivariate["reason"]
    for row in rows:
        assert (row["alpha"] is None) == (row["reason"] is not None)
    assert readings[0]["reading"] == "undecided"
    assert readings[0]["reason"]


def test_readings_have_a_row_per_layer():
    rows = list(layer_tails.per_layer_readings(WEIGHTS, seed=0))
    assert [(row["layer"], row["layer_name"]) for row in rows] == [(0, "fc1"), (1, "head")]
    assert rows == list(layer_tails.per_layer_readings(WEIGHTS, seed=0))


def test_memory_is_four_times_the_layer():
    """Beside the weights: the sample, its signed permutation, logarithms and contrasts; and small change."""
    weight = rng().standard_normal((2048, 1024), np.float32)
    list(layer_tails.of_layer(weight[:64, :64]))  # what is imported now is not counted then
    tracemalloc.start()
    try:
        list(layer_tails.of_layer(weight))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.1 * weight.nbytes
