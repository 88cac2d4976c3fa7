"""Claims against panels, with one sentence per claim."""

from sgdtails.report import page_verdicts
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
    found = page_verdicts.matrix(rows)
    assert found.panels == ["A", "B"]
    assert [line.verdicts for line in found.shown] == [["supported", "undecided"]]
    assert [line.verdicts for line in found.more] == [["", "contradicted"], ["", ""]]


def test_a_sentence_counts_verdicts_and_gives_the_range_of_one_kind_of_effect():
    rows = [claim("A", "supported", -0.9), claim("B", "undecided", 0.25), claim("C", "supported", -0.5)]
    assert page_verdicts.sentence(rows) == "Supported in 2, undecided in 1 of 3 panels; spearman rho -0.9 to 0.25."
    rows[0]["effect_name"] = "mean_difference"
    assert page_verdicts.sentence(rows) == "Supported in 2, undecided in 1 of 3 panels."


def test_a_sentence_on_one_panel_gives_its_effect_or_its_reason():
    one = [claim("A", "undecided", -0.5, effect_low=-1.0, effect_high=0.25)]
    assert page_verdicts.sentence(one) == "Undecided: spearman rho -0.5, interval [-1, 0.25], n = 5."
    none = [claim("all", "undecided", None, effect_low=None, reason="No panel has the quantities.")]
    assert page_verdicts.sentence(none) == "Undecided: no panel has the quantities."
