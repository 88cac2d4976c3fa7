"""Generalisation gaps and likelihoods of laws, read from tables and claimed of studies."""

from dataclasses import replace

import numpy as np
import pytest

from sgdtails.claims import decisions, definitions, quantities
from sgdtails.claims.evidence import Settings
from sgdtails.config import claimed_tables
from sgdtails.errors import InputError
from sgdtails.stable import sampling
from sgdtails.tail_index.laws import layer_laws
from tests.claims.test_claims import CLAIMS, table
from tests.claims.test_relations import study

SETTINGS = Settings(permutations=999, bootstrap=300, level=0.05, fewest=5, seed=0)
NEARER = ("nearer_to_stable_entries", "nearer_to_stable_rows")
RUNS = 6


def said(of, names):
    return {row["claim"]: row for row in decisions.claim_rows({name: CLAIMS[name] for name in names}, of, SETTINGS)}


def test_gaps_are_of_the_network_that_is_asked_for():
    run = {"train_accuracy": 1.0, "test_accuracy": 0.75, "train_nll": 0.125, "test_nll": 0.5}
    run |= {"last_train_accuracy": 0.875, "last_test_accuracy": 0.5, "last_train_nll": None, "last_test_nll": 1.0}
    run |= {"average_test_accuracy": 0.5}
    of = study([], [])

    def gap(**quantity):
        return quantities.measure(of, run, {"of": "generalisation_gap", **quantity})

    assert gap() == 0.375  # of the last iterate, which is pruned
    assert gap(weights="converged") == 0.25
    assert gap(weights="converged", value="nll") == 0.375
    assert gap(value="nll") is None
    assert gap(weights="average") is None


def test_why_a_study_has_no_gap_or_no_law_is_said():
    of = study(range(RUNS), range(RUNS), last_train_accuracy=[1.0] * 3 + [None] * 3)
    gap = {"of": "generalisation_gap"}
    claim = {"statement": "s", "where": "w", "kind": "rank_correlation", "supports": "positive"}
    claim |= {"x": {"of": "column", "column": "alpha"}, "y": gap}
    [row] = decisions.claim_rows({"a": claim}, of, SETTINGS)
    assert (row["n"], row["excluded_why"]) == (3, "3 whose training or test set was not evaluated")
    assert row["quantities"] == "alpha; generalisation gap"
    for averaged in (claim | {"y": gap | {"weights": "average"}}, claim):
        [row] = decisions.claim_rows({"a": averaged}, replace(of, weights="average"), SETTINGS)
        assert row["reason"] == "The averaged networks were evaluated on the test set only."
    for row in said(of, NEARER).values():
        assert (row["panel"], row["verdict"], row["effect"]) == ("all", "undecided", None)
        assert row["reason"] == "Not computed: the study has no table laws."
    assert claimed_tables.of_content(CLAIMS) & set(claimed_tables.IF_NAMED) == {"laws"}


def laws_of(draw, *, hidden=1, runs=RUNS):
    """Table laws of networks whose hidden layers have the entries that ``draw`` makes; their heads have no law."""
    rng, rows = np.random.default_rng(0), []
    for run in range(runs):
        layers = {f"fc{layer}": draw(rng) for layer in range(hidden)} | {"head": np.ones((10, 64))}
        found = layer_laws.per_layer(layers, seed=0, settings=layer_laws.Settings(replicates=0))
        rows += [{"run": f"r{run}", "weights": "average"} | row for row in found]
    return rows


def students(rng):
    """Independent entries of a t law of three degrees of freedom."""
    return rng.standard_t(3, (64, 64))


def student_rows(rng):
    """Rows of a multivariate t law: normal ones, each divided by its own scale."""
    return rng.standard_normal((256, 16)) / np.sqrt(rng.chisquare(3, (256, 1)) / 3)


@pytest.mark.parametrize(
    ("name", "draw", "verdict"),
    [
        (NEARER[0], students, "contradicted"),
        (NEARER[1], student_rows, "contradicted"),
        (NEARER[0], lambda rng: sampling.sample(1.5, (64, 64), rng=rng), "supported"),
        (NEARER[1], lambda rng: sampling.elliptical(1.5, 256, 16, rng=rng), "supported"),
    ],
)
def test_layers_of_a_known_law_are_nearer_to_it(name, draw, verdict):
    row = said(replace(study(range(RUNS), range(RUNS)), laws=table("laws", laws_of(draw))), [name])[name]
    assert (row["verdict"], row["n"], row["effect_name"]) == (verdict, RUNS, "mean_difference")
    assert row["effect_low"] < row["effect"] < row["effect_high"]


def test_the_lead_is_the_mean_over_hidden_layers_and_a_layer_without_laws_leaves_its_run_out():
    rows = laws_of(students, hidden=2, runs=1)
    rows = [row | {"run": f"r{run}"} for run in range(RUNS) for row in rows]
    of = replace(study(range(RUNS), range(RUNS)), laws=table("laws", rows))
    row = said(of, NEARER[:1])[NEARER[0]]
    own = {
        law: [
            each["log_likelihood"]
            for each in rows
            if (each["observed"], each["law"]) == ("entries", law) and each["layer"] < 2
        ]
        for law in ("stable", "student_t")
    }
    assert row["effect"] == pytest.approx(np.mean(own["stable"]) - np.mean(own["student_t"]))
    assert row["quantities"] == "log likelihood (stable, entries); log likelihood (student t, entries)"
    without = [each for each in rows if (each["run"], each["layer"]) != ("r0", 0)]
    without.append(
        layer_laws.NOTHING | {"run": "r0", "weights": "average", "layer": 0, "layer_name": "fc0", "reason": "r"}
    )
    fewer = said(replace(of, laws=table("laws", without)), NEARER[:1])[NEARER[0]]
    assert (fewer["n"], fewer["excluded_why"]) == (RUNS - 1, "1 with a hidden layer without laws")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statistic": "kendal"}, "kendall"),
        ({"statistic": "kendall", "control": {"of": "eta_over_b"}}, "only statistic: spearman has a control"),
        ({"y": {"of": "generalisation_gap", "value": "loss"}}, "nll"),
        ({"y": {"of": "generalisation_gap", "weights": "initial"}}, "converged"),
        ({"y": {"of": "log_likelihood", "law": "multivariate_t"}}, "student_t"),
        ({"y": {"of": "log_likelihood", "law": "student_t", "observed": "rows"}}, "multivariate_t"),
        ({"y": {"of": "log_likelihood", "law": "stable", "observed": "columns"}}, "entries"),
        ({"kind": "two_lines", "shape": "hill"}, "peak"),
        ({"kind": "two_lines"}, "lacks shape"),
    ],
)
def test_what_a_claim_may_not_say(change, said):
    claim = {"statement": "s", "where": "w", "kind": "rank_correlation", "supports": "positive"}
    claim |= {"x": {"of": "alpha"}, "y": {"of": "test_accuracy"}} | change
    with pytest.raises(InputError, match=said):
        definitions.checked({"a": claim}, "f")
