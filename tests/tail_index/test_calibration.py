import numpy as np
import pyarrow as pa
import pytest

from sgdtails.errors import InputError
from sgdtails.figures import trust
from sgdtails.schemas import study_schemas as schemas
from sgdtails.tail_index import calibration, nulls
from sgdtails.tail_index.classify import LABELS


@pytest.fixture(scope="module")
def table():
    rows = calibration.calibration_rows(structure="independent", shape=[192, 9], alpha=[1.5, 2.0], layers=25, seed=0)
    return pa.Table.from_pylist(list(rows), schema=schemas.SCHEMAS["calibration"])


@pytest.fixture(scope="module")
def confusion():
    rows = list(calibration.confusion_rows(shapes=[[128, 64]], layers=3, seed=0))
    return pa.Table.from_pylist(rows, schema=schemas.SCHEMAS["confusion"])


def test_whole_sample_estimators_are_right_where_tail_estimators_are_not(table):
    rows = {(row["estimator"], row["alpha"]): row for row in table.to_pylist() if row["k1"] is None}
    for alpha in (1.5, 2.0):
        for name in ("mmo_multivariate", "mmo_univariate", "characteristic_function", "quantiles"):
            row = rows[name, alpha]
            assert abs(row["bias"]) < 4 * row["spread"] / 5 + 0.01  # four standard errors; centring moves by 0.007
            assert row["coverage"] > 0.7
    # A Gaussian law has no power-law tail: Hill's estimate of 1/alpha tends to 0, not to 1/2.
    assert rows["hill", 2.0]["bias"] < -0.3
    assert rows["hill", 2.0]["coverage"] == 0


def test_every_layer_is_read_once(confusion):
    rows = confusion.to_pylist()
    assert len(rows) == len(calibration.LAWS) * len(LABELS)
    for law in calibration.LAWS:
        assert sum(row["count"] for row in rows if row["law"] == law) == 3


def test_figures_show_every_estimator_and_law(table, confusion):
    figure = trust.calibration(table).figure()
    assert [len(axes.get_lines()) for axes in figure.axes] == [11, 10, 10]  # and a line at no bias
    figure = trust.confusion(confusion).figure()
    assert len(figure.axes[0].get_yticklabels()) == len(calibration.LAWS)


def test_bands_hold_what_has_no_heavy_tail_and_leave_out_what_has():
    from sgdtails.stable import sampling as stable

    rng = np.random.default_rng(0)
    initial = rng.uniform(-1, 1, (256, 40)).astype(np.float32)
    for weight, heavy in ((rng.standard_normal((256, 40)), False), (stable.sample(1.5, (256, 40), rng=rng), True)):
        rows = list(nulls.bands(weight.astype(np.float32), initial, head=False, replicates=19, seed=[0]))
        series = {
            (row["series"], row["k1"]): row for row in rows if row["estimator"] == "mmo_univariate" and row["k1"] <= 20
        }
        lengths = {k1 for _, k1 in series}
        below = [series["observed", k1]["alpha"] < series["gaussian", k1]["alpha_low"] for k1 in lengths]
        assert all(below) if heavy else sum(below) <= 1
        # Shuffled entries are the same univariate sample.
        inside = [
            series["shuffled", k1]["alpha_low"] * 0.97
            < series["observed", k1]["alpha"]
            < series["shuffled", k1]["alpha_high"] * 1.03
            for k1 in lengths
        ]
        assert all(inside)


def test_profiles_draw_every_layer():
    rng = np.random.default_rng(0)
    common = {"run": "a", "dataset": "digits", "model": "fcn4", "reading": "undecided"}
    rows = [
        common | {"layer": layer, "layer_name": f"fc{layer}"} | row
        for layer in (0, 1)
        for row in nulls.bands(
            rng.standard_normal((64, 9)), rng.standard_normal((64, 9)), head=False, replicates=2, seed=[0]
        )
    ]
    figure = trust.profiles(pa.Table.from_pylist(rows, schema=schemas.SCHEMAS["profiles"])).figure()
    assert len(figure.axes) == 4
    assert all(len(axes.collections) == 3 and len(axes.get_lines()) == 1 for axes in figure.axes)
    assert figure.axes[0].get_title() == "fc0: undecided"


def test_layers_without_a_profile_keep_their_place():
    """The first has one of entries only, the second none at all; the third one below 1."""
    common = {"run": "a", "dataset": "digits", "model": "fcn4", "reading": "undecided", "series": "observed", "k1": 2}
    rows = [
        common | {"layer": 0, "layer_name": "fc0", "estimator": "mmo_univariate", "alpha": 1.5},
        *(
            common | {"layer": 2, "layer_name": "fc2", "estimator": f"mmo_{e}variate", "alpha": 0.5}
            for e in ("uni", "multi")
        ),
    ]
    figure = trust.profiles(pa.Table.from_pylist(rows, schema=schemas.SCHEMAS["profiles"])).figure()
    assert [axes.get_title() for axes in figure.axes] == ["fc0: undecided", "", "fc2: undecided", "", "", ""]
    said = ["".join(text.get_text() for text in axes.texts) for axes in figure.axes]
    assert said == ["no profile", "no profile", "", "", "no profile", ""]
    assert "FCN4" in figure.axes[0].get_ylabel()
    assert figure.axes[0].get_ylim() == (0.5, 3.0)


def test_shapes_without_an_estimate_are_named():
    with pytest.raises(InputError, match=r"calibration\.shapes: 127 x 10: 127 observations have no admissible"):
        list(calibration.calibration_rows(structure="independent", shape=[127, 10], alpha=[1.5], layers=2, seed=0))
