"""Trends of a quantity in a column of the run table: the slope, its families of runs, and what each verdict takes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import linregress

from sgdtails.claims import decisions, definitions, quantities, statistics, trends
from sgdtails.claims.study import Study, families, held
from sgdtails.errors import InputError
from sgdtails.tail_index.network_index import Index
from tests.claims.test_claims import SETTINGS, table

WIDTHS = (64, 128, 256, 512)
CLAIM = {"statement": "s", "where": "w", "kind": "trend", "supports": "positive", "x": "width", "y": {"of": "alpha"}}


def width_study(slope, *, seeds=4, noise=0.01, steps=(0.1, 0.2)):
    """Networks of four widths whose index rises by ``slope`` per doubling, at two step sizes and beside a CNN of one width."""
    rng = np.random.default_rng(0)
    runs, tails, errors, dependence = [], [], [], []
    wide = [(f"w{width}", "fcn", width, step) for width in WIDTHS for step in steps]
    for model, kind, width, step in [*wide, ("cnn", "cnn", 64, steps[0])]:
        for seed in range(seeds):
            run = f"{model}-{step}-{seed}"
            settings = {"batch_size": 50, "step_size": step, "eta_over_b": step / 50, "momentum": 0.0, "seed": seed}
            settings |= {"weight_decay": 0.0, "noise_scale": 0.0, "noise_alpha": 2.0, "variant": ""}
            known = {"run": run, "dataset": "mnist", "model": model, "kind": kind, "width": width, "depth": 4}
            runs.append(known | settings | {"status": "converged", "effective_step_size": step})
            for layer in range(3):
                alpha = 1.7 + slope * np.log2(width / 64) + noise * rng.standard_normal()
                row = {"run": run, "weights": "average", "layer": layer, "layer_name": f"l{layer}", "alpha": alpha}
                row |= {"estimator": "mmo_multivariate"}
                tails += [
                    row | {"alpha_published": alpha},
                    row | {"k1": 8, "k1_targets": "10, sqrt(N)", "alpha": 1.0 + layer},
                ]
                known = {"run": run, "weights": "last", "layer": layer, "structure": "columns", "kappa": 0.1, "p": 2.0}
                errors.append(known | {"measured": 0.5 + 0.1 * layer, "simulated": None if layer == 2 else 0.4})
                value = None if layer == 2 else 0.3 - 0.1 * layer
                dependence.append(
                    {"run": run, "weights": "average", "layer": layer, "measure": "next_layer", "value": value}
                )
    names = ("compression", "pruning", "synthetic", "histograms")
    parts = {"runs": runs, "tails": tails, "errors": errors, "dependence": dependence} | {name: [] for name in names}
    return Study(**{name: table(name, rows) for name, rows in parts.items()})


def rows_of(study, **change):
    return list(decisions.claim_rows({"a": CLAIM | change}, study, SETTINGS))


@pytest.mark.parametrize(("slope", "verdict"), [(0.03, "supported"), (-0.03, "contradicted")])
def test_a_trend_is_tested_at_each_step_size(slope, verdict):
    rows = rows_of(width_study(slope))
    assert [row["panel"] for row in rows] == [f"MNIST, FCN, depth 4, b = 50, eta = {step:g}" for step in (0.1, 0.2)]
    assert {(row["verdict"], row["n"], row["seeds"], row["effect_name"]) for row in rows} == {
        (verdict, 16, 4, "slope_per_doubling")
    }
    for row in rows:
        assert row["effect"] == pytest.approx(slope, abs=0.005)
        assert row["effect_low"] < row["effect"] < row["effect_high"]
        assert row["p_holm"] == pytest.approx(2 * row["p"]) or row["p"] == max(row["p"] for row in rows)
    assert rows[0]["quantities"] == "width; mean alpha, clipped at 2 (mmo_multivariate)"


def test_without_a_trend_a_margin_says_so_and_a_sign_does_not():
    study = width_study(0)
    assert {row["verdict"] for row in rows_of(study)} == {"undecided"}
    assert {row["verdict"] for row in rows_of(study, supports="within", margin=0.02)} == {"supported"}


def test_runs_are_compared_with_those_that_differ_by_the_column_alone():
    study = width_study(0)
    rows = study.runs.to_pylist()
    assert [len(found) for found in families(rows, "width").values()] == [16, 16]  # no CNN
    assert [len(found) for found in families(rows, "step_size").values()] == [8] * 4
    assert families(rows, "batch_size") == {}
    assert "model" not in held("width")
    assert "model" in held("step_size")
    assert "dataset" not in held("train_size")
    none = rows_of(study, x="batch_size")
    assert [(row["panel"], row["verdict"]) for row in none] == [("all", "undecided")]


def test_a_column_without_a_doubling():
    study = width_study(0, seeds=6)
    rows = [row | {"weight_decay": 1e-4 * (row["seed"] > 1)} for row in study.runs.to_pylist()]
    found = rows_of(replace(study, runs=table("runs", rows)), x="weight_decay")
    assert {row["reason"] for row in found} == {"There is no doubling: weight decay is 0 or less in a run."}


def test_the_slope_is_that_of_least_squares_also_of_resamples():
    rng = np.random.default_rng(1)
    x, y = np.repeat([0.0, 1, 2, 3], 4), rng.standard_normal(16)
    draws = statistics.draws(16, permutations=50, bootstrap=30, rng=rng)
    effect, null = trends.slope(x, y, draws.orders)
    expected = linregress(x, y)
    assert effect == pytest.approx(expected.slope)
    resampled = trends.resampled_slope(x, y, draws.counts)
    for column in range(30):
        assert null[column] == pytest.approx(linregress(x, y[draws.orders[:, column]]).slope)
        points = np.repeat(np.arange(16), draws.counts[:, column].astype(int))
        assert resampled[column] == pytest.approx(linregress(x[points], y[points]).slope)
    low, high = trends.slope_interval(x, y, np.zeros(30))
    half = 2.1447866879 * expected.stderr  # Student's at 14 degrees of freedom
    assert (low, high) == (pytest.approx(min(0, effect - half)), pytest.approx(max(0, effect + half)))
    assert np.isnan(trends.resampled_slope(x, y, np.eye(16) * 16)).all()


def test_stable_rank_and_pq_index():
    """Means over the layers but the head, of trained weights; tables of earlier versions have neither."""
    study = width_study(0, noise=0)
    run = study.runs.to_pylist()[0]
    common = {"run": run["run"], "structure": "entries", "p": 2.0, "epsilon": 0.1, "kappa": 0.7}
    trained = [
        {"weights": "last", "layer": n, "stable_rank": 10.0 * (n + 1), "pq_index": 0.1 * (n + 1)} for n in range(3)
    ]
    initial = {"weights": "initial", "layer": 0, "stable_rank": 99.0, "pq_index": 0.9}
    compression = table("compression", [common | row for row in (*trained, initial)])
    found = replace(study, compression=compression)
    assert quantities.measure(found, run, {"of": "stable_rank"}) == pytest.approx(15)
    assert quantities.measure(found, run, {"of": "pq_index"}) == pytest.approx(0.15)
    assert quantities.measure(found, run, {"of": "pq_index", "layer": 2}) == pytest.approx(0.3)
    assert quantities.words(found, {"of": "pq_index", "layer": 2}) == "PQ index (layer 2)"
    older = replace(study, compression=compression.drop_columns(["stable_rank", "pq_index"]))
    assert quantities.measure(older, run, {"of": "stable_rank"}) is None


def test_quantities_of_single_layers_and_block_lengths():
    study = width_study(0, noise=0)
    run = study.runs.to_pylist()[0]

    def measured(**quantity):
        return quantities.measure(study, run, quantity)

    assert measured(of="column", column="width") == 64
    assert measured(of="column", column="train_size") is None
    assert measured(of="alpha", k1=10, value="alpha") == pytest.approx(2.0)  # 1, 2 and 3
    assert measured(of="alpha", k1=8) is None
    assert measured(of="dependence", measure="next_layer") == pytest.approx(0.25)
    assert measured(of="dependence", measure="next_layer", layer=1) == pytest.approx(0.2)
    assert measured(of="dependence", measure="next_layer", layer=2) is None
    assert measured(of="relative_error", structure="columns", kappa=0.1) == pytest.approx(0.55)
    assert measured(of="relative_error", structure="columns", kappa=0.1, value="excess", layer=0) == pytest.approx(0.1)
    assert measured(of="relative_error", structure="columns", kappa=0.1, value="simulated", layer=2) is None
    words = quantities.words(study, {"of": "alpha", "k1": 10, "value": "alpha", "estimator": "hill"})
    assert words == "mean alpha (hill, K1 = 10)"
    assert (
        quantities.words(study, {"of": "dependence", "measure": "next_layer", "layer": 1})
        == "dependence (next layer, layer 1)"
    )


def test_accuracy_left_and_the_removable_share(tmp_path):
    study = width_study(0)
    run = study.runs.to_pylist()[0]
    curve = [
        {"method": "node", "weights": "last", "pruned_ratio": at, "relative_test_accuracy": 1 - at}
        for at in (0, 0.8, 1)
    ]
    shares = [
        {"weights": "last", "structure": "entries", "p": 2.0, "epsilon": 0.1, "layer": n, "kappa": 0.9 - 0.1 * n}
        for n in range(3)
    ]
    found = replace(
        study,
        pruning=table("pruning", [row | {"run": run["run"]} for row in curve]),
        compression=table("compression", [row | {"run": run["run"]} for row in shares]),
        index=Index(),
    )
    assert quantities.accuracy_left(found, run, method="node", ratio=0.9) == pytest.approx(0.1)
    assert quantities.accuracy_left(found, run, method="node", ratio=-0.1) is None
    assert quantities.robust_accuracy(found, run, method="node", ratio=0.9) is None  # nothing was attacked
    attacked = [row | {"robust_accuracy": 0.5 * row["relative_test_accuracy"]} for row in curve]
    other = replace(found, pruning=table("pruning", [row | {"run": run["run"]} for row in attacked]))
    assert quantities.robust_accuracy(other, run, method="node", ratio=0.9) == pytest.approx(0.05)
    assert quantities.accuracy_left(other, run, method="node", ratio=0.9) == pytest.approx(0.1)
    assert quantities.removable(found, run, p=2.0, epsilon=0.1) == pytest.approx(0.15)
    assert quantities.removable(found, run, p=2.0, epsilon=0.1, layer=2) == pytest.approx(0.3)
    assert quantities.removable(found, run, p=1.0, epsilon=0.1) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "widht"}, "unknown column 'widht' in x of claim 'a' of f: did you mean 'width'"),
        ({"x": "model"}, "unknown column 'model' in x of claim 'a' of f"),
        (
            {"y": {"of": "column", "column": "widths"}},
            "unknown column 'widths' in y of claim 'a' of f: did you mean 'width'",
        ),
        ({"y": {"of": "dependence", "measure": "rows"}}, "unknown measure 'rows' in y of claim 'a' of f"),
        (
            {"y": {"of": "removable", "p": 2, "epsilon": 0.1, "layer": -1}},
            "y of claim 'a' of f: give layer between 0 and inf.",
        ),
        ({"y": {"of": "alpha", "k1": 0}}, "y of claim 'a' of f: give k1 between 1 and inf."),
        (
            {"y": {"of": "relative_error", "structure": "entries", "kappa": 0.2}},
            "kappa of y of claim 'a' of f is 0.2, and the study computes kappa = 0.1, 0.3; use one of these, or add yours to config "
            "key errors.kappa.",
        ),
        (
            {"y": {"of": "relative_error", "structure": "layer", "kappa": 0.1}},
            "unknown structure 'layer' in y of claim 'a' of f",
        ),
    ],
)
def test_what_a_trend_may_not_say(change, message):
    with pytest.raises(InputError) as error:
        definitions.checked({"a": CLAIM | change}, "f", {"kappa": [0.1, 0.3], "p": [2.0], "epsilon": [0.1]})
    assert message in str(error.value)


def test_sizes_are_compared_within_one_dataset():
    claims = definitions.checked({"a": CLAIM | {"x": "train_size"}}, "f")
    some = {
        "small": {"kind": "mnist", "train_size": 500},
        "large": {"kind": "mnist", "train_size": 4000, "label": "large"},
    }
    definitions.check_train_sizes(claims, some | {"whole": {"kind": "cifar10"}})
    with pytest.raises(
        InputError, match="claim 'a': x is train_size, but the datasets 'small' and 'other' differ in more"
    ):
        definitions.check_train_sizes(claims, some | {"other": {"kind": "cifar10", "train_size": 500}})


def test_numbers_for_each_stay_numbers(tmp_path):
    entry = CLAIM | {"statement": "at {k1}", "y": {"of": "alpha", "k1": "{k1}"}, "for_each": {"k1": [2, 10]}}
    found = definitions.checked({"a": entry}, "f")
    assert {name: (claim["statement"], claim["y"]["k1"]) for name, claim in found.items()} == {
        "a_2": ("at 2", 2),
        "a_10": ("at 10", 10),
    }
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"b": CLAIM}))
    with pytest.raises(InputError, match=r"claim 'b' of .*two.yaml is in another file of config key claims.path"):
        definitions.read([tmp_path / "one.yaml", tmp_path / "two.yaml"])
