"""What `make demo` runs, whole: some minutes."""

import csv

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from sgdtails.figures import registry
from sgdtails.io import tables
from sgdtails.tail_index import classify
from tests.conftest import ROOT, outside
from tests.workflow.conftest import Workflow

pytestmark = pytest.mark.slow("33 networks, trained until they classify every image")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("demo"))
    result = workflow.run(yaml.safe_load((ROOT / "config/demo.yaml").read_text()))
    assert result.returncode == 0, result.stdout
    return workflow.folder / "results/demo"


def test_every_run_is_a_row_and_nine_of_ten_converge(demo):
    """Step sizes keep away from divergence, so this holds on every processor; the run with 0.6 is there to diverge."""
    runs = tables.read(demo / "tables/runs.parquet").to_pylist()
    with (ROOT / "config/runs/demo.csv").open() as file:
        assert len(runs) == len(list(csv.DictReader(file))) >= 32
    assert {row["model"] for row in runs} == {"fcn4", "fcn6", "cnn"}
    assert {row["seed"] for row in runs} == {0, 1}
    assert {row["status"] for row in runs if row["step_size"] == 0.6} == {"diverged"}
    assert sum(row["status"] == "converged" for row in runs) >= 0.9 * len(runs)
    for row in runs:
        if row["status"] == "converged":
            assert row["train_nll"] < 5e-5
            assert row["train_accuracy"] == 1


@pytest.mark.parametrize(("model", "below"), [("fcn4", -0.7), ("fcn6", -0.4), ("cnn", -0.4)])
def test_tails_get_heavier_with_eta_over_b(demo, model, below):
    """The last two panels have eta/b over a factor of 2.5, where seeds of one setting differ as much as the ends."""
    runs = tables.read(demo / "tables/runs.parquet").to_pylist()
    points = [
        (row["eta_over_b"], row["alpha"]) for row in runs if row["model"] == model and row["status"] == "converged"
    ]
    assert len(points) >= 7
    assert spearmanr(*zip(*points, strict=True)).statistic < below


def test_jobs_stay_below_two_gibibytes(demo):
    peaks = []
    for path in demo.glob("logs/*/*.tsv"):
        with path.open() as file:
            peaks += [float(row["max_rss"]) for row in csv.DictReader(file, delimiter="\t") if row["max_rss"] != "NA"]
    assert len(peaks) > 32
    assert np.max(peaks) < 2048


def test_all_figures_are_drawn_and_no_panel_is_empty(demo):
    assert {f"fig{number:02d}" for number in range(1, 13)} < set(registry.FIGURES)
    for name, plot in registry.FIGURES.items():
        # Methods that the demo does not run, and a table that none of its claims asks for.
        if name in ("rows", "filters", "channels", "errors"):
            continue
        for kind in ("pdf", "png"):
            assert (demo / f"figures/{name}.{kind}").stat().st_size > 5000
        read = [tables.read(demo / f"tables/{table}.parquet") for table in registry.tables_of(name)]
        figure = plot(*read).figure()
        for axes in figure.axes:
            drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]  # not a reference line
            filled = axes.collections or axes.patches or axes.images or not axes.axison  # a legend's place is off
            assert drawn or filled, (name, axes.get_title())
    for number in (1, 2):
        assert "digits" in (demo / f"tables/table{number}.md").read_text()


def test_the_layers_that_have_heavier_tails_keep_fewer_entries(demo):
    runs, tails, compression = (
        tables.read(demo / f"tables/{name}.parquet") for name in ("runs", "tails", "compression")
    )
    alpha = {(row["run"], row["layer"]): row["alpha"] for row in tables.published(tails).to_pylist()}
    shown = {row["run"] for row in tables.converged(runs)}
    points = [
        (alpha[row["run"], row["layer"]], row["kappa"])
        for row in compression.to_pylist()
        if row["run"] in shown
        and (row["weights"], row["structure"], row["p"], row["epsilon"]) == ("last", "entries", 2.0, 0.1)
    ]
    assert spearmanr(*zip(*points, strict=True)).statistic > 0.5


def test_claims_are_judged_and_readable(demo):
    rows = tables.read(demo / "tables/claims.parquet").to_pylist()
    assert {row["verdict"] for row in rows} <= {"supported", "contradicted", "undecided"}
    panels = {row["panel"]: row["verdict"] for row in rows if row["claim"] == "heavier_tails"}
    assert panels["FCN4, DIGITS"] == "supported"
    for row in rows:
        assert row["reason"]
        assert row["effect"] is None or np.isfinite(row["effect"])
    text = (demo / "tables/claims.md").read_text()
    assert all(row["statement"] in text for row in rows)


def test_every_layer_of_a_finished_run_is_read(demo):
    shown = {row["run"] for row in tables.converged(tables.read(demo / "tables/runs.parquet"))}
    rows = [row for row in tables.read(demo / "tables/readings.parquet").to_pylist() if row["weights"] == "average"]
    assert {row["run"] for row in rows} == shown
    assert {row["reading"] for row in rows} <= set(classify.LABELS)


def test_every_estimate_lies_in_its_interval(demo):
    files = sorted((demo / "tables").glob("*.parquet"))
    assert len(files) > 20
    for file in files:
        assert outside(tables.read(file))[:1] == [], file.name


def test_what_is_pruned_is_the_last_iterate(demo):
    """Figures 3 to 7, 9 and 10 are drawn from these."""
    for table, kinds in {"pruning": {"last"}, "compression": {"initial", "last"}}.items():
        assert set(tables.read(demo / f"tables/{table}.parquet")["weights"].to_pylist()) == kinds
    runs = {row["run"]: row for row in tables.read(demo / "tables/runs.parquet").to_pylist()}
    for row in tables.read(demo / "tables/pruning.parquet").to_pylist():
        if row["weights"] == "last" and row["method"] == "layer_magnitude" and row["ratio"] == 0 and not row["reason"]:
            assert row["test_accuracy"] == pytest.approx(runs[row["run"]]["last_test_accuracy"], abs=1e-6)
