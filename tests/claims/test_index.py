"""One number everywhere: the tail index that claims test is the one that figure 1 draws."""

import math
from dataclasses import replace

import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from sgdtails.claims import decisions, markdown, quantities, standard_errors
from sgdtails.claims.study import Study
from sgdtails.io import tables
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index
from tests.claims.test_claims import CLAIMS, SETTINGS, said, study, table
from tests.conftest import ROOT, script

INDICES = [
    Index(),
    Index(value="alpha"),
    Index(value="alpha", clip=True, layers="median"),
    Index(estimator="mmo_univariate", exempt=["first", "head"]),
]


@pytest.mark.parametrize("index", INDICES, ids=lambda index: f"{index.estimator} {index.label}")
def test_rho_of_the_points_of_figure_1_is_the_claims_effect(index):
    for folder in sorted((ROOT / "studies").glob("*/tables")):
        found = Study(
            **{name: tables.read(folder / f"{name}.parquet") for name in script("claims").TABLES}, index=index
        )
        drawn = network_index.of_runs(found.tails, index)
        for row in decisions.claim_rows({"heavier_tails": CLAIMS["heavier_tails"]}, found, SETTINGS):
            runs = [run for run in found.panels[row["panel"]] if run["status"] == "converged"]
            indices = [drawn[run["run"]] for run in runs]
            if len(set(indices)) == 1:  # all clipped: wide layers, whose entries are light
                assert (row["effect"], row["verdict"]) == (None, "undecided")
                continue
            rho = spearmanr([run["eta_over_b"] for run in runs], indices).statistic
            assert row["effect"] == pytest.approx(rho, abs=1e-12)
            assert markdown.effect(row) == markdown.effect(row | {"effect": rho})
            assert row["quantities"] == f"eta/b; {index.label} ({index.estimator})"


def test_a_quantity_names_parts_of_the_index():
    found, run = study(1), {"run": "r0"}
    rows = [
        row | {"alpha": math.inf if row["layer"] == 0 else 2.5, "alpha_published": 2.0}
        for row in found.tails.to_pylist()
    ]
    above = replace(found, tails=table("tails", rows))
    assert quantities.alpha(above, run) == 2
    assert quantities.alpha(above, run, value="alpha") == math.inf
    assert quantities.alpha(above, run, value="alpha", layers="median") == 2.5
    assert quantities.alpha(above, run, value="alpha", layers="harmonic_mean") == pytest.approx(2.5 * 4 / 3)
    assert quantities.alpha(above, run, estimator="hill") is None
    quantity = {"of": "alpha", "estimator": "hill", "value": "alpha", "layers": "harmonic_mean", "weights": "initial"}
    assert quantities.words(above, quantity) == "harmonic mean alpha (hill, initial weights)"


def test_a_claim_says_in_its_text_which_index_it_is_about():
    text = markdown.text_of(decisions.claim_rows(CLAIMS, study(1, error=0.01), SETTINGS), level=0.05)
    assert "`heavier_tails`; figure 1, section 5. Of eta/b; mean alpha, clipped at 2 (mmo_multivariate)." in text
    assert "`initial_is_gaussian`; not in the paper. Of mean alpha (mmo_multivariate)." in text
    assert "Of half_a; half_b." in text


def test_a_value_above_2_is_not_hidden_by_clipping_where_a_claim_says_so():
    found = study(1, error=0.01)
    rows = [row | {"alpha": row["alpha"] + 0.3} for row in found.tails.to_pylist() if row["weights"] == "initial"]
    rows = [row | {"alpha_low": row["alpha"] - 0.02, "alpha_high": row["alpha"] + 0.02} for row in rows]
    row = said(replace(found, tails=table("tails", rows)), chosen=["initial_is_gaussian"])["initial_is_gaussian"]
    assert (row["verdict"], round(row["effect"], 1)) == ("contradicted", 0.3)


ENDS = [(1.9, 1.7, 2.1), (1.8, 1.7, 1.9), (2.5, 1.8, math.inf)]  # alpha and its interval by layer


@pytest.mark.parametrize(
    ("index", "error"),
    [
        # Each layer counts with a third of its interval, clipped where the index is.
        (Index(value="alpha"), None),
        (Index(value="alpha", exempt=["head"]), math.hypot(0.4, 0.2) / 2),
        (Index(), math.hypot(0.3, 0.2, 0.2) / 3),
        # The median, 1.9, moves from 1.8 to 2 with the first layer, from 1.9 to 1.9 with the second, from 1.8 to 1.9 with the last.
        (Index(layers="median"), math.hypot(0.2, 0.0, 0.1)),
    ],
)
def test_standard_errors_are_those_of_the_index(index, error):
    names = ("layer", "alpha", "alpha_low", "alpha_high")
    rows = [dict(zip(names, (layer, *ends), strict=True)) for layer, ends in enumerate(ENDS)]
    known = {"run": "r0", "weights": "average", "estimator": "mmo_multivariate"}
    rows = [known | row | {"layer_name": f"l{row['layer']}", "alpha_published": min(row["alpha"], 2)} for row in rows]
    found = replace(study(1), tails=table("tails", rows), index=index)
    measured = standard_errors.standard_error(found, {"run": "r0"})
    assert measured == (error and pytest.approx(error / (2 * 1.96)))


def test_layers_without_an_estimate_are_left_out_of_the_mean():
    rows = [row for row in study(1).tails.to_pylist() if row["run"] == "r0" and row["weights"] == "average"]
    for row, alpha in zip((row for row in rows if row["k1"] is None), (1.5, None, 2.0, None) * 2, strict=False):
        row["alpha"] = row["alpha_published"] = alpha
    found = replace(study(1), tails=table("tails", rows))
    assert standard_errors.standard_error(found, {"run": "r0"}) is None  # there are no intervals
    assert quantities.alpha(found, {"run": "r1"}) is None


def test_rows_pruned_to_one_relative_error_are_not_points_of_the_curves():
    found = study(1)
    rows = found.pruning.to_pylist()
    adaptive = [row | {"epsilon": 0.1, "pruned_ratio": 0.55, "relative_test_accuracy": 0.0} for row in rows[:11]]
    mixed = [row | {"epsilon": None} for row in rows] + adaptive
    both = replace(found, pruning=pa.Table.from_pylist(mixed))
    for method, runs in found.curves.items():
        for run, curve in runs.items():
            for one, other in zip(curve, both.curves[method][run], strict=True):
                assert one.tolist() == other.tolist()
