"""Config key ``compare``: pairs, their differences, and what it may not say."""

import itertools

import numpy as np
import pytest

from sgdtails.claims import comparisons
from sgdtails.config import claimed_tables
from sgdtails.errors import InputError
from sgdtails.figures import registry
from tests.claims.test_claims import SETTINGS, table
from tests.claims.test_trends import width_study

ENTRY = {"x": "width", "y": "width", "colour": "step_size", "pair": ["kind", "seed"]}
OF_ALPHA = ENTRY | {"y": {"of": "alpha"}}


def compared(entry, study):
    points = list(comparisons.points([entry], study))
    return points, list(comparisons.differences(points, SETTINGS))


def test_differences_are_between_runs_that_are_equal_in_colour_and_pair():
    study = width_study(0.03)
    points, rows = compared(OF_ALPHA, study)
    assert len(points) == 4 * 2 * 4 + 4
    assert [(row["colour"], row["x_from"], row["x_to"], row["pairs"]) for row in rows] == [
        *((colour, "64", width, 4) for colour, width in itertools.product(("0.1", "0.2"), ("128", "256", "512"))),
        *((None, "64", width, 8) for width in ("128", "256", "512")),
    ]
    values = {(row["x"], row["colour"], row["pair"]): row["y"] for row in points}
    for row in rows:
        expected = [
            value - values[64.0, colour, pair]
            for (x, colour, pair), value in values.items()
            if x == float(row["x_to"]) and row["colour"] in (None, colour)
        ]
        assert row["difference"] == pytest.approx(np.mean(expected))
        assert row["low"] < row["difference"] < row["high"]
        assert 0 < row["p"] <= 1
    assert rows[-1]["difference"] == pytest.approx(0.09, abs=0.01)


def test_a_single_pair_has_no_interval_and_no_pair_no_difference():
    study = width_study(0)
    rows = [row | {"seed": row["width"]} for row in study.runs.to_pylist() if row["seed"] == 0]
    (alone,) = {
        (row["pairs"], row["difference"], row["low"], row["p"]) for row in compared(ENTRY, _with(study, rows))[1]
    }
    assert alone == (0, None, None, None)
    rows = [row for row in study.runs.to_pylist() if row["seed"] == 0 and row["step_size"] == 0.1]
    _, found = compared(ENTRY | {"colour": None}, _with(study, rows))
    assert [(row["pairs"], row["difference"], row["low"]) for row in found] == [
        (1, 64, None),
        (1, 192, None),
        (1, 448, None),
    ]


def _with(study, runs):
    from dataclasses import replace

    return replace(study, runs=table("runs", runs))


def test_texts_are_values_in_their_order():
    _, rows = compared({"x": "model", "y": {"of": "alpha"}, "pair": ["step_size", "seed"]}, width_study(0))
    assert [(row["x_from"], row["x_to"]) for row in rows] == [("w64", name) for name in ("w128", "w256", "w512", "cnn")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "widht"}, "unknown column 'widht' in x of config key compare, entry 1: did you mean 'width'"),
        ({"colour": "eta"}, "unknown column 'eta' in colour of config key compare, entry 1"),
        ({"pair": "seeds"}, "unknown column 'seeds' in pair of config key compare, entry 1: did you mean 'seed'"),
        ({"y": "model"}, "unknown column 'model' in y of config key compare, entry 1"),
        ({"y": {"of": "area"}}, "y of config key compare, entry 1 lacks method, low, high"),
        (
            {"pair": "seed", "colour": None},
            "runs w64-0.1-0 and w64-0.2-0 are equal in width, seed; add to pair what tells them apart",
        ),
    ],
)
def test_what_compare_may_not_say(change, message):
    runs = width_study(0).runs.to_pylist()
    comparisons.check([OF_ALPHA], {}, runs)
    with pytest.raises(InputError) as error:
        comparisons.check([OF_ALPHA | change], {}, runs)
    assert message in str(error.value)
    with pytest.raises(InputError, match="says the same as one before it: width by width, step_size apart"):
        comparisons.check([ENTRY, ENTRY], {}, runs)


def test_which_tables_are_asked_for(tmp_path):
    assert claimed_tables.of_content([ENTRY]) == set()
    assert claimed_tables.of_content([OF_ALPHA, ENTRY | {"y": {"of": "dependence"}}]) == {"tails", "dependence"}
    (tmp_path / "claims.yaml").write_text("a: {y: {of: relative_error}, x: {of: alpha}}")
    files = [tmp_path / "claims.yaml", tmp_path / "none.yaml"]
    assert claimed_tables.of_files(files) == {"errors"}


def test_figures_show_every_comparison_and_every_width(tmp_path):
    study = width_study(0.02)
    entries = [OF_ALPHA, {"x": "model", "y": {"of": "alpha"}, "pair": ["step_size", "seed"]}]
    points = list(comparisons.points(entries, study))
    tables = {
        "compared": table("compared", points),
        "comparisons": table("comparisons", list(comparisons.differences(points, SETTINGS))),
    }
    figure = registry.FIGURES["comparisons"](**tables).figure()
    assert len(figure.axes) == 4
    left, right = figure.axes[:2]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["64", "128", "256", "512"]
    assert right.get_xlim() == left.get_xlim()
    assert sum(len(line.get_xdata()) for line in left.lines if line.get_linestyle() == "None") == 36
    registry.save("errors", {"runs": study.runs, "errors": study.errors}, [str(tmp_path / "e.png")])
    drawn = registry.FIGURES["errors"](study.runs, study.errors).figure()
    columns = drawn.axes[2]
    assert [line.get_ydata().tolist() for line in columns.lines if line.get_linestyle() == "-"] == [
        [pytest.approx(0.5)] * 4,
        [pytest.approx(0.6)] * 4,
    ]
    for name, parts in (("comparisons", tables), ("errors", {"runs": study.runs, "errors": study.errors})):
        empty = {key: part.slice(0, 0) for key, part in parts.items()}
        registry.save(name, empty, [str(tmp_path / f"{name}.pdf")])
