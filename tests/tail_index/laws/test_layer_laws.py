"""Labels of layers of known laws, and the rows of table laws where there is little to fit."""

import math

import numpy as np
import pyarrow as pa
import pytest

from sgdtails.schemas.law_schemas import SCHEMAS
from sgdtails.tail_index.calibration import LAWS
from sgdtails.tail_index.laws import families, simulated
from sgdtails.tail_index.laws.fitting import Fit
from sgdtails.tail_index.laws.label import choose
from sgdtails.tail_index.laws.layer_laws import NOTHING, Settings, of_layer, per_layer

PLAIN = Settings(replicates=0)


@pytest.mark.parametrize("law", LAWS)
def test_layers_of_256_by_128_get_their_law(law):
    layer = LAWS[law][1]((256, 128), np.random.default_rng(1)).astype(np.float32)
    assert of_layer(layer, settings=PLAIN)[0]["label"] == simulated.TRUTHS[law]


@pytest.mark.parametrize("shape", [(128, 128, 1, 1), (16_384, 1)])
def test_rows_of_one_weight_have_the_laws_of_entries(shape):
    """A law of rows would be the same as one of entries, and neither could lead."""
    rows = of_layer(np.random.default_rng(0).standard_t(3, shape), settings=PLAIN)
    assert {row["observed"] for row in rows} == {"entries"}
    assert rows[0]["label"] == "student-t"


def test_an_undecided_layer_names_a_law_that_is_too_close():
    """Between laws of rows 5 nats are enough for 512 rows; 20 are too few between laws of 400,000 rows and weights."""

    def fitted(of, name, nats):
        return Fit(families.BY_NAME[of, name], (1.0,) * 3, (math.nan,) * 3, 0.0, 2 * nats)

    fits = [
        fitted("rows", "multivariate_t", 0.0),
        fitted("rows", "lognormal_scales", 5.0),
        fitted("entries", "student_t", 20.0),
    ]
    found = choose(fits, weights=512 * 784, dimension=784)
    assert (found.label, found.best, found.rival) == ("undecided", "multivariate-t", "student-t")
    assert found.margin == pytest.approx(20 / (512 * 784))
    assert choose(fits[:2], weights=512 * 784, dimension=784).label == "multivariate-t"


def test_columns_are_those_of_the_schema():
    weights = {"fc1": np.random.default_rng(0).standard_normal((32, 16)), "head": np.ones((2, 32))}
    rows = list(per_layer(weights, seed=0, settings=Settings(sample=64, replicates=3)))
    common = {"run": "a", "weights": "average"}
    table = pa.Table.from_pylist([common | row for row in rows], schema=SCHEMAS["laws"])
    assert set(common | rows[0]) == set(table.column_names)
    assert set(NOTHING) == set(table.column_names) - {"run", "weights", "layer", "layer_name"}
    gaussian = [row for row in rows if row["law"] == "gaussian"]
    assert gaussian[0]["log_likelihood"] == pytest.approx(gaussian[1]["log_likelihood"], abs=1e-6)
    assert all(
        row["bic"] == pytest.approx(-2 * 512 * row["log_likelihood"] + k * math.log(512)) for row, k in _counted(rows)
    )
    assert {row["fit_size"] for row in rows[:-1]} == {64, 32}


def _counted(rows):
    return [(row, families.BY_NAME[row["observed"], row["law"]].parameters) for row in rows if row["law"]]


def test_draws_depend_on_the_seed_alone():
    layer = np.random.default_rng(0).standard_t(3, (64, 64))
    how = Settings(sample=128, replicates=9)
    assert of_layer(layer, seed=[1], settings=how) == of_layer(layer, seed=[1], settings=how)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (np.ones((16, 16)), "all weights are equal"),
        (np.zeros((16, 16)), "16 of 16 rows are zero and left out; 0 weights are too few for laws: 64 are needed"),
        (np.arange(30.0).reshape(5, 6), "1 of 30 other weights are zero and left out, so rows have no laws; 29 weights are too few for laws: 64 are needed"),
        (np.where(np.arange(256).reshape(16, 16) % 3, 1.0, 2.0), "more than half of the weights are equal: no density describes them"),
    ],
)  # fmt: skip
def test_layers_without_laws_say_why(layer, reason):
    (row,) = of_layer(layer, settings=PLAIN)
    assert row == NOTHING | {"reason": reason}


def test_zeros_and_dead_rows_are_left_out():
    """What is left has the laws that it has without them."""
    rng = np.random.default_rng(0)
    layer = rng.standard_normal((64, 32))
    dead = np.concatenate([layer, np.zeros((5, 32))])
    plain, fewer = of_layer(layer, settings=PLAIN), of_layer(dead, settings=PLAIN)
    assert {row["reason"] for row in fewer} == {"5 of 69 rows are zero and left out"}
    assert [row | {"reason": None} for row in fewer] == plain
    sparse = np.where(rng.random(layer.shape) < 0.3, 0.0, layer)
    rows = of_layer(sparse, settings=PLAIN)
    assert {row["observed"] for row in rows} == {"entries"}
    assert rows[0]["observations"] == np.count_nonzero(sparse)
    assert rows[0]["label"] == "gaussian"


def test_the_head_has_its_columns_as_rows():
    layer = np.random.default_rng(0).standard_normal((10, 64))
    sizes = {(row["observations"], row["dimension"]) for row in of_layer(layer, head=True, settings=PLAIN)}
    assert sizes == {(640, 1), (64, 10)}


def test_two_laws_that_are_too_close_are_named():
    """64 x 9 weights of t with 5 degrees of freedom: most are near another law as well."""
    found = [
        of_layer(LAWS["student_5"][1]((64, 9), np.random.default_rng(seed)), settings=PLAIN)[0] for seed in range(4)
    ]
    undecided = [row for row in found if row["label"] == "undecided"]
    assert undecided
    for row in undecided:
        assert row["best"] != row["rival"]
        assert 0 <= row["margin"] < 3 / 576 + 1e-12
