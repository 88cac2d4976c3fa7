import numpy as np
import pyarrow as pa
import pytest

from sgdtails import histograms, plotting, stable, storage, tables

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
                | {"status": "diverged" if number == 3 else status, "test_accuracy": 0.9 + number / 100}
            )
            if number < 3:
                row = {"run": run, "weights": "average", "estimator": "mmo_multivariate", "layer_name": "fc1"}
                tails.append(BASE_TAIL | row | {"alpha_published": 2 - number / 10})
    return pa.Table.from_pylist(runs, schema=tables.SCHEMAS["runs"]), pa.Table.from_pylist(
        tails, schema=tables.SCHEMAS["tails"]
    )


def drawn(axes):
    return sorted(
        tuple(np.round(point, 4)) for line in axes.get_lines() for point in zip(*line.get_data(), strict=True)
    )


def test_figure_1_shows_every_converged_run_and_counts_the_rest():
    figure = plotting.figure_1(*study())
    assert [axes.get_title() for axes in figure.axes] == [
        "FCN4, DIGITS\n$n$ = 3; 1 diverged",
        "CNN, DIGITS\n$n$ = 3; 1 diverged",
    ]
    assert drawn(figure.axes[0]) == [(0.001, 2.0), (0.003, 1.9), (0.01, 1.8)]
    assert figure.axes[0].get_xscale() == "log"


def test_figure_7_has_one_colour_scale():
    figure = plotting.figure_7(*study())
    scatters = [axes.collections[0] for axes in figure.axes[:2]]
    assert scatters[0].get_clim() == scatters[1].get_clim() == (1e-3, 1e-2)
    assert sorted(scatters[0].get_offsets().tolist()) == [[1.8, 92.0], [1.9, 91.0], [2.0, 90.0]]


def test_a_panel_without_converged_runs_says_so():
    for figure in (plotting.figure_1(*study(status="budget")), plotting.figure_7(*study(status="budget"))):
        assert figure.axes[0].texts[0].get_text() == "no run converged"
        assert "3 over budget" in figure.axes[0].get_title()


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
    rows = list(histograms.rows(runs, tails, averages, bins=21, seed=0))
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


def test_figure_2_has_both_comparisons(histogram):
    table = pa.Table.from_pylist(histogram[0], schema=tables.SCHEMAS["histograms"])
    figure = plotting.figure_2(table)
    assert len(figure.axes) == 2
    assert all(axes.get_yscale() == "log" and len(axes.patches) == 4 for axes in figure.axes)


def test_files_are_the_same_bytes_each_time(tmp_path):
    runs, tails = study()
    for folder in "ab":
        (tmp_path / folder).mkdir()
        plotting.render(
            "fig01",
            {"runs": runs, "tails": tails},
            [str(tmp_path / folder / f"fig01.{kind}") for kind in ("pdf", "png")],
        )
    for kind in ("pdf", "png"):
        assert (tmp_path / "a" / f"fig01.{kind}").read_bytes() == (tmp_path / "b" / f"fig01.{kind}").read_bytes()
    assert len(list(tmp_path.rglob("*"))) == 6
