import itertools

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sgdtails.figures import networks, registry, theme
from sgdtails.figures.elements import arrange, ticks
from sgdtails.figures.registry import FIGURES
from sgdtails.io import storage, tables
from sgdtails.labels import Labels
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import histograms
from sgdtails.tail_index.network_index import Index
from sgdtails.theory import bounds, synthetic
from tests.conftest import ROOT

BASE_RUN = dict.fromkeys(tables.SCHEMAS["runs"].names, None)
BASE_TAIL = dict.fromkeys(tables.SCHEMAS["tails"].names, None)


def study(models=("fcn4", "cnn"), status="converged"):
    runs, tails = [], []
    for model in models:
        for number, ratio in enumerate((1e-3, 3e-3, 1e-2, 5e-2)):
            run = f"{model}{number}"
            known = {
                "run": run,
                "dataset": "digits",
                "model": model,
                "batch_size": 10 * (1 + number % 2),
                "eta_over_b": ratio,
            }
            runs.append(
                BASE_RUN
                | known
                | {"status": "diverged" if number == 3 else status, "last_test_accuracy": 0.9 + number / 100}
                | {"alpha": None if number == 3 else 2 - number / 10}
            )
            if number < 3:
                row = {"run": run, "estimator": "mmo_multivariate", "layer": 0, "layer_name": "fc1"}
                tails.append(BASE_TAIL | row | {"weights": "average", "alpha_published": 2 - number / 10})
                tails.append(BASE_TAIL | row | {"weights": "initial", "alpha_published": 1.99})
    return pa.Table.from_pylist(runs, schema=tables.SCHEMAS["runs"]), pa.Table.from_pylist(
        tails, schema=tables.SCHEMAS["tails"]
    )


def drawn(axes):
    return sorted(
        tuple(np.round(point, 4)) for line in axes.get_lines() for point in zip(*line.get_data(), strict=True)
    )


def test_figure_1_shows_every_converged_run_and_counts_the_rest():
    figure = FIGURES["fig01"](*study()).figure()
    assert [axes.get_title() for axes in figure.axes] == [
        "FCN4, digits\n$n$ = 3; 1 diverged",
        "CNN, digits\n$n$ = 3; 1 diverged",
    ]
    assert drawn(figure.axes[0]) == [(0.001, 2.0), (0.003, 1.9), (0.01, 1.8)]
    assert figure.axes[0].get_xscale() == "log"


def test_figure_1_has_intervals_or_ranges_over_seeds():
    runs, tails = study(("fcn4",))
    bars = [part for part in FIGURES["fig01"](runs, tails).figure().axes[0].collections if part.get_label()[0] == "_"]
    assert bars == []  # published values have no interval, and there is one seed
    two = runs.to_pylist() + [row | {"run": f"{row['run']}s1", "alpha": 1.75} for row in runs.to_pylist()[:1]]
    axes = FIGURES["fig01"](pa.Table.from_pylist(two, schema=runs.schema), tails).figure().axes[0]
    assert axes.collections[0].get_segments()[0].tolist() == [[0.001, 1.75], [0.001, 2.0]]
    assert "range over seeds" in axes.get_legend_handles_labels()[1]
    ends = [row | {"alpha": 1.9, "alpha_low": 1.8, "alpha_high": 1.95} for row in tails.to_pylist()]
    axes = FIGURES["fig01"](runs, pa.Table.from_pylist(ends, schema=tails.schema), index=Index(value="alpha")).figure()
    segments = [part.get_segments()[0].round(6).tolist() for part in axes.axes[0].collections]
    assert segments[0] == [[0.001, 1.8], [0.001, 1.95]]
    assert "95% interval" in axes.axes[0].get_legend_handles_labels()[1]


def test_panels_have_labels_and_stay_apart_where_labels_are_alike():
    runs, tails = study()
    given = Labels({"fcn4": "wide net", "cnn": "wide net"}, {"digits": "8 x 8"})
    titles = list(FIGURES["fig01"](runs, tails, labels=given).panels)
    assert titles == ["wide net, 8 x 8 (digits, fcn4)", "wide net, 8 x 8 (digits, cnn)"]
    assert list(FIGURES["fig01"](runs, tails, labels=Labels({"cnn": "$1"})).panels)[1] == r"\$1, digits"


@pytest.mark.parametrize("name", ["fig01", "fig03", "fig07"])
def test_panels_share_the_axis_of_what_they_compare(name):
    runs, tails = study()
    rows = [row | {"alpha": row["alpha"] and row["alpha"] - (row["model"] == "cnn") / 2} for row in runs.to_pylist()]
    rows = [
        row | {"last_test_accuracy": row["last_test_accuracy"] / 2} if row["model"] == "cnn" else row for row in rows
    ]
    found = {"runs": pa.Table.from_pylist(rows, schema=runs.schema), "tails": tails}
    found["compression"] = tables.SCHEMAS["compression"].empty_table()
    figure = FIGURES[name](**{table: found[table] for table in registry.tables_of(name)}).figure()
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_as_many_batch_sizes_as_markers_look_different():
    assert len(set(theme.markers())) == len(theme.markers()) == 36
    for count in (3, 6, 7, 20):
        assert len(set(theme.palette(count))) == count


def test_titles_and_names_too_long_for_their_panel():
    runs, tails = study(models=("fcn4", "cnn", "other"))
    place = runs.schema.get_field_index("variant")
    variant = pa.array(["m0.9-wd0.0005-n0.01a1.8"] * len(runs))
    with matplotlib.rc_context(theme.STYLE):
        figure = FIGURES["fig01"](runs.set_column(place, runs.schema.field(place), variant), tails).figure()
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
    boxes = [axes.title.get_window_extent(renderer) for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert boxes[-1].x1 < figure.bbox.x1
    assert theme.shorten_left("encoder.layers.0.out_proj", 12) == "….0.out_proj"


def test_a_name_with_dollars_is_no_formula():
    figure = Figure()
    figure.suptitle(theme.escape_mathtext(r"w$\x$.weight"))
    FigureCanvasAgg(figure).draw()


def test_figure_7_has_one_colour_scale():
    figure = FIGURES["fig07"](study()[0]).figure()
    scatters = [axes.collections[0] for axes in figure.axes[:2]]
    assert scatters[0].get_clim() == scatters[1].get_clim() == (1e-3, 1e-2)
    assert sorted(scatters[0].get_offsets().tolist()) == [[1.8, 92.0], [1.9, 91.0], [2.0, 90.0]]


def test_a_panel_without_converged_runs_says_so():
    for figure in (
        FIGURES["fig01"](*study(status="budget")).figure(),
        FIGURES["fig07"](study(status="budget")[0]).figure(),
    ):
        assert figure.axes[0].texts[0].get_text() == "no run converged"
        assert "3 over budget" in figure.axes[0].get_title()


def test_runs_without_a_tail_index_are_counted():
    runs = study()[0]
    column = runs.schema.get_field_index("alpha")
    for without, said in ((1, "1 without a tail index"), (runs.num_rows, "no run has a tail index")):
        alphas = [None] * without + runs["alpha"].to_pylist()[without:]
        figure = FIGURES["fig07"](
            runs.set_column(column, runs.schema.field(column), pa.array(alphas, pa.float64()))
        ).figure()
        axes = figure.axes[0]
        assert said in axes.get_title() + " ".join(text.get_text() for text in axes.texts)


def test_a_head_without_an_estimate_leaves_no_other_layer_the_head_in_figure_3():
    tails = tables.read(ROOT / "studies/mnist-narrow/tables/tails.parquet")
    whole, lost = (np.array(tails[name]) for name in ("layer_name", "alpha_published"))
    lost = pa.array([None if name == "head" else value for name, value in zip(whole, lost, strict=True)], pa.float64())
    alpha = pa.array(
        [None if n == "head" else v for n, v in zip(whole, tails["alpha"].to_pylist(), strict=True)], pa.float64()
    )
    for name, values in (("alpha_published", lost), ("alpha", alpha)):
        tails = tails.set_column(tails.schema.get_field_index(name), tails.schema.field(name), values)
    runs, compression = (
        tables.read(ROOT / f"studies/mnist-narrow/tables/{n}.parquet") for n in ("runs", "compression")
    )
    figure = FIGURES["fig03"](runs, tails, compression).figure()
    labels = {line.get_label() for line in figure.axes[0].collections}
    assert "trained" in labels
    assert "trained, head" not in labels


@pytest.fixture
def histogram(tmp_path):
    runs, tails = study(("fcn4",))
    weights = {
        "fc1.weight": stable.sample(1.9, (50, 40), scale=0.1, rng=np.random.default_rng(0)),
        "head.weight": np.ones((10, 5)),
    }
    averages = {}
    for number in range(3):
        averages[f"fcn4{number}"] = str(tmp_path / f"{number}.safetensors")
        storage.save_arrays(averages[f"fcn4{number}"], weights, {})
    rows = list(histograms.histogram_rows(runs, tails, averages, bins=21, seed=0))
    return rows, weights["fc1.weight"]


def test_histograms_are_densities_of_the_largest_layer_of_the_median_run(histogram):
    rows, weight = histogram
    assert {(row["run"], row["layer_name"], row["alpha"]) for row in rows} == {("fcn41", "fc1", 1.9)}
    mass = {
        series: sum((row["high"] - row["low"]) * row["density"] for row in rows if row["series"] == series)
        for series in ("half_a", "half_b", "all", "stable")
    }
    assert mass["all"] == pytest.approx(1)
    assert mass["half_a"] == pytest.approx(1)
    assert 0.95 < mass["stable"] <= 1  # what lies beyond the layer's range is not drawn
    assert rows[0]["low"] == pytest.approx(-np.abs(weight - np.median(weight)).max())
    halves = [[row["density"] for row in rows if row["series"] == series] for series in ("half_a", "half_b", "all")]
    np.testing.assert_allclose((np.array(halves[0]) + halves[1]) / 2, halves[2])


def test_figure_2_takes_the_run_and_the_layer_that_are_asked_for(tmp_path):
    runs, tails = study(("fcn4",))
    assert [row["run"] for row in histograms.representatives(runs, ["fcn42"])] == ["fcn42"]
    assert [row["run"] for row in histograms.representatives(runs, ["another"])] == ["fcn41"]
    rng = np.random.default_rng(0)
    weights = {"fc1.weight": rng.standard_normal((5, 5)), "fc2.weight": rng.standard_normal((9, 9))}
    storage.save_arrays(tmp_path / "w.safetensors", weights, {})
    row = {"run": "fcn42", "weights": "average", "estimator": "mmo_multivariate", "alpha_published": 1.7}
    tails = pa.Table.from_pylist(
        [BASE_TAIL | row | {"layer": n, "layer_name": f"fc{n + 1}"} for n in (0, 1)], schema=tails.schema
    )
    for layer, expected in ((None, "fc2"), ("fc1", "fc1"), ("fc7", "fc2")):
        files, chosen = {"fcn42": str(tmp_path / "w.safetensors")}, ["fcn42"]
        found = next(histograms.histogram_rows(runs, tails, files, bins=5, seed=0, chosen=chosen, layer=layer))
        assert (found["layer_name"], found["alpha"]) == (expected, 1.7)


def test_figure_2_has_both_comparisons(histogram):
    table = pa.Table.from_pylist(histogram[0], schema=tables.SCHEMAS["histograms"])
    figure = FIGURES["fig02"](table).figure()
    assert len(figure.axes) == 2
    assert all(axes.get_yscale() == "log" and len(axes.patches) == 2 for axes in figure.axes)


def test_files_are_the_same_bytes_each_time(tmp_path):
    runs, tails = study()
    for folder in "ab":
        (tmp_path / folder).mkdir()
        registry.save(
            "fig01",
            {"runs": runs, "tails": tails},
            [str(tmp_path / folder / f"fig01.{kind}") for kind in ("pdf", "png")],
        )
    for kind in ("pdf", "png"):
        assert (tmp_path / "a" / f"fig01.{kind}").read_bytes() == (tmp_path / "b" / f"fig01.{kind}").read_bytes()
    assert len(list(tmp_path.rglob("*"))) == 10  # two folders, four figures and their digests


@pytest.mark.parametrize(
    ("weights", "column"),
    [("converged", "test_accuracy"), ("last", "last_test_accuracy"), ("average", "average_test_accuracy")],
)
def test_figure_7_shows_the_accuracy_of_the_weights_that_are_pruned(weights, column):
    runs, _ = study()
    none = dict.fromkeys(("test_accuracy", "last_test_accuracy", "average_test_accuracy"), None)
    rows = [row | none | {column: 0.5 + number / 100} for number, row in enumerate(runs.to_pylist())]
    figure = FIGURES["fig07"](pa.Table.from_pylist(rows, schema=runs.schema), weights=weights).figure()
    points = figure.axes[0].collections[0].get_offsets().data
    assert sorted(map(tuple, points.round(6))) == [(1.8, 52.0), (1.9, 51.0), (2.0, 50.0)]


def test_figure_3_has_a_point_per_layer_and_one_per_initial_layer():
    runs, tails = study()
    rows = [
        {"run": f"{model}{number}", "weights": weights, "layer": 0, "layer_name": "fc1", "structure": structure}
        | {"p": p, "epsilon": epsilon, "kappa": 0.7 + number / 100 + (weights == "initial") / 10}
        for model in ("fcn4", "cnn")
        for number in range(4)
        for weights in ("initial", "last")
        for structure, p, epsilon in (("entries", 2.0, 0.1), ("entries", 1.0, 0.1), ("columns", 2.0, 0.1))
    ]
    compression = pa.Table.from_pylist(rows, schema=tables.SCHEMAS["compression"])
    figure = FIGURES["fig03"](runs, tails, compression).figure()
    axes = figure.axes[0]
    start = next(line for line in axes.get_lines() if line.get_label() == "at initialisation")
    assert sorted(start.get_xydata().round(4).tolist()) == [[0.18, 1.99], [0.19, 1.99], [0.2, 1.99]]
    trained = {points.get_label(): points.get_offsets().round(4).tolist() for points in axes.collections}
    assert sorted(trained["trained, head"]) == [[0.28, 1.8], [0.29, 1.9], [0.3, 2.0]]
    assert axes.get_title() == "FCN4, digits\n$n$ = 3 layers of 3 runs;\n1 diverged"
    second = [row | {"layer": 1, "layer_name": "head"} for row in (*tails.to_pylist(), *rows)]
    both = pa.Table.from_pylist([*tails.to_pylist(), *second[: len(tails)]], schema=tails.schema)
    deeper = pa.Table.from_pylist([*rows, *second[len(tails) :]], schema=compression.schema)
    axes = FIGURES["fig03"](runs, both, deeper).figure().axes[0]
    numbers = {points.get_label(): set(points.get_array().tolist()) for points in axes.collections}
    assert numbers == {"trained": {1}, "trained, head": {2}}  # colours are layers


def test_axes_say_which_tail_index_they_show():
    runs, tails = study()
    assert FIGURES["fig01"](runs, tails).figure().get_supylabel() == r"mean tail index $\hat\alpha$, clipped at 2"
    plain = Index(value="alpha", layers="median", exempt=["head"])
    assert (
        FIGURES["fig01"](runs, tails, index=plain).figure().get_supylabel()
        == r"median tail index $\hat\alpha$, without head"
    )
    assert (
        FIGURES["fig07"](runs, index=plain).figure().get_supxlabel() == r"median tail index $\hat\alpha$, without head"
    )


PRUNED = dict.fromkeys(tables.SCHEMAS["pruning"].names, None)


def pruning_table(methods):
    rows = [
        PRUNED
        | {"run": f"{model}{number}", "status": "converged", "weights": weights, "method": method, "ratio": ratio}
        | {"pruned_ratio": ratio, "relative_test_accuracy": 1 - ratio * number / 4}
        for model, found in methods.items()
        for method in found
        for number in range(3)
        for weights in ("initial", "last")
        for ratio in (0.0, 0.5, 1.0)
    ] + [
        PRUNED | {"run": f"{model}3", "status": "diverged", "weights": "last", "method": method, "ratio": 0.0}
        for model, found in methods.items()
        for method in found
    ]
    return pa.Table.from_pylist(rows, schema=tables.SCHEMAS["pruning"])


@pytest.mark.parametrize(
    ("number", "method"),
    [(4, "layer_magnitude"), (5, "singular_value"), (6, "kernel"), (9, "global_magnitude"), (10, "node")],
)
def test_accuracy_curves_show_their_method_and_no_initial_or_diverged_network(number, method):
    runs, _ = study()
    table = pruning_table({"fcn4": [method, "other"], "cnn": ["other"]})
    figure = FIGURES[f"fig{number:02d}"](runs, table).figure()
    assert [axes.get_title() for axes in figure.axes] == ["FCN4, digits\n$n$ = 3; 1 diverged", ""]  # and the colour bar
    lines = sorted(line.get_ydata().tolist() for line in figure.axes[0].get_lines())
    assert lines == [[1, 0.75, 0.5], [1, 0.875, 0.75], [1, 1, 1]]
    # The heaviest tail is drawn last, and darkest.
    brightness = [sum(line.get_color()[:3]) for line in figure.axes[0].get_lines()]
    assert brightness == sorted(brightness, reverse=True)


def lines_in(axes):
    return sorted(line.get_xydata().tolist() for line in axes.get_lines())


def test_accuracy_curves_begin_at_a_half_and_an_inset_has_the_rest():
    runs, _ = study(("fcn4",))
    rows = pruning_table({"fcn4": ["node"]}).to_pylist()
    high = [row | {"relative_test_accuracy": 1 - 0.9 * (row["ratio"] == 1)} for row in rows]
    apart = [row | {"relative_test_accuracy": 1.0 if row["run"] == "fcn40" else 0.3} for row in rows]  # no free corner
    for rows, begins in ((high, 0.5), (apart, None)):
        table = pa.Table.from_pylist(rows, schema=tables.SCHEMAS["pruning"])
        axes = FIGURES["fig10"](runs, table).figure().axes[0]
        assert (axes.get_xlim()[0] == 0.5) == (begins is not None)
        assert len(axes.child_axes) == (begins is not None)
        assert axes.get_xlim()[0] <= 0 or axes.child_axes[0].get_xlim() == (0.0, 0.5)
        for inset in axes.child_axes:
            assert lines_in(inset) == lines_in(axes)


@pytest.mark.parametrize(
    ("name", "method"),
    [("fig04", "layer_magnitude"), ("fig10", "node"), ("rows", "row"), ("filters", "filter"), ("channels", "channel")],
)
def test_the_two_schemes_of_pruning_are_never_in_one_curve(name, method):
    runs, _ = study(("fcn4",))
    by_ratio = pruning_table({"fcn4": [method, "other"]}).to_pylist()
    by_error = [row | {"ratio": None, "epsilon": 0.1, "pruned_ratio": 0.3} for row in by_ratio if row["ratio"] == 0.5]
    table = pa.Table.from_pylist(by_ratio + by_error, schema=tables.SCHEMAS["pruning"])
    lines = {}
    for scheme in ("ratio", "error"):
        figure = FIGURES[name](runs, table, scheme=scheme).figure()
        lines[scheme] = sorted(line.get_xydata().tolist() for line in figure.axes[0].get_lines())
        assert ("at one relative" in figure.get_supxlabel()) == (scheme == "error")
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        box = next(text for text in figure.texts if "removed" in text.get_text()).get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width  # one panel is narrow
        assert {line.get_marker() for line in figure.axes[0].get_lines()} == {"o" if scheme == "error" else "None"}
    assert lines["ratio"][0] == [[0, 1], [0.5, 0.75], [1, 0.5]]
    assert lines["error"] == [[[0.3, 0.75]], [[0.3, 0.875]], [[0.3, 1]]]
    earlier = table.filter(pc.field("epsilon").is_null()).drop_columns(["epsilon"])
    axes = FIGURES[name](runs, earlier).figure().axes[0]
    assert sorted(line.get_xydata().tolist() for line in axes.get_lines()) == lines["ratio"]


def test_figure_8_has_a_panel_per_structure():
    rows = list(synthetic.synthetic_rows(draws=3, size=20, alpha=[1.75, 2.0], p=2.0, epsilon=0.1, seed=0))
    figure = FIGURES["fig08"](pa.Table.from_pylist(rows, schema=tables.SCHEMAS["synthetic"])).figure()
    assert [len(axes.get_lines()[0].get_xdata()) for axes in figure.axes] == [3, 3, 3]


def test_figures_11_and_12_draw_their_tables():
    theory = pa.Table.from_pylist(
        list(bounds.theory_rows(epsilon=[0.1, 0.2], points=9)), schema=tables.SCHEMAS["theory"]
    )
    labels = [line.get_label() for line in FIGURES["fig11"](theory).figure().axes[0].get_lines()]
    assert labels[::2] == [r"$\epsilon$ = 0.1", r"$\epsilon$ = 0.2", "bound"]
    rows = list(synthetic.magnitude_rows(alpha=1.7, draws=1000, bins=10, seed=0))
    axes = FIGURES["fig12"](pa.Table.from_pylist(rows, schema=tables.SCHEMAS["magnitudes"])).figure().axes[0]
    assert sum(axes.patches[0].get_data().values) == 1000
    assert "1,000 draws" in axes.get_title()


def test_figures_of_studies_without_what_they_show():
    runs, _ = study()
    figure = FIGURES["fig10"](runs, pruning_table({"fcn4": ["other"], "cnn": ["other"]})).figure()
    assert "no network has such a layer" in [text.get_text() for text in figure.axes[0].texts]
    empty = tables.SCHEMAS["profiles"].empty_table()
    assert FIGURES["profiles"](empty).figure().axes


@pytest.mark.parametrize("width", [theme.COLUMN, theme.PAGE])
def test_a_legend_is_within_its_figure(width):
    figure = Figure(figsize=(width, 2), layout="constrained")
    axes = figure.subplots()
    for number in range(5):
        axes.plot([0, 1], [0, number], label=f"a label of some length {number}")
    arrange.with_legend(figure)
    FigureCanvasAgg(figure).draw()
    box = figure.legends[0].get_window_extent()
    assert len(figure.legends) == 1
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert len(figure.legends[0].get_texts()) == 5


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4.8e-5, 1.1e-2, ["0.0001", "0.001", "0.01"]),
        (0.0047, 0.021, ["0.005", "0.01", "0.02"]),
        (0.0048, 0.016, ["0.005", "0.007", "0.01", "0.015"]),
        (0.0098, 0.0148, ["0.01", "0.012", "0.014"]),
    ],
)
def test_a_log_axis_has_three_ticks_however_short(low, high, expected):
    axes = Figure().subplots()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks.label_log(axes.xaxis)
    FigureCanvasAgg(axes.figure).draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def test_a_panel_whose_runs_lack_the_accuracy_says_so():
    """Tables of an older version may stand beside those of another study."""
    runs = tables.read(ROOT / "studies/mnist-narrow/tables/runs.parquet")
    rows = [row | {"last_test_accuracy": None} for row in runs.to_pylist()]
    axes, *_ = networks.accuracies(pa.Table.from_pylist(rows, schema=runs.schema)).figure().axes
    assert [text.get_text() for text in axes.texts] == ["no accuracy\nof weights 'last'"]
