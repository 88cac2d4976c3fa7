"""Colours, and the figures of a study as they are printed: sizes of text, and nothing over anything else."""

import itertools

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

import sgdtails
from sgdtails.figures import theme
from sgdtails.figures.elements import colours
from tests.conftest import ROOT

STUDIES = ("mnist-narrow", "mnist-narrow-cnn", "mnist-narrow-fcn6")


def luminance(colour) -> float:
    """As WCAG 2 defines it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_colours_can_be_told_from_white_and_fall_in_brightness():
    shades = [luminance(colour) for colour in theme.colour_map()(np.linspace(0, 1, 50))]
    assert all(dark < light for dark, light in itertools.pairwise(shades))
    assert 1.05 / (shades[-1] + 0.05) > 1.8  # contrast; that of viridis's yellow end is 1.3
    assert max(luminance(colour) for colour in theme.palette(12)) <= shades[-1]


def test_panels_share_a_colour_scale_unless_it_hides_the_order_in_one():
    wide, narrow = np.linspace(1.5, 2, 20), np.linspace(1.90, 1.92, 20)
    shared = colours.scales({"a": wide, "b": wide[5:]}, "alpha")
    assert colours.common(shared) is shared["a"] is shared["b"]
    own = colours.scales({"a": wide, "b": narrow}, "alpha")
    assert colours.common(own) is None
    assert own["b"].mappable.get_clim() == (narrow[0], narrow[-1])
    assert colours.common(colours.scales({"a": wide, "b": []}, "alpha")) is not None
    assert colours.scales({}, "alpha") == {}


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_single_outlier_does_not_stretch_a_scale(logarithmic):
    values = [*np.linspace(1.90, 1.95, 20), 1.0]
    scale = colours.scales({"a": values}, "alpha", logarithmic=logarithmic)["a"]
    assert scale.mappable.get_clim() == (1.90, 1.95)
    assert scale.extend == "min"
    alike = colours.scales({"a": [1.9] * 9}, "alpha", logarithmic=logarithmic)["a"]
    low, high = alike.mappable.get_clim()
    assert low < 1.9 < high


def texts(figure):
    """Every text that is drawn: matplotlib keeps the labels of ticks beyond the limits, and does not draw them."""
    beyond = set()
    for axis in figure.findobj(matplotlib.axis.Axis):
        scale = axis.get_transform()
        low, high = sorted(scale.transform(axis.get_view_interval()))
        room = 1e-9 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - room <= scale.transform([tick.get_loc()])[0] <= high + room:
                beyond |= {tick.label1, tick.label2}
    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_visible() and text.get_text().strip() and text not in beyond]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The tables of three studies as if they were one, so that figures have panels beside each other."""
    folder = tmp_path_factory.mktemp("several")
    for name in ("runs", "tails", "compression", "pruning", "histograms", "profiles", "perturbation"):
        files = [ROOT / f"studies/{study}/tables/{name}.parquet" for study in STUDIES]
        parts = [pa.parquet.read_table(file) for file in files if file.exists()]
        pa.parquet.write_table(pa.concat_tables(parts, promote_options="default"), folder / f"{name}.parquet")
    return sgdtails.load(folder)


@pytest.mark.parametrize("name", ["fig01", "fig02", "fig03", "fig05", "fig07", "fig10", "profiles", "perturbation"])
def test_figures_of_several_networks_as_printed(several, name):
    check_print(several, name)


@pytest.mark.parametrize("name", ["fig08", "fig11", "fig12", "calibration", "confusion", "kesten", "theorems"])
def test_figures_of_simulations_as_printed(name):
    check_print(sgdtails.load(ROOT / "studies/mnist-narrow"), name)


def check_print(study, name):
    """At most a page wide, text of 7 or 8 points, no text over other text or outside the figure."""
    with matplotlib.rc_context(theme.STYLE):
        figure = study.figure(name)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
    assert figure.get_size_inches()[0] <= theme.PAGE
    boxes = [(text, text.get_window_extent(renderer)) for text in texts(figure)]
    boxes = [(text, box) for text, box in boxes if box.width]
    assert {text.get_fontsize() for text, _ in boxes} <= {7.0, 8.0}
    pairs = itertools.combinations(boxes, 2)
    assert [(a.get_text(), b.get_text()) for (a, one), (b, two) in pairs if one.overlaps(two)] == []
    assert [text.get_text() for text, box in boxes if box.x0 < -1 or box.x1 > figure.bbox.width + 1] == []
