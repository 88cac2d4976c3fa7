"""Claims on simulated tables whose truth is known: every verdict comes as readily as the others."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from scipy.stats import binom

from sgdtails.claims import decisions, definitions, markdown, quantities, verdicts
from sgdtails.claims.evidence import Settings
from sgdtails.claims.study import Study
from sgdtails.config import config_schema
from sgdtails.errors import InputError
from sgdtails.io import parquet, tables
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.tail_index.network_index import Index
from tests.conftest import ROOT, script

SETTINGS = Settings(permutations=1999, bootstrap=500, level=0.05, fewest=5, seed=0)
CLAIMS = definitions.read(ROOT / "config/claims.yaml")
LAYERS, HEAD = 4, 3
DEFAULT, UNCLIPPED = Index(), Index(value="alpha")
METHODS = ("layer_magnitude", "global_magnitude", "singular_value", "node")


def table(name, rows):
    schema = SCHEMAS[name]
    empty = dict.fromkeys(schema.names)
    return pa.Table.from_pylist([empty | row for row in rows], schema=schema)


def study(truth=1, *, runs=24, noise=0.01, error=None, seed=0, index=DEFAULT, batch_effect=0.0, diverged=3):
    """A study of FCNs in which what the paper says is true (1), its opposite is (-1), or nothing depends on anything (0)."""
    rng = np.random.default_rng(seed)
    parts = {name: [] for name in ("runs", "tails", "compression", "pruning")}
    ratios = np.repeat(np.geomspace(1e-3, 1e-1, runs // 2), 2)
    for number, ratio in enumerate(ratios):
        run, size = f"r{number}", (50, 100)[number % 2]
        status = "diverged" if number >= runs - diverged else "converged"
        heavy = truth * (math.log10(ratio) + 2) * 0.1  # -0.1 to 0.1
        mean = 1.85 - heavy + batch_effect * (size == 100) + noise * rng.standard_normal()
        parts["runs"].append(
            {"run": run, "dataset": "digits", "model": "fcn4", "batch_size": size, "step_size": ratio * size}
            | {"eta_over_b": ratio, "seed": 0, "status": status}
            | {"last_test_accuracy": 0.9 + truth * (1.85 - mean) * 0.3 + 0.003 * rng.standard_normal()}
        )
        for weights, level in (("average", mean), ("initial", 2.01 if truth == 1 else 1.7)):
            for layer in range(LAYERS):
                alpha = level + 0.01 * layer + noise * rng.standard_normal()
                row = {"run": run, "weights": weights, "layer": layer, "layer_name": f"l{layer}", "alpha": alpha}
                row |= {"estimator": "mmo_multivariate", "alpha_published": min(alpha, 2), "observations": 128}
                bounds = (
                    {} if error is None else {"alpha_low": alpha - 1.96 * error, "alpha_high": alpha + 1.96 * error}
                )
                other = truth * (alpha - 1.8) if truth else noise * rng.standard_normal()
                univariate = {"estimator": "mmo_univariate", "alpha": 1.8 + other, "observations": 16384}
                parts["tails"] += [row | bounds, row | univariate, row | {"k1": 2, "alpha": 9.0}]
                pruned = 0.3 - truth * 0.3 * (alpha - 1.85) + 0.003 * rng.standard_normal()
                parts["compression"].append(
                    {"run": run, "weights": "initial" if weights == "initial" else "last", "layer": layer}
                    | {"structure": "entries", "p": 2.0, "epsilon": 0.1, "kappa": 1 - pruned}
                )
        for method in METHODS:
            loss = 0.5 + truth * ((method == "node") * 0.2 + mean - 1.85) + 0.01 * rng.standard_normal()
            for pruned in np.linspace(0, 1, 11):
                parts["pruning"].append(
                    {"run": run, "status": status, "weights": "last", "method": method}
                    | {"pruned_ratio": pruned, "relative_test_accuracy": 1 - loss * pruned}
                )
    found = {name: table(name, rows) for name, rows in parts.items()}
    return Study(**found, synthetic=synthetic(truth), histograms=histograms(truth), index=index)


def synthetic(truth):
    """Matrices whose curve for independent entries is that of the layers (truth 1), or whose other curves are (-1)."""
    rows = []
    for draw, alpha in enumerate(np.linspace(1.6, 2, 60)):
        curve = 0.3 - truth * 0.3 * (alpha - 1.85)
        for structure in ("independent", "columns", "layer"):
            near = (structure == "independent") == (truth == 1)
            kappa = 1 - curve - (0 if near or truth == 0 else 0.1)
            rows.append(
                {"draw": draw, "structure": structure, "alpha": alpha, "p": 2.0, "epsilon": 0.1, "kappa": kappa}
            )
    return table("synthetic", rows)


def histograms(truth, shift=0.3):
    edges = np.linspace(-1, 1, 22)
    flat = np.full(21, 0.5)
    tilted = flat * (1 + (0 if truth == 1 else shift) * np.linspace(-1, 1, 21))
    series = {"half_a": flat, "half_b": tilted, "all": flat, "stable": tilted}
    common = {"run": "r0", "dataset": "digits", "model": "fcn4", "layer_name": "l1", "alpha": 1.9}
    return table(
        "histograms",
        [
            common | {"series": name, "low": low, "high": high, "density": density}
            for name, densities in series.items()
            for low, high, density in zip(edges, edges[1:], densities, strict=False)
        ],
    )


def said(of, settings=SETTINGS, chosen=None):
    wanted = CLAIMS if chosen is None else {name: CLAIMS[name] for name in chosen}
    return {row["claim"]: row for row in decisions.claim_rows(wanted, of, settings)}


SIGNED = (
    *("heavier_tails", "layers_prune", "prunable_layer_magnitude", "prunable_global_magnitude"),
    *("prunable_singular_value", "generalises", "independent_entries_columns", "independent_entries_layer"),
    *("node_weaker", "node_prunable", "random_halves", "stable_sample", "training_makes_tails"),
    *("change_exceeds_error", "estimators_agree_mmo_univariate"),
)


@pytest.mark.parametrize(("truth", "verdict"), [(1, "supported"), (-1, "contradicted")])
def test_every_claim_follows_the_truth(truth, verdict):
    rows = said(study(truth, error=0.01))
    assert {name: rows[name]["verdict"] for name in SIGNED} == dict.fromkeys(SIGNED, verdict)
    for name in SIGNED:
        low, effect, high = (rows[name][key] for key in ("effect_low", "effect", "effect_high"))
        assert low - 1e-9 <= effect <= high + 1e-9
        assert rows[name]["excluded"] == (0 if "histogram" in CLAIMS[name]["kind"] else 3)


def test_where_nothing_depends_on_anything_nothing_is_decided():
    # Seven tests at 5%: three decisions or more have a chance of 0.4% were they independent.
    names = [name for name in SIGNED if CLAIMS[name]["kind"] in ("rank_correlation", "layer_correlation")]
    names.remove("estimators_agree_mmo_univariate")
    for seed in (1, 2):
        rows = said(study(0, seed=seed), chosen=names)
        assert sum(row["verdict"] != "undecided" for row in rows.values()) <= 2
    assert said(study(0, seed=1), chosen=["heavier_tails"])["heavier_tails"]["verdict"] == "undecided"


def test_estimators_that_have_nothing_in_common_do_not_agree():
    name = "estimators_agree_mmo_univariate"
    assert said(study(0, seed=1), chosen=[name])[name]["verdict"] == "contradicted"
    hill = said(study(1), chosen=["estimators_agree_hill"])["estimators_agree_hill"]
    assert (hill["panel"], hill["verdict"], hill["effect"]) == ("all", "undecided", None)
    assert "No panel has" in hill["reason"]


@pytest.mark.parametrize(
    ("effect", "noise", "verdict"), [(0, 0.01, "supported"), (0.15, 0.01, "contradicted"), (0.05, 0.02, "undecided")]
)
def test_batch_size_at_the_same_ratio(effect, noise, verdict):
    row = said(study(1, batch_effect=effect, noise=noise), chosen=["batch_size_alone"])["batch_size_alone"]
    assert row["verdict"] == verdict
    assert (row["n"], row["excluded_why"]) == (10, "3 diverged; 1 with no other batch size at its eta/b")


def test_accuracy_that_follows_eta_over_b_alone_is_not_put_down_to_alpha():
    # Truth 1 with much noise in alpha: what is left of alpha given eta/b is noise that accuracy follows too.
    row = said(study(1, noise=0.05, runs=48), chosen=["beyond_eta_over_b"])["beyond_eta_over_b"]
    assert (row["verdict"], row["effect_name"]) == ("supported", "partial_spearman_rho")
    of = study(1, noise=0.02, runs=48)
    rows = of.runs.to_pylist()
    for number, run in enumerate(rows):
        run["last_test_accuracy"] = 0.9 + 0.01 * math.log10(run["eta_over_b"]) + 0.003 * math.sin(7 * number)
    alone = Study(
        of.runs.from_pylist(rows, of.runs.schema), of.tails, of.compression, of.pruning, of.synthetic, of.histograms
    )
    both = said(alone, chosen=["generalises", "beyond_eta_over_b"])
    assert both["generalises"]["verdict"] == "supported"
    assert both["beyond_eta_over_b"]["verdict"] == "undecided"


def test_initial_networks_and_the_sweep_need_the_estimators_own_error():
    names = ["initial_is_gaussian", "change_exceeds_error"]
    without = said(study(1), chosen=names)
    assert {row["verdict"] for row in without.values()} == {"undecided"}
    assert all("no interval" in row["reason"] for row in without.values())
    small, large = (said(study(1, error=error), chosen=names) for error in (0.01, 0.5))
    assert (small["initial_is_gaussian"]["verdict"], small["initial_is_gaussian"]["n"]) == ("supported", 1)
    assert large["initial_is_gaussian"]["verdict"] == "undecided"
    assert (small["change_exceeds_error"]["verdict"], large["change_exceeds_error"]["verdict"]) == (
        "supported",
        "contradicted",
    )
    assert said(study(0, error=0.01), chosen=names)["initial_is_gaussian"]["verdict"] == "contradicted"


def test_slope_is_that_of_alpha_per_decade():
    row = said(study(1, noise=0), chosen=["heavier_tails"])["heavier_tails"]
    assert row["slope"] == pytest.approx(-0.1)
    assert row["effect"] == pytest.approx(-1, abs=1e-12)


def test_layers_are_compared_with_the_same_layer_of_other_runs():
    """Layers that differ among each other, but not from run to run, say nothing; pooled they would correlate perfectly."""
    of = study(0, seed=3)
    rows = of.tails.to_pylist()
    kappas = of.compression.to_pylist()
    noise = np.random.default_rng(0).standard_normal((2, len(rows))) * 1e-3
    for row, value in zip(rows, noise[0], strict=True):
        row["alpha"] = 1.6 + 0.1 * row["layer"] + value
    for row, value in zip(kappas, noise[1], strict=False):
        row["kappa"] = 0.6 + 0.05 * row["layer"] + value
    shifted = Study(
        *(of.runs, table("tails", rows), table("compression", kappas), of.pruning, of.synthetic, of.histograms),
        index=UNCLIPPED,
    )
    row = said(shifted, chosen=["layers_prune"])["layers_prune"]
    assert row["verdict"] == "undecided"
    assert abs(row["effect"]) < 0.5


def test_without_a_hidden_layer_there_is_nothing_to_compare():
    of = study(1)
    missing = {"alpha": None, "alpha_published": None}
    rows = [row | (missing if row["layer"] < LAYERS - 1 else {}) for row in of.tails.to_pylist()]
    headed = Study(of.runs, table("tails", rows), of.compression, of.pruning, of.synthetic, of.histograms)
    row = said(headed, chosen=["layers_prune"])["layers_prune"]
    assert (row["verdict"], row["effect"]) == ("undecided", None)
    assert row["reason"] == "No layer but the head has a tail index in every run."


def test_a_few_runs_that_agree_decide_nothing():
    of = study(1, runs=6, noise=0, diverged=1)
    kappas = [row | {"kappa": 0.7 - 0.01 * (int(row["run"][1:]) // 2)} for row in of.compression.to_pylist()]
    agreeing = Study(of.runs, of.tails, table("compression", kappas), of.pruning, of.synthetic, of.histograms)
    for claim in said(agreeing, chosen=["layers_prune", "heavier_tails"]).values():
        assert (claim["n"], claim["verdict"]) == (5, "undecided")
        assert claim["reason"].startswith("All 5 points agree")


def test_too_few_and_constant_runs_are_undecided_with_a_reason():
    few = said(study(1, runs=8, diverged=4), chosen=["heavier_tails", "node_weaker"])
    assert few["heavier_tails"]["reason"] == "Only 4 points; at least 5 are needed."
    assert few["node_weaker"]["p"] is None
    none = said(study(1, diverged=24), chosen=["heavier_tails"])["heavier_tails"]
    assert (none["n"], none["excluded_why"]) == (0, "24 diverged")
    clipped = said(study(-1, index=Index(value="alpha", clip=True)), chosen=["training_makes_tails"])
    assert clipped["training_makes_tails"]["verdict"] == "contradicted"
    of = study(1)
    column = "last_test_accuracy"
    same = of.runs.set_column(of.runs.schema.get_field_index(column), column, pa.array([0.9] * 24))
    constant = Study(same, of.tails, of.compression, of.pruning, of.synthetic, of.histograms)
    row = said(constant, chosen=["generalises"])["generalises"]
    assert "test accuracy is the same in every run" in row["reason"]
    assert row["effect"] is None


def test_five_pairs_can_decide_nothing_and_the_row_says_so():
    row = said(study(1, runs=8, diverged=3), chosen=["node_weaker"])["node_weaker"]
    assert row["n"] == 5
    assert row["verdict"] == "undecided"
    assert "5 points can give no p-value below 0.062" in row["reason"]


def test_infinite_indices_count_as_the_largest_rank():
    of = study(1)
    rows = of.tails.to_pylist()
    for row in rows:
        if row["run"] == "r0" and row["weights"] == "average" and row["k1"] is None:
            row["alpha"] = math.inf
    infinite = Study(
        *(of.runs, table("tails", rows), of.compression, of.pruning, of.synthetic, of.histograms), index=UNCLIPPED
    )
    both = said(infinite, chosen=["heavier_tails", "training_makes_tails", "layers_prune"])
    assert both["heavier_tails"]["verdict"] == both["layers_prune"]["verdict"] == "supported"
    assert both["heavier_tails"]["slope"] is None
    assert "1 with an infinite tail index" in both["training_makes_tails"]["excluded_why"]


def test_a_run_whose_quantity_is_no_number_is_left_out_by_its_name():
    of = study(1)
    rows = of.runs.to_pylist()
    rows[0]["test_accuracy"] = math.nan
    trend = {"statement": "s", "where": "w", "kind": "trend", "supports": "positive", "x": "eta_over_b"}
    claims = definitions.checked({"a": trend | {"y": {"of": "column", "column": "test_accuracy"}}}, "f")
    changed = Study(table("runs", rows), of.tails, of.compression, of.pruning, of.synthetic, of.histograms)
    (row, *_) = decisions.claim_rows(claims, changed, SETTINGS)
    assert "1 whose test accuracy is not finite" in row["excluded_why"]


def test_area_is_the_integral_of_the_curve():
    of = study(1)
    run = of.runs.to_pylist()[0]
    ratios, accuracies = of.curves["node"]["r0"]
    slope = (accuracies[-1] - accuracies[0]) / (ratios[-1] - ratios[0])
    found = quantities.area(of, run, method="node", low=0.55, high=0.95)
    assert found == pytest.approx(1 + slope * 0.75)
    assert quantities.area(of, run, method="node", low=-0.1, high=1.0) is None
    assert quantities.area(of, run, method="kernel", low=0.0, high=1.0) is None


DECISIONS = [
    ("positive", 0.5, (0.1, 0.8), 0.01, "supported"),
    ("positive", -0.5, (-0.8, -0.1), 0.01, "contradicted"),
    ("negative", -0.5, (-0.8, -0.1), 0.01, "supported"),
    ("positive", 0.5, (0.1, 0.8), 0.05, "undecided"),
    ("positive", 0.5, (-0.1, 0.8), 0.01, "undecided"),
    ("positive", 0.5, (math.nan, 0.8), 0.01, "undecided"),
    ("positive", 0.5, (0.1, 0.8), math.nan, "undecided"),
    ("within", 0.0, (-0.1, 0.1), math.nan, "supported"),
    ("within", 0.5, (0.3, 0.7), 0.9, "contradicted"),
    ("within", -0.5, (-0.7, -0.3), 0.9, "contradicted"),
    ("within", 0.2, (0.1, 0.3), 0.9, "undecided"),
    ("within", 0.0, (-0.3, 0.1), 0.9, "undecided"),
    ("above", 0.5, (0.3, 0.7), 0.9, "supported"),
    ("above", 0.1, (0.0, 0.1), 0.9, "contradicted"),
    ("below", 0.1, (0.0, 0.1), 0.9, "supported"),
    ("below", 0.3, (0.25, 0.4), 0.9, "contradicted"),
    ("below", 0.3, (0.1, 0.4), 0.9, "undecided"),
]


@pytest.mark.parametrize(("supports", "effect", "interval", "p", "verdict"), DECISIONS)
def test_the_rule(supports, effect, interval, p, verdict):
    low, high = interval
    found = verdicts.decide(supports, effect=effect, low=low, high=high, p_holm=p, level=0.05, margin=0.2)
    assert found[0] == verdict
    assert found[1].endswith(".")


def test_a_margin_is_held_against_all_panels_of_a_claim_together():
    """Two panels, each of them clear of the margin by less than what two of them need."""
    of = study(1, noise=0.02, seed=5)
    (near,) = decisions.claim_rows({"a": NEAR}, of, SETTINGS)
    claim = NEAR | {"margin": near["effect_high"] + 1e-4}
    (one,) = decisions.claim_rows({"a": claim}, of, SETTINGS)
    doubled = replace(of, **{name: twice(getattr(of, name)) for name in ("runs", "tails")})
    rows = list(decisions.claim_rows({"a": claim}, doubled, SETTINGS))
    assert (one["verdict"], [row["verdict"] for row in rows]) == ("supported", ["undecided"] * 2)
    assert [(row["effect_low"], row["effect_high"]) for row in rows] == [(one["effect_low"], one["effect_high"])] * 2
    assert all(row["reason"].endswith("It is widened for 2 panels.") for row in rows)
    assert verdicts.for_panels("within", 2) == 0.975
    assert verdicts.for_panels("positive", 2) == 0.95


NEAR = {"statement": "s", "where": "w", "kind": "paired_difference", "supports": "within", "margin": 0.0} | {
    "first": {"of": "alpha", "weights": "initial"},
    "second": {"of": "alpha"},
}


def twice(part):
    """A table with its runs again, as another model's."""
    rows = part.to_pylist()
    model = {"model": "fcn6"} if "model" in part.column_names else {}
    return pa.Table.from_pylist(rows + [row | {"run": row["run"] + "b"} | model for row in rows], schema=part.schema)


def test_simulated_studies_are_judged_as_their_truth_is():
    studies = 40
    rows = list(verdicts.simulate(studies=studies, permutations=499, bootstrap=300, level=0.05, seed=0))
    whole = {(row["rule"], row["design"], row["truth"]): row for row in rows if row["n"] is None}
    assert len(whole) == 2 * sum(len(rule.truths) for rule in verdicts.RULES.values())
    for (rule, design, truth), row in whole.items():
        assert sum(row[verdict] for verdict in verdicts.VERDICTS) == pytest.approx(1)
        # A study is decided at all with chance 5%, if nothing is true or just the margin.
        assert row["any_wrong"] <= binom.ppf(0.9999, studies, 0.05) / studies, (rule, design, truth)
        if design == "paper" and truth in ("positive", "inside", "above"):
            assert row["supported"] > 0.5
        if design == "paper" and truth in ("negative", "outside", "below"):
            assert row["contradicted"] > 0.5
        if truth in ("null", "at the margin"):
            assert row["undecided"] > 0.8
    mirrored = [whole["correlation", "paper", truth] for truth in ("positive", "negative")]
    assert mirrored[0]["supported"] == pytest.approx(mirrored[1]["contradicted"], abs=0.15)


CURVE = {"of": "area", "method": "node", "low": 0, "high": 1}
ENTRY = {"statement": "s", "where": "w", "kind": "rank_correlation", "supports": "positive"} | {
    "x": {"of": "alpha"},
    "y": CURVE,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "rank_correlations"},
            "unknown kind 'rank_correlations' in claim 'a' of f: did you mean 'rank_correlation'",
        ),
        ({"statment": "s"}, "unknown key 'statment' in claim 'a' of f: did you mean 'statement'"),
        ({"supports": "up"}, "unknown value of supports"),
        ({"supports": "within"}, "give a margin"),
        ({"margin": 0.1}, "give a margin"),
        ({"supports": "within", "margin": "0.1"}, "margin of claim 'a' of f is '0.1'; it must be a number"),
        ({"x": {"of": "alpha", "layer": 1}}, "unknown key 'layer' in x of claim 'a'"),
        ({"x": {"of": "beta"}}, "unknown quantity 'beta'"),
        ({"x": {"of": "alpha", "value": "alpha_publish"}}, "unknown value 'alpha_publish'"),
        (
            {"x": {"of": "alpha", "layers": "means"}},
            "unknown layers 'means' in x of claim 'a' of f: did you mean 'mean'",
        ),
        ({"value": "alpha"}, "unknown key 'value' in claim 'a' of f"),
        ({"x": "alpha"}, "must be a mapping"),
        ({"x": None}, "must be a mapping"),
        ({"y": {"of": "area", "method": "nodes", "low": 0, "high": 1}}, "unknown method 'nodes'"),
        ({"y": {"of": "area", "method": "node", "low": 1, "high": 1}}, "low must be below high"),
        ({"y": {"of": "area", "method": "node"}}, "lacks low, high"),
        ({"kind": "layer_correlation"}, "unknown key 'x'"),
        ({"for_each": ["node"]}, "for_each must name one list"),
        ({"for_each": {"method": []}}, "for_each has 0 values; it may have 1 to 1000"),
        (
            {"x": {"of": "alpha", "estimator": "hil"}},
            "unknown estimator 'hil' in x of claim 'a' of f: did you mean 'hill'",
        ),
        ({"x": {"of": "alpha", "weights": "averaged"}}, "unknown weights 'averaged' in x of claim 'a'"),
        (
            {"supports": "within", "margin": -1},
            "margin of claim 'a' of f is -1; for rank_correlation with supports: within",
        ),
        ({"supports": "within", "margin": 0}, "it must be above 0 and below 1"),
        ({"supports": "within", "margin": math.inf}, "margin of claim 'a' of f is inf; it must be a finite number"),
        ({"supports": "above", "margin": -1}, "with supports: above it must be above -1 and below 1"),
        ({"y": CURVE | {"high": math.nan}}, "high of y of claim 'a' of f is nan; it must be a finite number"),
        ({"y": CURVE | {"high": 5}}, "low and high are pruned ratios; they lie between -1 and 1"),
    ],
)
def test_what_a_file_of_claims_may_not_say(change, message):
    with pytest.raises(InputError) as error:
        definitions.checked({"a": ENTRY | change}, "f")
    assert message in str(error.value)


OF_LAYERS = {
    "statement": "s",
    "where": "w",
    "kind": "layer_correlation",
    "supports": "negative",
    "p": 2,
    "epsilon": 0.1,
}
ROBUST = {"of": "robust_accuracy", "method": "node", "ratio": 0.5}
HALVES = {"statement": "s", "where": "w", "kind": "histogram_distance", "supports": "within", "margin": 0.05}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            OF_LAYERS | {"p": 3.0},
            "p of claim 'a' of f is 3, and the study computes p = 1, 2; use one of these, or add yours",
        ),
        (
            OF_LAYERS | {"epsilon": 0.01},
            "epsilon of claim 'a' of f is 0.01, and the study computes epsilon = 0.05, 0.1, 0.2",
        ),
        (
            ENTRY | {"x": {"of": "alpha", "estimator": "min"}},
            "unknown estimator 'min' in x of claim 'a' of f: did you mean 'mine'",
        ),
        (
            ENTRY | {"y": CURVE | {"method": "rand"}},
            "unknown method 'rand' in y of claim 'a' of f: did you mean 'random'",
        ),
        (
            HALVES | {"first": "half_c", "second": "all"},
            "unknown series 'half_c' in first of claim 'a' of f: did you mean",
        ),
        (HALVES | {"first": "all", "second": "stable", "margin": 1.5}, "it must be above 0 and below 1"),
        (
            ENTRY | {"y": ROBUST},
            "y of claim 'a' of f is a robust accuracy, but config key pruning.attack is null; give it",
        ),
    ],
)
def test_claims_of_what_the_study_does_not_compute(config, entry, message):
    config["tails"]["own"] = {"mine": "a.b"}
    config["pruning"]["own"] = {"random": {"function": "a.b", "ratios": [0.5]}}
    with pytest.raises(InputError) as error:
        definitions.checked({"a": entry}, "f", config_schema.computed(config))
    assert message in str(error.value)


def test_claims_of_what_the_config_adds(config):
    config["tails"]["own"] = {"mine": "a.b"}
    config["pruning"]["own"] = {"random": {"function": "a.b", "ratios": [0.5]}}
    config["compression"]["p"] = [2.0, 3.0]
    config["pruning"]["attack"] = {"epsilon": 0.1, "steps": 10}
    entry = ENTRY | {"x": {"of": "alpha", "estimator": "mine"}, "y": CURVE | {"method": "random"}}
    content = {"a": entry, "b": OF_LAYERS | {"p": 3, "supports": "above", "margin": -0.5}, "c": ENTRY | {"y": ROBUST}}
    assert definitions.checked(content, "f", config_schema.computed(config)) == content


def test_two_claims_of_one_name():
    copies = ENTRY | {"for_each": {"method": ["node"]}}
    with pytest.raises(InputError, match="claim 'a' of f: there is a claim 'a_node' already"):
        definitions.checked({"a_node": ENTRY, "a": copies}, "f")


def test_the_claims_of_the_paper_fit_every_shipped_study(config):
    assert definitions.read(ROOT / "config/claims.yaml", config_schema.computed(config)) == CLAIMS


def test_a_kind_without_quantities_names_its_value():
    entry = {key: ENTRY[key] for key in ("statement", "where", "supports")} | {"kind": "initial_index"}
    assert definitions.checked({"a": entry | {"value": "alpha"}}, "f")["a"]["value"] == "alpha"
    with pytest.raises(InputError, match="unknown value 'alhpa' in claim 'a' of f: did you mean 'alpha'"):
        definitions.checked({"a": entry | {"value": "alhpa"}}, "f")


@pytest.mark.parametrize("content", [None, [], {}, {"a": "text"}])
def test_a_file_that_holds_no_claims(content):
    with pytest.raises(InputError):
        definitions.checked(content, "f")


def test_a_missing_or_damaged_file_of_claims(tmp_path):
    with pytest.raises(InputError, match=r"config key claims.path: cannot read .*none.yaml"):
        definitions.read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"bad.yaml' is not YAML"):
        definitions.read(tmp_path / "bad.yaml")


def test_one_claim_per_value():
    entry = ENTRY | {"statement": "{method}!", "for_each": {"method": ["node", "kernel"]}}
    entry["y"] = entry["y"] | {"method": "{method}"}
    found = definitions.checked({"a": entry}, "f")
    assert list(found) == ["a_node", "a_kernel"]
    assert (found["a_kernel"]["statement"], found["a_kernel"]["y"]["method"]) == ("kernel!", "kernel")


def test_the_job_writes_both_tables(tmp_path, config):
    of = study(1)
    paths = {}
    for name in script("claims").TABLES:
        paths[name] = tmp_path / f"{name}.parquet"
        parquet.store(getattr(of, name), paths[name], provenance={})
    source = tmp_path / "claims.yaml"
    source.write_text(yaml.safe_dump({"a": ENTRY}))

    class Inputs(dict):
        claims = source

    settings = {key: value for key, value in config["claims"].items() if key != "simulations"}
    settings["computed"] = config_schema.computed(config)
    settings["weights"] = "last"
    settings["index"] = config["index"]
    smk = SimpleNamespace(
        input=Inputs(paths),
        output=SimpleNamespace(table=tmp_path / "claims.parquet", text=tmp_path / "claims.md"),
        params=SimpleNamespace(settings=json.dumps(settings), code="c"),
    )
    script("claims").main(smk)
    (row,) = tables.read(smk.output.table).to_pylist()
    assert (row["claim"], row["panel"], row["verdict"]) == ("a", "FCN4, DIGITS", "contradicted")
    text = smk.output.text.read_text()
    assert "## s" in text
    assert "| FCN4, DIGITS | spearman rho " in text
    assert "**1 contradicted**" in text
    assert "3 diverged" in text


def test_every_line_of_the_report_has_the_same_cells():
    rows = list(decisions.claim_rows(CLAIMS, study(1, error=0.01), SETTINGS))
    lines = [line for line in markdown.text_of(rows, level=0.05).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert sum("FCN4" in line or "| all |" in line for line in lines) == len(rows)
    assert all(row["reason"] for row in rows)
    for row in rows:
        assert not any(isinstance(value, float) and math.isnan(value) for value in row.values())
