"""The public functions, as somebody's own program calls them, and every example that is shown of them."""

import copy
import dataclasses
import doctest
import json
import math
import re
from collections import OrderedDict

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

import sgdtails
from sgdtails.errors import InputError
from sgdtails.figures import registry, theme
from sgdtails.labels import Labels
from sgdtails.pruning import methods as pruning
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index.network_index import Index
from tests import notebook
from tests.conftest import ROOT

STUDY = ROOT / "studies/mnist-narrow"
NOTEBOOK = ROOT / "examples/api.ipynb"
estimate = sgdtails.tail_index.estimate


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def heavy() -> np.ndarray:
    return stable.sample(1.5, (200, 50), rng=rng())


@pytest.fixture(scope="module")
def study() -> sgdtails.Study:
    return sgdtails.load(STUDY)


# Examples


def test_examples_of_the_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = re.sub(r"^```.*$", "", (ROOT / "docs/api.md").read_text(), flags=re.M)
    examples = doctest.DocTestParser().get_doctest(text, {}, "api.md", "docs/api.md", 0)
    result = doctest.DocTestRunner().run(examples)
    assert (result.failed, result.attempted > 15) == (0, True)


def test_the_notebook_holds_what_its_cells_give():
    """Pictures aside, which differ between versions of matplotlib: these have to be there."""
    stored = json.loads(NOTEBOOK.read_text())
    held = [cell["outputs"] for cell in stored["cells"] if cell["cell_type"] == "code"]
    for found in (held, now := notebook.run(stored, NOTEBOOK.parent)):
        pictures = [
            output["data"].pop("image/png")
            for cell in found
            for output in cell
            if "data" in output and "image/png" in output["data"]
        ]
        assert [len(picture) > 5000 for picture in pictures] == [True, True, True]
    for output in (output for cell in held for output in cell):
        output.pop("execution_count", None)
    assert held == now


# The tail index of an array


def test_a_layer_has_the_numbers_of_the_tables(heavy):
    """Those of table ``tails``, rows and entries, of a first layer at seed 0."""
    rows = list(layer_tails.of_layer(heavy, seed=[0], settings=layer_tails.Settings(robustness=False)))
    for found, name in ((estimate(heavy), "mmo_multivariate"), (estimate(heavy.ravel()), "mmo_univariate")):
        *single, whole = [row for row in rows if row["estimator"] == name]
        assert (found.alpha, found.low, found.high, found.published, found.observations, found.dimension) == tuple(
            whole[key] for key in ("alpha", "alpha_low", "alpha_high", "alpha_published", "observations", "dimension")
        )
        for name, key in (("k1", "k1"), ("alpha", "alpha"), ("low", "alpha_low"), ("high", "alpha_high")):
            assert getattr(found.profile, name).tolist() == [row[key] for row in single]


@pytest.mark.parametrize(("alpha", "label"), [(1.5, "stable-like"), (2.0, "finite-variance-like")])
def test_known_laws(alpha, label):
    found = estimate(stable.sample(alpha, (512, 128), rng=rng()))
    assert found.low < alpha < found.high
    assert found.high - found.low < 0.3
    assert found.label == label
    single = estimate(stable.sample(alpha, 20_000, rng=rng()))
    assert single.low < alpha < single.high
    assert single.label is None


def test_what_takes_the_place_of_an_array(heavy):
    single = heavy.astype(np.float32)
    expected = estimate(single)
    weight = torch.nn.Parameter(torch.from_numpy(single))
    for same in (
        torch.from_numpy(single),
        weight,
        single.tolist(),
        heavy,
        torch.from_numpy(heavy),
        np.asfortranarray(single),
    ):
        found = estimate(same)
        assert (found.alpha, found.low, found.high, found.label) == (
            *(expected.alpha, expected.low, expected.high),
            expected.label,
        )
    assert np.array_equal(single, heavy.astype(np.float32))  # though they share its memory
    half = weight.bfloat16()
    assert estimate(half).alpha == estimate(half.float()).alpha != expected.alpha


def test_what_observations_are(heavy):
    kernels = heavy[:, :45].reshape(40, 5, 45)
    for of in (kernels, heavy[:, :45].reshape(40, 5, 9, 5), kernels.reshape(10, 20, 3, 3, 5)):
        assert estimate(of).alpha == estimate(heavy[:, :45]).alpha
    head = estimate(heavy, head=True)
    assert (head.observations, head.dimension) == (50, 200)
    assert head.alpha == estimate(heavy.T).alpha


def test_arguments_change_what_they_say(heavy):
    before = heavy.copy()
    first = estimate(heavy + 1.0)
    assert abs(first.alpha - estimate(heavy).alpha) < 1e-3  # centred: float32 rounds the shift away
    # Sums of what observations share grow with K1.
    assert estimate(heavy + 5.0, centring="none").published < first.published - 0.2
    assert estimate(heavy, seed=1).alpha != estimate(heavy).alpha == estimate(heavy, seed=0).alpha
    assert estimate(heavy, orders=1).alpha != estimate(heavy).alpha
    assert np.array_equal(heavy, before)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.float64(3), "not of float64 of shape ()"),
        (np.ones((0, 4)), "not of float64 of shape (0, 4)"),
        (np.ones(9, complex), "complex128"),
        (torch.ones(9, dtype=torch.complex64), "complex64"),
        (["a", "b"], "real numbers"),
        (np.arange(7.0), "7 observations have no admissible block length"),
        (np.ones((4, 4)), "more than half of the observations are zero"),
        (np.full((8, 2), np.nan), "not all finite"),
    ],
)
def test_arrays_without_a_tail_index(weights, said):
    with pytest.raises(InputError, match=re.escape(said)):
        estimate(weights)


@pytest.mark.parametrize("wrong", [{"centring": "mode"}, {"orders": 0}, {"seed": -1}])
def test_arguments_out_of_range(heavy, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        estimate(heavy, **wrong)


def test_an_estimate_is_drawn_on_given_axes_in_the_users_style(heavy):
    found = estimate(heavy)
    with matplotlib.rc_context({"axes.prop_cycle": matplotlib.cycler(color=["#123456"]), "lines.linewidth": 7.0}):
        axes = Figure().subplots(1, 2)[1]
        assert found.plot(axes) is axes
    line = axes.lines[0]
    assert line.get_xydata().tolist() == np.column_stack([found.profile.k1, found.profile.alpha]).tolist()
    assert (line.get_color(), line.get_linewidth()) == ("#123456", 7.0)
    assert found.plot() is not axes
    matplotlib.pyplot.close("all")


def test_an_estimate_does_not_change(heavy):
    found = estimate(heavy)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.alpha = 2.0
    assert "profile" not in repr(found)


# Pruning a state dict


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    parts = (torch.nn.Linear(30, 20), torch.nn.BatchNorm1d(20), torch.nn.Linear(20, 20), torch.nn.Linear(20, 5))
    return torch.nn.Sequential(*parts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_torch_state_dict_comes_back_as_one(dtype):
    state = network().to(dtype).state_dict()
    before = copy.deepcopy(state)
    found = sgdtails.prune(state, ratio=0.9)
    assert type(found) is OrderedDict
    assert found._metadata == state._metadata
    assert list(found) == list(state)
    for key, value in found.items():
        assert torch.equal(state[key], before[key])  # not changed
        if key in ("0.weight", "2.weight"):
            assert (value.dtype, value.shape) == (dtype, state[key].shape)
            # All but a tenth hold the median, which is no entry's value; the others are the entries themselves.
            left = value.flatten() == state[key].flatten()
            assert int(left.sum()) == value.numel() // 10 or dtype is torch.bfloat16
            assert len(value[~left.reshape(value.shape)].unique()) == 1
        else:
            assert value is state[key]
    model = network().to(dtype)
    model.load_state_dict(found)
    assert torch.equal(model[0].weight, found["0.weight"])


@pytest.mark.parametrize("method", pruning.METHODS)
def test_every_method_is_that_of_the_workflow(method):
    shape = (6, 4, 3, 3) if method in ("kernel", "filter", "channel") else (16, 12)
    state = {"a.weight": rng().standard_normal(shape), "b": rng().standard_normal(shape), "c.weight": np.ones((3, 16))}
    found = sgdtails.prune(state, method, 0.5, p=1.0, exempt=["head"])
    weights = {"a": state["a.weight"], "b": state["b"], "c": state["c.weight"]}
    expected = pruning.Pruner(weights, method=method, p=1.0, exempt=["head"]).at_ratio(0.5).weights()
    for key, name in (("a.weight", "a"), ("b", "b")):
        assert np.array_equal(found[key], expected[name])
        assert not np.array_equal(found[key], state[key])
    assert found["c.weight"] is state["c.weight"]


def test_ratios_at_the_ends():
    state = network().state_dict()
    assert all(torch.equal(value, state[key]) for key, value in sgdtails.prune(state, ratio=0).items())
    assert len(sgdtails.prune(state, ratio=1)["0.weight"].unique()) == 1
    heads = sgdtails.prune(state, ratio=1, exempt=())["3.weight"]
    assert len(heads.unique()) == 1


@pytest.mark.parametrize(
    ("change", "wrong", "said"),
    [
        ({}, {"method": "layer_magnitud"}, "did you mean 'layer_magnitude'"),
        ({}, {"ratio": 1.5}, "pruning ratio 1.5"),
        ({}, {"exempt": ["first"]}, "unknown layer 'first'"),
        ({}, {"method": "kernel"}, "no layer that pruning method 'kernel' may prune"),
        ({}, {"method": "global_magnitude", "exempt": [0, 1, 2]}, "no layer that pruning method 'global_magnitude'"),
        ({}, {"method": "node", "p": 0}, "p = 0"),
        ({"0": torch.ones(2, 2)}, {}, "two layers of the state have one name"),
        ({"0.weight": torch.ones(20, 30)}, {}, "'0'"),
        ({"0.weight": torch.full((20, 30), math.nan)}, {}, "not all finite"),
    ],
)
def test_states_that_cannot_be_pruned(change, wrong, said):
    with pytest.raises(InputError, match=re.escape(said)):
        sgdtails.prune(network().state_dict() | change, **wrong)


def test_a_state_without_layers():
    with pytest.raises(InputError, match="no arrays of floating-point numbers"):
        sgdtails.prune({"a": torch.ones(3), "b": torch.ones((3, 3), dtype=torch.int8), "c": None})


# A study


def test_tables_are_frames_by_attribute(study):
    assert {"runs", "tails", "figure", "columns"} <= set(dir(study))
    assert study.runs is study.runs
    expected = pd.read_parquet(STUDY / "tables/runs.parquet")
    pd.testing.assert_frame_equal(study.runs, expected)
    assert study.tables == tuple(sorted(path.stem for path in (STUDY / "tables").glob("*.parquet")))
    assert sgdtails.load(STUDY / "tables").tables == study.tables
    with pytest.raises(AttributeError, match="has no table 'run'; its tables are: bounds"):
        _ = study.run
    assert copy.deepcopy(study).runs.equals(study.runs)


def test_columns_say_what_they_are(study):
    columns = study.columns("runs")
    assert list(columns.index) == list(study.runs)
    assert columns.loc["train_nll", "unit"] == "nat"
    assert columns.meaning.str.len().min() > 0


def test_every_figure_can_be_drawn_that_has_its_tables(study, tmp_path):
    without = {"comparisons", "errors"}  # whose tables it has not
    assert set(study.figures) == set(registry.FIGURES) - without
    for name in study.figures:
        assert study.figure(name).axes
    few = tmp_path / "few"
    few.mkdir()
    (few / "theory.parquet").write_bytes((STUDY / "tables/theory.parquet").read_bytes())
    assert sgdtails.load(few).figures == ("fig11",)


def test_figures_have_the_users_style_or_the_papers(study, tmp_path):
    found = {name: study.arrow(name) for name in registry.tables_of("fig01")}
    named = Labels({"fcn4": "FCN4, width 256"})  # as the width in table runs has it
    registry.save("fig01", found, [str(tmp_path / "workflow.png")], labels=named)
    paper = study.figure("fig01", style="paper")
    paper.savefig(tmp_path / "paper.png", dpi=theme.STYLE["savefig.dpi"])
    assert (tmp_path / "paper.png").read_bytes() == (tmp_path / "workflow.png").read_bytes()
    before = dict(matplotlib.rcParams)
    large = study.figure("fig01", style={"font.size": 16.0, "axes.facecolor": "#abcdef"})
    assert dict(matplotlib.rcParams) == before
    assert large.axes[0].get_facecolor() == matplotlib.colors.to_rgba("#abcdef")
    assert np.allclose(large.get_size_inches(), 2.4 * paper.get_size_inches())  # titles are 1.2 * 16 points, not 8
    assert study.figure("fig01").axes[0].get_facecolor() == matplotlib.colors.to_rgba(before["axes.facecolor"])


def marks(axes) -> tuple:
    """Return what is drawn on axes, without its looks."""
    lines = [line.get_xydata().tolist() for line in axes.get_lines()]
    return lines, [part.get_offsets().tolist() for part in axes.collections], len(axes.patches), axes.get_xscale()


def test_every_panel_on_given_axes_is_that_of_the_whole_figure(study):
    """Nothing else changes: other axes, pyplot's figures, rcParams."""
    for name in study.figures:
        whole, panels = study.figure(name), study.panels(name)
        figure = Figure()
        axes = figure.subplots(1, len(panels) + 1, squeeze=False)[0]
        before = dict(matplotlib.rcParams), marks(axes[-1]), pyplot.get_fignums()
        drawn = study.draw(name, axes[:-1], legend=False)
        assert (dict(matplotlib.rcParams), marks(axes[-1]), pyplot.get_fignums()) == before
        assert list(drawn) == list(panels)
        assert figure.axes == list(axes)  # no colour bar
        together = [str(marks(ax)) for ax in whole.axes]
        for panel, ax in drawn.items():
            assert str(marks(ax)) in together, (name, panel)
            assert ax.get_xlabel(), (name, panel)
            assert ax.get_legend() is None


def test_axes_by_name_or_one_alone(study):
    axes = Figure().subplot_mosaic([["columns", "layer"]])
    assert study.draw("fig08", axes) == axes
    assert "columns" in axes["columns"].get_title()
    assert "layer" in axes["layer"].get_title()
    first, second = Figure().subplots(1, 2)
    assert study.draw("fig01", second) is second
    assert not marks(first)[0]
    alone = study.draw("fig08", panel="layer")
    assert str(marks(alone)) == str(marks(axes["layer"]))
    pyplot.close(alone.figure)


def test_a_panel_has_the_style_that_is_set(study):
    with matplotlib.rc_context({"lines.markersize": 7.0, "axes.prop_cycle": matplotlib.cycler(color=["#010203"] * 6)}):
        (line, *_) = study.draw("fig08", Figure().subplots(), panel="layer").get_lines()
    assert line.get_markersize() == 4.0  # twice the paper's
    assert line.get_color() == "#010203"
    with matplotlib.style.context("dark_background"):
        reference = study.draw("fig08", Figure().subplots(), panel="layer").get_lines()[-1]
    assert reference.get_color() == "#aaaaaa"


def test_a_panel_has_its_legend_and_colour_bar(study):
    axes = Figure().subplots()
    study.draw("fig03", axes)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["at initialisation", "trained", "trained, head", "uniform", "Gaussian"]
    assert axes.figure.axes[1].get_ylabel() == "layer"


def test_figures_have_the_studys_settings(study):
    label = study.figure("fig01").get_supylabel()
    assert label == Index().axis
    other = Index(value="alpha", layers="median")
    assert study.figure("fig01", index=other).get_supylabel() == other.axis


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda study: study.figure("fig1"), "unknown figure 'fig1'"),
        (lambda study: study.figure("audit"), "unknown figure 'audit'"),
        (lambda study: study.figure("fig01", style="papers"), "style 'papers'"),
        (lambda study: study.figure("fig01", scheme="error"), "unknown setting 'scheme' in figure fig01"),
        (lambda study: study.draw("fig08"), "3 panels: 'independent', 'columns', 'layer'; name one"),
        (lambda study: study.draw("fig08", Figure().subplots()), "name one as panel, or give axes for each"),
        (lambda study: study.draw("fig08", Figure().subplots(1, 2)), "2 axes for 3 panels"),
        (lambda study: study.draw("fig08", panel="rows"), "no panel 'rows'"),
        (lambda study: study.draw("fig08", {"rows": Figure().subplots()}), "no panel 'rows'"),
        (lambda study: study.draw("fig08", Figure().subplots(1, 3), panel="layer"), "on one axes; give it alone"),
        (lambda study: study.arrow("run"), "did you mean 'runs'"),
        (lambda study: sgdtails.load(study.path / "nothing"), "is no folder"),
        (lambda study: sgdtails.load(ROOT / "docs"), "holds no tables"),
    ],
)
def test_names_that_are_not_there(study, wrong, said):
    with pytest.raises(InputError, match=said):
        wrong(study)


def test_a_damaged_table_is_refused(study, tmp_path):
    (tmp_path / "runs.parquet").write_bytes((STUDY / "tables/runs.parquet").read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        _ = sgdtails.load(tmp_path).runs
