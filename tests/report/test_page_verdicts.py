"""Claims against panels, with one sentence per claim."""

import yaml

from sgdtails.report import page_verdicts
from tests.conftest import ROOT
from tests.report.test_report import CLAIM


def claim(panel, verdict, effect=-0.5, **values):
    return CLAIM | {"panel": panel, "verdict": verdict, "effect": effect} | values


def test_one_line_per_claim_and_one_column_per_panel():
    rows = [
        claim("A", "supported"),
        claim("B", "undecided"),
        claim("B", "contradicted", claim="d", source="section A.4"),
        claim("all", "undecided", claim="e", effect=None, reason="No panel has it."),
    ]
    shown, more = page_verdicts.matrices(rows, {"A": "a"})
    assert shown.panels == ["a", "B"]
    assert [line.verdicts for line in shown.lines] == [["supported", "undecided"]]
    assert more.panels == ["B"]  # no claim there was tested on A
    assert [line.verdicts for line in more.lines] == [["contradicted"], [""]]


def test_a_claim_on_larger_groups_of_runs_makes_no_column():
    rows = [claim("A", "supported"), claim("A", "undecided", claim="d"), claim("FCN", "contradicted", claim="d")]
    shown, _ = page_verdicts.matrices(rows, {"FCN": "every FCN"}, groups={"FCN", "all"})
    assert shown.panels == ["A"]
    assert [line.groups for line in shown.lines] == [[], [("A", "undecided"), ("every FCN", "contradicted")]]


def test_a_verdict_that_could_be_misread_has_a_note():
    shown, _ = page_verdicts.matrices([claim("A", "supported", claim="stable_sample"), claim("A", "supported")])
    assert ["does not tell whether their law is stable" in line.note for line in shown.lines] == [True, False]
    assert set(page_verdicts.NOTES) <= set(yaml.safe_load((ROOT / "config/claims.yaml").read_text()))


def test_a_sentence_counts_verdicts_and_gives_the_range_of_one_kind_of_effect():
    rows = [claim("A", "supported", -0.9), claim("B", "undecided", 0.25), claim("C", "supported", -0.5)]
    said = "Supported in 2 of 3 panels, undecided in 1"
    assert page_verdicts.sentence(rows) == f"{said}; Spearman's rho is between -0.9 and 0.25."
    rows[0]["effect_name"] = "mean_difference"
    assert page_verdicts.sentence(rows) == f"{said}."


def test_a_sentence_on_panels_that_agree_does_not_count_them_twice():
    rows = [claim("A", "supported"), claim("B", "supported"), claim("C", "supported")]
    assert page_verdicts.sentence(rows) == "Supported in all 3 panels; Spearman's rho is -0.5."
    assert page_verdicts.sentence(rows[:2]) == "Supported in both panels; Spearman's rho is -0.5."


def test_a_sentence_on_one_panel_gives_its_effect_or_its_reason():
    one = [claim("A", "undecided", -0.5, effect_low=-1.0, effect_high=0.25)]
    assert page_verdicts.sentence(one) == "Undecided: Spearman's rho is -0.5, interval [-1, 0.25], n = 5."
    none = [claim("all", "undecided", None, effect_low=None, reason="No panel has the quantities.")]
    assert page_verdicts.sentence(none) == "Undecided: no panel has the quantities."
