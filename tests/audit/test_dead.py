"""Zeros, dead rows and small norms: the cases that people have, with the right answers."""

import numpy as np
import pytest

from sgdtails.audit import layers
from sgdtails.audit.layer import dead
from sgdtails.audit.layer.estimates import round_number
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import mmo
from tests.audit.helpers import normal
from tests.conftest import outside

SETTINGS = {"seed": 0, "entries": 2**20, "nulls": {"replicates": 2, "entries": 2**13}, "epsilon": [0.1]}


def row(weight, name="a.weight"):
    (found,) = layers.audit({name: weight}, where="it", **SETTINGS)["audit"]
    for prefix in ("", "entries_"):
        low, alpha, high = (found[f"{prefix}alpha{end}"] for end in ("_low", "", "_high"))
        assert alpha is None or low <= alpha <= high
    return found


@pytest.mark.parametrize("share", [0.01, 0.05, 0.45])
def test_zeros_are_counted_and_left_out(share):
    """A pruned model that was saved dense: today's index of all entries says 1.87, 1.50 and 0.5."""
    weight = normal(512, 512)
    weight[np.random.default_rng(1).random(weight.shape) < share] = 0
    found = row(weight)
    assert found["zero_share"] == pytest.approx(share, abs=0.003)
    for prefix in ("", "entries_"):
        assert found[f"{prefix}alpha"] == pytest.approx(2, abs=0.03)
    assert found["entries_alpha_with_zeros"] < 2 - 5 * share**1.2 / (1 + share)
    assert (found["reading"], found["dead"]) == ("finite-variance-like", 0)


def test_two_of_four():
    """The two smaller of each four are zero. The others are never small, so the index of entries is above 2: light."""
    weight = normal(512, 128, 4)
    np.put_along_axis(weight, np.argsort(abs(weight), axis=2)[:, :, :2], 0, 2)
    found = row(weight.reshape(512, 512))
    assert found["zero_share"] == 0.5
    assert found["alpha"] == pytest.approx(2, abs=0.03)
    assert found["entries_alpha"] > 2
    assert found["entries_alpha_with_zeros"] < 1.4
    weight = normal(512, 128, 4)
    np.put_along_axis(weight, np.argsort(normal(512, 128, 4, seed=1), axis=2)[:, :, :2], 0, 2)
    assert row(weight.reshape(512, 512))["entries_alpha"] == pytest.approx(2, abs=0.03)


def test_unused_tokens_are_dead_and_named():
    weight, unused = normal(1000, 64), np.sort(np.random.default_rng(1).permutation(1000)[:400])
    weight[unused] = 0
    found = row(weight, "wte.weight")
    assert (found["dead"], found["dead_rows"]) == (400, unused.tolist())
    assert found["observations"] + found["observations_left_out"] == 600
    assert found["alpha"] == pytest.approx(2, abs=0.05)
    assert found["entries_alpha_with_zeros"] < 1


def test_filters_that_weight_decay_has_shrunk():
    weight, gone = stable.sample(1.5, (64, 3, 3, 3), rng=np.random.default_rng(3)), np.arange(0, 57, 3)
    weight[gone] *= 1e-5
    found = row(weight.astype(np.float32))
    assert (found["dead"], found["dead_rows"]) == (57, gone.tolist())
    assert found["alpha_with_dead"] < 0.7
    assert found["alpha"] == pytest.approx(1.5, abs=0.25)
    assert found["driven_by"] == "large norms"


def test_small_norms_without_a_gap_are_flagged():
    weight = normal(4096, 9) * np.exp(-3 * np.random.default_rng(1).random((4096, 1)) ** 3).astype(np.float32)
    found = row(weight)
    assert (found["dead"], found["driven_by"]) == (0, "small norms")
    assert row(stable.elliptical(1.5, 4096, 9, rng=np.random.default_rng(0)))["driven_by"] == "large norms"
    assert row(normal(512, 64))["driven_by"] is None


@pytest.mark.parametrize("values", [[-1, 0, 1], [-1, 1], list(range(-8, 8))])
def test_weights_of_few_values_have_a_reason(values):
    weight = np.random.default_rng(0).choice(np.array(values, np.float32), (256, 256))
    found = row(weight)
    assert found["reason"] == f"its weights have {len(values)} different values only"
    assert (found["alpha"], found["reading"], found["why"]) == (None, "undecided", found["reason"])
    assert found["decides"]


def test_few_values_of_many_zeros_are_not_taken_for_quantised():
    weight = normal(300, 300)
    weight[np.random.default_rng(1).random(weight.shape) < 0.999] = 0
    assert dead.few_values(weight) is None


@pytest.mark.parametrize("law", ["gaussian", "stable", "elliptical", "mixture"])
def test_live_rows_are_not_lost(law):
    """Less than 1% of layers: of 400 of each size at most 4 lose any row, as a rule that errs in 1 of 1000 does all but surely."""
    draws = {
        "gaussian": lambda shape, rng: rng.standard_normal(shape),
        "stable": lambda shape, rng: stable.sample(1.2, shape, rng=rng),
        "elliptical": lambda shape, rng: stable.elliptical(1.5, *shape, rng=rng),
        "mixture": lambda shape, rng: rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1)) / 2),
    }
    for shape in ((10, 2), (64, 3), (192, 9), (512, 16)):
        rng = np.random.default_rng([1, *shape])
        lost = 0
        for _ in range(400):
            found = dead.scan(draws[law](shape, rng).astype(np.float32))
            lost += bool(dead.dead_rows(found.log_norms, found.fewest).any())
        assert lost <= 4, shape


def test_rows_of_one_weight_each_need_a_wider_gap():
    logs = np.log(np.array([1e-2 / 3, 1.0, 1.1, 0.9, 1.2, 1.3]))
    assert dead.dead_rows(logs, fewest=9).sum() == 1
    assert dead.dead_rows(logs, fewest=1).sum() == 0


def test_heavy_tails_lose_nothing_at_the_top():
    """A few huge rows above a gap make the others no dead ones."""
    assert not dead.dead_rows(np.log(np.array([1.0, 1.1, 0.9, 1.2, 1.0, 1e4, 1e5]))).any()


def test_scan_is_the_same_in_pieces(monkeypatch):
    weight = normal(40, 5, 3)
    weight[3] = 0
    whole = dead.scan(weight)
    monkeypatch.setattr(dead, "_CHUNK", 15)
    part = dead.scan(weight)
    assert (whole.zeros, whole.fewest) == (part.zeros, part.fewest) == (15, 3)
    np.testing.assert_allclose(part.log_norms, whole.log_norms, rtol=1e-5)
    assert not dead.scan(np.array([[1.0, np.nan]])).finite


@pytest.mark.parametrize("n", [5, 101, 1009, 10_007, 262_139, 16_777_213])
def test_entries_left_out_for_block_lengths_are_few(n):
    kept = round_number(n)
    assert 0.99 * n <= kept <= n
    if n > 400:
        assert len(mmo.block_lengths(kept)) >= 2


def test_gates_of_different_scale_are_light_one_by_one():
    """Four Gaussian gates of an LSTM: together a mixture of scales."""
    gates = [scale * normal(128, 128, seed=n) for n, scale in enumerate((1, 0.5, 0.25, 2))]
    found = layers.audit({"lstm.weight_hh_l0": np.concatenate(gates)}, where="it", **SETTINGS)["audit"]
    assert [each["alpha"] for each in found] == [pytest.approx(2, abs=0.05)] * 4
    assert {each["parameter"] for each in found} == {"lstm.weight_hh_l0"}
    together = row(np.concatenate(gates))
    assert together["alpha"] < 1.7


def test_an_estimate_lies_in_its_interval():
    import pyarrow as pa

    weights = {
        "few": normal(7, 9),
        "one_column": normal(70, 2),
        "conv": stable.sample(1.2, (16, 3, 3, 3), rng=np.random.default_rng(0)),
        "constant_rows": np.repeat(normal(64, 1), 32, axis=1),
        "sparse": np.where(np.random.default_rng(0).random((64, 64)) < 0.9, 0, normal(64, 64)),
        "cauchy": np.random.default_rng(0).standard_cauchy((64, 64)),
        "tiny": 1e-30 * normal(64, 64),
        "low_rank": normal(128, 2) @ normal(2, 128, seed=1),
    }
    state = {name: weight.astype(np.float32) for name, weight in weights.items()}
    rows = layers.audit(state, where="it", **SETTINGS)
    assert sum(each["alpha"] is not None for each in rows["audit"]) >= 7
    for table in ("audit", "audit_profiles"):
        assert outside(pa.Table.from_pylist(rows[table])) == []
    assert all(each["why"] for each in rows["audit"])
    assert all(bool(each["decides"]) == (each["reading"] == "undecided") for each in rows["audit"])


def test_a_layer_too_small_for_any_estimate_has_a_row_that_says_so():
    found = row(np.array([[0.3, -1.2], [0.7, 0.1]], np.float32))
    assert (found["alpha"], found["reason"]) == (None, "no two block lengths for 2 rows and 4 entries")


def test_small_rows_beside_a_huge_one_are_not_zero():
    """Squares of their ratio are below single precision."""
    weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    weights[0] *= 1e28
    found = dead.scan(weights)
    assert found.zeros == 0
    np.testing.assert_allclose(found.log_norms, np.log(np.linalg.norm(weights.astype(float), axis=1)), rtol=1e-5)
    assert not dead.dead_rows(found.log_norms, found.fewest).any()
