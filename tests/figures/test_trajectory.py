import math

import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sgdtails.figures.registry import FIGURES
from sgdtails.io import tables
from sgdtails.tail_index.network_index import Index

STEPS = {"fast": (0.01, [(0, 2.0), (200, 1.8), (400, 1.6), (800, 1.5)]), "slow": (0.001, [(0, 1.9), (200, 1.9)])}


def table(name, rows):
    empty = dict.fromkeys(tables.SCHEMAS[name].names)
    return pa.Table.from_pylist([empty | row for row in rows], schema=tables.SCHEMAS[name])


@pytest.fixture
def study():
    """Two converged runs and one that diverged; each has two layers, whose mean the run has, and a row of one block length."""
    common = {"dataset": "digits", "model": "fcn4", "variant": "", "alpha": 1.9}
    runs = [common | {"run": run, "eta_over_b": eta, "status": "converged"} for run, (eta, _) in STEPS.items()]
    runs.append(common | {"run": "lost", "eta_over_b": 9.0, "status": "diverged", "alpha": None})
    rows = [
        {"run": run, "iteration": iteration, "layer": layer, "layer_name": f"fc{layer}", "k1": k1}
        | {"alpha": alpha + 1, "alpha_published": None if k1 else alpha + (0.1 - 0.2 * layer)}
        for run, (_, line) in [*STEPS.items(), ("lost", (9.0, [(0, 1.0), (200, 1.0)]))]
        for iteration, alpha in line
        for layer in (0, 1)
        for k1 in (None, 2)
    ]
    history = [
        {"run": "fast", "iteration": iteration, "train_accuracy": accuracy}
        for iteration, accuracy in ((0, 0.1), (800, 1.0), (300, 1.0), (200, 0.99))
    ]
    return table("runs", runs), table("trajectory", rows), table("history", history)


def test_lines_are_means_over_layers_and_marks_lie_on_them(study):
    axes, *_ = FIGURES["trajectory"](*study, index=Index(value="alpha", estimator="hill")).figure().axes
    assert axes.get_title() == "FCN4, digits\n$n$ = 2; 1 diverged"
    start, *lines, marks = axes.lines
    assert start.get_ydata()[0] == pytest.approx(2.95)
    found = {tuple(line.get_xdata()): line.get_ydata().tolist() for line in lines}
    assert found == {(200, 400, 800): pytest.approx([2.8, 2.6, 2.5]), (200,): pytest.approx([2.9])}
    assert lines[0].get_color() != lines[1].get_color()
    ((x, y),) = marks.get_xydata()
    assert (x, y) == (300, pytest.approx(2.8 - 0.2 * math.log2(1.5)))
    assert axes.get_xscale() == "log"


def test_published_values_have_the_label_of_the_index(study):
    plot = FIGURES["trajectory"](*study, index=Index(layers="median"))
    assert plot.ylabel == r"median tail index $\hat\alpha$, clipped at 2"
    lines = plot.figure().axes[0].lines
    assert lines[1].get_ydata().tolist() == pytest.approx([1.8, 1.6, 1.5])


def test_a_study_without_converged_runs_or_rows_is_drawn(study):
    runs, rows, history = study
    for some in (runs.slice(2), runs):
        figure = FIGURES["trajectory"](some, rows.slice(0, 0), history.slice(0, 0)).figure()
        assert len(figure.axes[0].lines) == 0
        FigureCanvasAgg(figure).draw()
