"""Config key ``compare``: pairs, their differences, and what it may not say."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sgdtails.claims import comparisons, markdown
from sgdtails.config import claimed_tables
from sgdtails.errors import InputError
from sgdtails.figures import registry
from tests.claims.test_claims import SETTINGS, table
from tests.claims.test_trends import width_study

ENTRY = {"x": "width", "y": "width", "colour": "step_size", "pair": ["kind", "seed"]}
OF_ALPHA = ENTRY | {"y": {"of": "alpha"}}


def compared(entry, study):
    points = list(comparisons.points([entry], study))
    return points, list(comparisons.differences([entry], study, points, SETTINGS))


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
    found = compared(ENTRY, _with(study, rows))[1]
    assert [(row["colour"], row["x_to"]) for row in found] == [(None, width) for width in ("128", "256", "512")]
    assert {(row["pairs"], row["difference"], row["low"], row["p"]) for row in found} == {(0, None, None, None)}
    assert found[0]["missing"] == "no two runs with width 64 and 128 are equal in step_size, kind, seed"
    rows = [row for row in study.runs.to_pylist() if row["seed"] == 0 and row["step_size"] == 0.1]
    _, found = compared(ENTRY | {"colour": None}, _with(study, rows))
    assert [(row["pairs"], row["difference"], row["low"]) for row in found] == [
        (1, 64, None),
        (1, 192, None),
        (1, 448, None),
    ]


def _with(study, runs):
    return replace(study, runs=table("runs", runs))


def _ended(study, *statuses):
    """The study with these statuses of the runs of width 128, in their order; the last one is that of the rest."""
    rows = study.runs.to_pylist()
    for row, status in itertools.zip_longest(
        [row for row in rows if row["width"] == 128], statuses, fillvalue=statuses[-1]
    ):
        row["status"] = status
    return _with(study, rows)


def test_missing_pairs_have_a_reason():
    study = width_study(0)
    _, rows = compared(OF_ALPHA, _ended(study, "diverged", "budget"))
    wide = {row["colour"]: row for row in rows if row["x_to"] == "128"}
    assert {colour: (row["pairs"], row["missing"]) for colour, row in wide.items()} == {
        "0.1": (0, "3 runs over budget, 1 diverged"),
        "0.2": (0, "4 runs over budget"),
        None: (0, "7 runs over budget, 1 diverged"),
    }
    assert markdown.sentence(wide["0.2"]) == "width 128 against 64: no pairs: 4 runs over budget"
    assert {(row["pairs"], row["missing"]) for row in rows if row["x_to"] == "256"} == {(4, None), (8, None)}
    _, rows = compared(OF_ALPHA, _ended(study, "budget", "converged"))
    assert [(row["pairs"], row["missing"]) for row in rows if row["x_to"] == "128"] == [
        (3, "1 run over budget"),
        (4, None),
        (7, "1 run over budget"),
    ]
    _, (row,) = compared(OF_ALPHA | {"x": "depth", "pair": ["kind", "width", "seed"]}, study)
    assert (row["x_from"], row["x_to"], row["pairs"]) == ("4", None, 0)
    assert markdown.sentence(row) == "no pairs: all runs have depth 4"
    _, (row,) = compared(OF_ALPHA | {"x": "train_size"}, study)
    assert markdown.sentence(row) == "no pairs: no run has a value in column train_size"


ROW = {"x_name": "step_size", "x_from": "0.1", "x_to": "0.2", "pairs": 8, "missing": None, "p": 0.0312}


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((-0.0001, -0.019, 0.0214), "no difference seen (0.000, \u22120.019 to 0.021, 8 pairs, p = 0.031)"),
        ((0.5, 0.0, 1.0), "no difference seen (0.50, 0.00 to 1.00, 8 pairs, p = 0.031)"),
        ((0.5, 1e-9, 1.0), "higher by 0.50 (0.00 to 1.00, 8 pairs, p = 0.031)"),
        ((-0.021, -0.038, -0.004), "lower by 0.021 (0.004 to 0.038, 8 pairs, p = 0.031)"),
        ((1234.6, 200.0, 2269.0), "higher by 1,235 (200 to 2,269, 8 pairs, p = 0.031)"),
        ((0.0, 0.0, 0.0), "no difference seen (0.000, 0.000 to 0.000, 8 pairs, p = 0.031)"),
        ((-0.0321, None, None), "undecided, a single pair has no interval (\u22120.032)"),
        ((0.0, None, None), "undecided, a single pair has no interval (0.000)"),
    ],
)
def test_the_word_follows_from_the_interval(numbers, said):
    row = ROW | dict(zip(("difference", "low", "high"), numbers, strict=True))
    assert markdown.sentence(row) == f"step size 0.2 against 0.1: {said}"
    assert markdown.sentence(row | {"missing": "1 run diverged"}).endswith("; 1 run diverged")


def test_the_page_has_a_section_per_comparison_and_a_sentence_per_row():
    study = width_study(0.03)
    entries = [ENTRY | {"y": "alpha"}, OF_ALPHA | {"colour": None, "pair": ["kind", "step_size", "seed"]}]
    with_alpha = _with(study, [row | {"alpha": row["width"] / 1000} for row in study.runs.to_pylist()])
    rows = list(comparisons.differences(entries, with_alpha, list(comparisons.points(entries, with_alpha)), SETTINGS))
    text = markdown.text_of_comparisons(rows)
    assert "\n## mean alpha, clipped at 2, by width\n\n| step size | difference |\n" in text
    assert "\n## mean alpha, clipped at 2 (mmo_multivariate), by width\n\n| runs | difference |\n" in text
    assert "\n| 0.2 | width 512 against 64: higher by 0.448 (0.448 to 0.448, 4 pairs, p = 0.12) |\n" in text
    assert sum(line.startswith(("| 0", "| all")) for line in text.splitlines()) == len(rows) == 9 + 3


def test_texts_are_values_in_their_order():
    _, rows = compared({"x": "model", "y": {"of": "alpha"}, "pair": ["step_size", "seed"]}, width_study(0))
    assert [(row["x_from"], row["x_to"]) for row in rows] == [("w64", name) for name in ("w128", "w256", "w512", "cnn")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "widht"}, "unknown column 'widht' in x of config key compare, entry 1: did you mean 'width'"),
        (
            {"x": "wd"},
            "unknown column 'wd' in x of config key compare, entry 1: use one of: batch_size, dataset, depth, "
            "effective_step_size, eta_over_b, kind, model, momentum, noise_alpha, noise_kind, noise_scale, seed, step_size, "
            "train_size, variant, weight_decay, width.",
        ),
        ({"colour": "eta"}, "unknown column 'eta' in colour of config key compare, entry 1"),
        ({"pair": "seeds"}, "unknown column 'seeds' in pair of config key compare, entry 1: did you mean 'seed'"),
        (
            {"y": "model"},
            "unknown column 'model' in y of config key compare, entry 1: use one of: alpha, average_test_accuracy",
        ),
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
        "comparisons": table("comparisons", list(comparisons.differences(entries, study, points, SETTINGS))),
    }
    figure = registry.FIGURES["comparisons"](**tables).figure()
    assert len(figure.axes) == 4
    left, right = figure.axes[:2]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["64", "128", "256", "512"]
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["128", "256", "512"]
    assert left.get_ylabel().startswith(r"mean tail index $\hat\alpha$, clipped at 2")
    places = [place for bar in right.containers for place in bar[0].get_xdata()]
    assert right.get_xlim()[0] < min(places)
    assert max(places) < right.get_xlim()[1]  # no mark is cut
    assert all(min(abs(np.log2(x / width)) for width in (128, 256, 512)) < 0.2 for x in places)
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["step size 0.1", "step size 0.2", "all"]
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


def test_a_figure_without_pairs_says_why(tmp_path):
    study = width_study(0)
    study = _with(
        study, [row | {"status": "budget" if row["width"] > 64 else "converged"} for row in study.runs.to_pylist()]
    )
    entries = [OF_ALPHA, OF_ALPHA | {"x": "train_size"}]
    points = list(comparisons.points(entries, study))
    tables = {
        "compared": table("compared", points),
        "comparisons": table("comparisons", list(comparisons.differences(entries, study, points, SETTINGS))),
    }
    left, right, *others = registry.FIGURES["comparisons"](**tables).figure().axes
    assert [text.get_text() for text in right.texts] == ["no pairs: 8 runs over budget"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["step size 0.1", "step size 0.2"]
    said = [text.get_text().replace("\n", " ") for axes in others for text in axes.texts]
    assert said == ["no run has a value", "no pairs: no run has a value in column train size"]
    assert all(axes.get_legend() is None for axes in (left, *others))
    old = tables | {"comparisons": tables["comparisons"].drop_columns(["missing"])}
    assert registry.FIGURES["comparisons"](**old).figure().axes[1].texts[0].get_text() == "no pairs"
