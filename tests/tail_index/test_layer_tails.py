import tracemalloc

import numpy as np
import pytest

from sgdtails.config import plugins
from sgdtails.errors import InputError
from sgdtails.schemas import study_schemas as schemas
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import layer_tails, published_estimators
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.block_estimates import Settings


def rng(seed=0):
    return np.random.default_rng(seed)


WEIGHTS = {"fc1": rng().standard_normal((64, 12)), "head": rng(1).standard_normal((10, 64))}


def test_rows_of_a_network():
    rows = list(layer_tails.per_layer(WEIGHTS, seed=0))
    assert {(row["layer"], row["layer_name"], row["observations"], row["dimension"]) for row in rows} == {
        (0, "fc1", 64, 12), (0, "fc1", 768, 1), (1, "head", 64, 10), (1, "head", 640, 1),
        (0, "fc1", 12, 1), (1, "head", 10, 1),  # eigenvalues
    }  # fmt: skip
    for layer in (0, 1):
        aggregates = [row for row in rows if row["layer"] == layer and row["k1"] is None]
        assert [row["estimator"] for row in aggregates] == list(layer_tails.NAMES)
    for row in rows:
        assert {"run", "weights", *row} == set(schemas.SCHEMAS["tails"].names)
        published = row["estimator"].startswith("published")
        if published:
            assert row["alpha_low"] is row["alpha_high"] is None
        else:
            assert row["alpha_low"] <= row["alpha"] <= row["alpha_high"]
        mmo = row["estimator"].startswith("mmo")
        assert (row["alpha_published"] is not None) == (published or (mmo and row["k1"] is None))
        assert row["alpha_published"] is None or row["alpha_published"] <= 2
        assert (row["interval_holds"] is not None) == mmo
        assert (row["k1_targets"] is not None) == (row["k1"] is not None)
        assert (row["skewed"] is not None) == (mmo and row["k1"] is None)
        assert row["reason"] is None
    assert rows == list(layer_tails.per_layer(WEIGHTS, seed=0))


def test_values_are_those_of_the_estimators():
    rows = list(layer_tails.of_layer(WEIGHTS["fc1"], seed=[3]))
    sample = WEIGHTS["fc1"].astype(np.float32)
    sample -= np.median(sample, axis=0)
    inverse = tail_index.profile(sample, rng=rng([3, 0]))[1]
    mmo = [row for row in rows if row["estimator"] == "mmo_multivariate"]
    assert [row["k1"] for row in mmo] == [2, 4, 8, 16, None]
    assert [row["k1_targets"] for row in mmo] == ["2", "5", "10, sqrt(N)", "20", None]
    assert mmo[-1]["alpha_published"] == min(tail_index.aggregate(inverse), 2)


def published(weight, seed=(3,), **settings):
    rows = layer_tails.of_layer(weight, seed=list(seed), settings=Settings(**settings))
    return {row["estimator"]: row["alpha_published"] for row in rows if row["k1"] is None}


def test_published_univariate_sample_is_centred_in_columns_first():
    """Its orders are those of mmo_univariate, seed (3, 1)."""
    weight = (stable.sample(1.5, (64, 12), rng=rng()) + 5 * np.arange(12)).astype(np.float32)  # columns far apart
    sample = (weight - np.median(weight, axis=0)).ravel()
    sample -= np.median(sample)
    found = published(weight)
    expected = tail_index.aggregate(tail_index.profile(sample, rng=rng([3, 1]))[1])
    assert found["published_univariate"] == pytest.approx(min(expected, 2), abs=1e-5)
    assert found["published_univariate"] != pytest.approx(found["mmo_univariate"], abs=0.1)
    order_free = published_estimators.of_sample(sample)
    for name in ("hill", "pickands", "dekkers", "dehaan1998"):
        assert found[f"published_{name}"] == pytest.approx(order_free[name], abs=1e-5)


def test_other_centrings_share_the_orders_of_the_papers_own():
    weight = stable.sample(1.5, (64, 12), rng=rng()) + 0.3
    found = published(weight)
    assert found["published_mean_centred"] == published(weight, centring="mean")["mmo_multivariate"]
    assert found["published_uncentred"] == published(weight, centring="none")["mmo_multivariate"]
    assert len({found[name] for name in ("mmo_multivariate", "published_mean_centred", "published_uncentred")}) == 3


def test_settings():
    rows = list(layer_tails.of_layer(WEIGHTS["fc1"], settings=Settings(block_lengths=(7,), robustness=False)))
    assert [row["k1"] for row in rows if row["estimator"] == "mmo_multivariate"] == [4, 8, None]
    assert [row["k1_targets"] for row in rows if row["estimator"] == "mmo_multivariate"] == ["7", "sqrt(N)", None]
    assert not any(row["estimator"].startswith("published") for row in rows)
    with pytest.raises(InputError, match=r"centring 'medain'.*median"):
        list(layer_tails.of_layer(WEIGHTS["fc1"], settings=Settings(centring="medain")))


def test_skewed_weights_are_flagged():
    """Weights whose median is not the centre of their bulk: signs and the published sums then disagree."""
    skew = rng().exponential(size=(512, 20)) ** 2
    flags = {
        name: next(row["skewed"] for row in layer_tails.of_layer(w) if row["k1"] is None)
        for name, w in {"skew": skew, "even": rng().standard_normal((512, 20))}.items()
    }
    assert flags == {"skew": True, "even": False}


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
        readings = list(layer_tails.per_layer_classes({"fc1": weight}, seed=0))
    multivariate = rows[0]
    assert reason in multivariate["reason"]
    for row in rows:
        assert (row["alpha"] is None) == (row["reason"] is not None)
    assert readings[0]["reading"] == "undecided"
    assert readings[0]["reason"]


@pytest.mark.parametrize("robustness", [False, True])
def test_weights_that_differ_in_their_signs_only(robustness):
    """Half of their sums by two are zero, which only the orders show."""
    signs = rng().permutation(np.tile([-0.1, 0.1], 512)).reshape(32, 32)
    rows = list(layer_tails.of_layer(signs, settings=Settings(robustness=robustness)))
    for row in rows:
        assert (row["alpha"] is None) == (row["reason"] is not None)
    (entries,) = (row for row in rows if row["estimator"] == "mmo_univariate")
    assert entries["reason"].startswith("sums of blocks: more than half of the observations are zero")


def test_a_published_sample_without_a_tail_index_takes_none_from_the_entries(monkeypatch):
    def fail(*_):
        raise ValueError("no such sample")

    layer = rng().standard_normal((64, 32))
    usual = list(layer_tails.of_layer(layer))
    monkeypatch.setattr(layer_tails, "_published_entries", fail)
    for row, before in zip(layer_tails.of_layer(layer), usual, strict=False):
        if row["reason"] is None:
            assert row == before
        else:
            assert (row["estimator"], row["reason"]) == (layer_tails.UNIVARIATE, "no such sample")
            break
    else:
        pytest.fail("the published sample was not made")


def test_readings_have_a_row_per_layer():
    rows = list(layer_tails.per_layer_classes(WEIGHTS, seed=0))
    assert [(row["layer"], row["layer_name"]) for row in rows] == [(0, "fc1"), (1, "head")]
    assert rows == list(layer_tails.per_layer_classes(WEIGHTS, seed=0))


@pytest.mark.parametrize(("robustness", "times"), [(False, 4.5), (True, 5.3)])
def test_memory(robustness, times):
    """Beside the weights: the sample, its signed order, logarithms and contrasts, and small change; and the published sample."""
    weight, settings = rng().standard_normal((2048, 1024), np.float32), Settings(robustness=robustness)
    list(layer_tails.of_layer(weight[:64, :64]))  # what is imported now is not counted then
    tracemalloc.start()
    try:
        list(layer_tails.of_layer(weight, settings=settings))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < times * weight.nbytes


def test_own_estimators():
    def refuses(sample):
        raise ValueError("not today")

    own = {"number": lambda sample: 1.5, "interval": lambda sample: (1.5, 1.4, 1.6), "refuses": refuses}
    rows = {row["estimator"]: row for row in layer_tails.of_layer(WEIGHTS["fc1"], own=own)}
    assert [rows[name]["alpha"] for name in own] == [1.5, 1.5, None]
    assert (rows["interval"]["alpha_low"], rows["interval"]["alpha_high"]) == (1.4, 1.6)
    assert rows["number"]["alpha_low"] is None
    assert rows["refuses"]["reason"] == "not today"
    assert set(rows["number"]) == set(rows["hill"])  # the same columns


@pytest.mark.parametrize("found", [None, "heavy", (1, 2), [[1.5]] * 3, {}])
def test_what_an_own_estimator_may_not_give(found):
    with pytest.raises(InputError, match=r"tails.own.mine: it gave .*; it must give alpha, or \(alpha, low, high\)"):
        list(layer_tails.of_layer(WEIGHTS["fc1"], own={"mine": lambda sample: found}))


@pytest.mark.parametrize(
    "found", [np.inf, -np.inf, 0.0, -1.5, (1.5, 1.6, 1.4), (1.5, -0.1, 1.6), (-1.5, 1.0, 2.0), (np.inf, 1.0, np.inf)]
)
def test_what_is_no_tail_index(found):
    with pytest.raises(
        InputError, match=r"tails.own.mine: it gave .*; alpha must be positive and finite, and 0 <= low"
    ):
        list(layer_tails.of_layer(WEIGHTS["fc1"], own={"mine": lambda sample: found}))


def test_an_interval_may_have_no_upper_end():
    (*_, row) = layer_tails.of_layer(WEIGHTS["fc1"], own={"mine": lambda sample: (1.5, 0.0, np.inf)})
    assert (row["alpha"], row["alpha_low"], row["alpha_high"]) == (1.5, 0.0, np.inf)


def test_an_own_estimator_cannot_change_the_sample():
    def spoils(sample):
        sample[:] = 0
        return 1.0

    before = WEIGHTS["fc1"].copy()
    plain = list(layer_tails.of_layer(WEIGHTS["fc1"]))
    assert list(layer_tails.of_layer(WEIGHTS["fc1"], own={"spoils": spoils}))[: len(plain)] == plain
    assert np.array_equal(WEIGHTS["fc1"], before)


def test_names_of_own_functions():
    with pytest.raises(InputError, match=r"config key tails.own: there is a hill already"):
        plugins.load_all({"hill": "math.sqrt"}, "config key tails.own", ["hill"])
    with pytest.raises(InputError, match=r"config key tails.own.mine: cannot import 'math.none'"):
        plugins.load_all({"mine": "math.none"}, "config key tails.own", ["hill"])
