"""Figures of laws, from tables made here."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from sgdtails.figures import laws
from sgdtails.io import tables
from tests.conftest import ROOT

STUDY = ROOT / "studies/mnist-narrow/tables"


def law_rows(run, name, best, *, decided=True):
    label = best if decided else "undecided"
    common = {"run": run, "weights": "average", "layer": 0, "layer_name": name, "observed": "entries", "best": best}
    common |= {"label": label, "rival": "stable"}
    t = {"law": "student_t", "scale": 0.02, "shape": 3.0}
    return [common | t, common | {"law": "gaussian", "scale": 0.03, "shape": None}]


def test_shares_add_up_and_undecided_layers_are_pale():
    runs = tables.read(STUDY / "runs.parquet")
    converged = [row["run"] for row in runs.to_pylist() if row["status"] == "converged"]
    rows = [
        row
        for number, run in enumerate(converged)
        for row in law_rows(run, "fc1", "student-t", decided=number % 2 == 0)
    ]
    table = pa.Table.from_pylist(rows, schema=tables.SCHEMAS["laws"])
    axes, *_ = laws.shares(runs, table).figure().axes
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert math.isclose(max(tops), 1.0)
    assert {bar.get_alpha() for bar in axes.patches} == {1, laws._PALE}
    assert math.isclose(sum(bar.get_height() for bar in axes.patches), len(axes.get_xticks()))


def test_a_curve_per_law_beside_the_weights():
    histograms = tables.read(STUDY / "histograms.parquet")
    first = histograms.to_pylist()[0]
    table = pa.Table.from_pylist(
        law_rows(first["run"], first["layer_name"], "student-t"), schema=tables.SCHEMAS["laws"]
    )
    plot = laws.fits(histograms, table)
    figure = plot.figure()
    labels = figure.axes[1].get_legend_handles_labels()[1]
    assert labels == ["weights", "student-t (3)", "gaussian"]
    assert "student-t" in plot.panels[next(iter(plot.panels))].note


@pytest.mark.parametrize(
    ("law", "shape", "known"),
    [
        ("gaussian", None, stats.norm()),
        ("student_t", 3.0, stats.t(3)),
        ("normal_inverse_gaussian", 0.3, stats.norminvgauss(0.3, 0)),
        ("stable", 1.5, stats.levy_stable(1.5, 0)),
    ],
)
def test_tails_are_those_of_their_law(law, shape, known):
    """To 3%, less than the width of a line: a Gaussian tail of 1e-12 falls by half from one of 400 points to the next."""
    t = np.geomspace(0.5, 30, laws._POINTS)
    above, right = laws._beyond({"law": law, "shape": shape, "scale": 2.0}, 2 * t), 2 * known.sf(t)
    seen = right > 1e-12
    np.testing.assert_allclose(above[seen], right[seen], rtol=0.03)


def test_without_rows_a_sentence_stands_there():
    empty = {name: tables.SCHEMAS[name].empty_table() for name in ("runs", "laws", "histograms")}
    assert laws.fits(empty["histograms"], empty["laws"]).figure().axes[0].texts
    assert laws.shares(empty["runs"], empty["laws"]).figure().axes
