"""Studies in the repository: their configs are sound, and the verdicts of those with results follow from their tables."""

import re

import pandas as pd
import pytest
import yaml

from sgdtails.claims import comparisons, decisions, definitions
from sgdtails.claims.evidence import Settings
from sgdtails.claims.study import Study
from sgdtails.config import architectures, claimed_tables, config_schema, run_table
from sgdtails.io import tables
from sgdtails.tail_index.network_index import Index
from tests.config.test_run_table import merged
from tests.conftest import ROOT, script

STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/config.yaml"))
# Default claims that are younger than the committed tables, whose layers have no such rows.
YOUNGER = {"spectrum_heavier", "spectrum_prunable"}
FINISHED = [folder for folder in STUDIES if (folder / "tables").is_dir()]


def whole_config(folder, config):
    return merged(config, yaml.safe_load((folder / "config.yaml").read_text()))


def listed_runs(config):
    return run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )


def claims_of(config):
    return definitions.read(claimed_tables.paths(config["claims"]["path"], ROOT), config_schema.computed(config))


def test_there_are_some():
    assert FINISHED


@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_a_config_is_sound_and_has_a_page(folder, config, schema):
    """What the Snakefile checks, for studies that no test runs."""
    config = whole_config(folder, config)
    config_schema.validate(config, schema)
    assert config["study"] == folder.name
    runs = listed_runs(config)
    shapes = {model: architectures.width_and_depth(spec) for model, spec in config["models"].items()}
    sizes = {name: source.get("train_size") for name, source in config["datasets"]["sources"].items()}
    comparisons.check(config["compare"], config_schema.computed(config), comparisons.known_columns(runs, shapes, sizes))
    assert claims_of(config)
    assert (folder / "README.md").is_file()
    assert f"--configfile studies/{folder.name}/config.yaml" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize("folder", FINISHED, ids=lambda path: path.name)
def test_the_runs_are_those_of_the_config(folder, config):
    listed = listed_runs(whole_config(folder, config))
    runs = {row["run"]: row for row in tables.read(folder / "tables/runs.parquet").to_pylist()}
    assert set(runs) == set(listed)
    for name, run in listed.items():
        assert run.pop("noise_kind") == "independent"  # tables from before the column have no other
        assert {key: runs[name][key] for key in run} == run


@pytest.mark.parametrize("folder", FINISHED, ids=lambda path: path.name)
def test_the_verdicts_follow_from_the_tables(folder, config):
    """Recomputed to the last digit that another processor's sums leave alone. Claims without rows say so."""
    config = whole_config(folder, config)
    values = {key: value for key, value in config["claims"].items() if key not in ("path", "simulations")}
    asked = claimed_tables.of_files(claimed_tables.paths(config["claims"]["path"], ROOT))
    there = [name for name in asked if (folder / f"tables/{name}.parquet").exists()]  # older studies have no laws
    read = {name: tables.read(folder / f"tables/{name}.parquet") for name in (*script("claims").TABLES, *there)}
    pruned = set(read["pruning"]["weights"].to_pylist()) - {"initial"}
    found = Study(
        **read,
        index=Index(**config["index"]),
        weights="converged" if pruned == {"converged"} else config["pruning"]["weights"],
    )
    rows = list(decisions.claim_rows(claims_of(config), found, Settings(**values)))
    committed = tables.read(folder / "tables/claims.parquet").to_pylist()
    younger = [row for row in rows if row["claim"] in YOUNGER - {row["claim"] for row in committed}]
    for row in younger:
        assert (row["panel"], row["verdict"], row["effect"]) == ("all", "undecided", None)
        assert row["reason"] == "No panel has the quantities that this claim is about."
    rows = [row for row in rows if row not in younger]
    assert len(rows) == len(committed) > 20
    if "laws" not in there:
        reasons = {row["reason"] for row in rows if row["claim"].startswith("nearer_to_stable")}
        assert reasons == {"Not computed: the study has no table laws."}
    for row, kept in zip(rows, committed, strict=True):
        for key in ("claim", "panel", "verdict", "n", "seeds", "excluded_why"):
            assert row[key] == kept[key]
        assert row["effect"] == (None if kept["effect"] is None else pytest.approx(kept["effect"], rel=1e-9))


# The curve of figure 8 that ended before 2 contradicted "layer" in FCN6, where half of the layers lie beyond its last group.
DISTANCES = {
    "mnist-narrow": {"columns": "contradicted", "layer": "undecided"},
    "mnist-narrow-fcn6": {"columns": "contradicted", "layer": "undecided"},
    "mnist-narrow-cnn": {"columns": "undecided", "layer": "undecided"},
}


@pytest.mark.parametrize("name", DISTANCES)
def test_what_distances_say_of_independent_entries(name):
    rows = tables.read(ROOT / "studies" / name / "tables/claims.parquet").to_pylist()
    start = "independent_entries_"
    said = {row["claim"].removeprefix(start): row["verdict"] for row in rows if row["claim"].startswith(start)}
    assert said == DISTANCES[name]


_EFFECT = re.compile(r"([-\d.]+) \(([-\d.]+) to ([-\d.]+)\) \| (\w+)")


def said_of(folder):
    """Return the lines of tables on a study's page, with plain minus signs."""
    page = (folder / "README.md").read_text(encoding="utf-8").replace("\N{MINUS SIGN}", "-")
    return [line for line in page.splitlines() if line.startswith("| ")]


def shown(value, like):
    """Write a number with the digits of another text."""
    decimals = len(like.partition(".")[2])
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


@pytest.mark.parametrize("study", ["mnist-narrow", "mnist-narrow-fcn6", "mnist-narrow-cnn"])
def test_the_effects_on_a_page_are_those_of_its_claims(study):
    """The first effect, interval and verdict of a line are those of a claim; a second one may be by another index."""
    folder = ROOT / "studies" / study
    claims = [row for row in tables.read(folder / "tables/claims.parquet").to_pylist() if row["effect"] is not None]
    lines = [found for line in said_of(folder) if (found := _EFFECT.search(line))]
    assert len(lines) >= 10
    for found in lines:
        *numbers, verdict = found.groups()
        assert any(
            [shown(row[key], text) for key, text in zip(("effect", "effect_low", "effect_high"), numbers, strict=True)]
            == numbers
            and row["verdict"] == verdict
            for row in claims
        ), found[0]


SLOPES = {
    "mnist-width": {
        "Does α̂ change": "width_alpha",
        "rows at K1 = 2 ": "width_alpha_rows_2",
        "rows at K1 = 20 ": "width_alpha_rows_20",
        "entries at K1 = 2 ": "width_alpha_entries_2",
        "entries at K1 = 1,000 ": "width_alpha_entries_1000",
        "second layer be removed": "width_removable_1",
        "pruning, by layer": "width_accuracy_layer_magnitude",
        "global magnitude": "width_accuracy_global_magnitude",
        "of singular values": "width_accuracy_singular_value",
        "of nodes": "width_accuracy_node",
        "a tenth of the entries": "width_errors_entries",
        "of the eigenvalues": "width_errors_eigenvalues",
        "of the columns": "width_errors_columns",
        "within rows": "width_independence_within_rows",
        "of initial weights": "width_initial_independence_within_rows",
    },
    "control-full-batch": {
        "lighter tails": "batch_alpha",
        "within rows": "batch_independence_within_rows",
        "within columns": "batch_independence_within_columns",
        "between neighbouring layers": "batch_independence_next_layer",
    },
    "control-train-size": {"does not depend": "size_alpha", "accuracy rises": "size_accuracy"},
}


@pytest.mark.parametrize("study", SLOPES)
def test_the_slopes_on_a_page_are_those_of_its_claims(study):
    """With the verdicts at two or three step sizes; one verdict where they agree."""
    claims = pd.read_parquet(ROOT / "studies" / study / "tables/claims.parquet").sort_values("panel")
    lines = said_of(ROOT / "studies" / study)
    for text, claim in SLOPES[study].items():
        (line,) = (line for line in lines if text in line)
        slopes, said = (cell.strip() for cell in line.split("|")[2:4])
        rows = claims[claims.claim == claim]
        effects = zip(rows.effect, slopes.split(", "), strict=True)
        assert ", ".join(shown(effect, text) for effect, text in effects) == slopes
        verdicts = re.findall("supported|contradicted|undecided", said)
        assert verdicts in (list(rows.verdict), list(set(rows.verdict)))


PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


@pytest.mark.parametrize(
    ("study", "kind", "depth"),
    [("mnist-narrow", "fc", 4), ("mnist-narrow-fcn6", "fc", 6), ("mnist-narrow-cnn", "conv", 3)],
)
def test_the_laws_of_narrow_networks_are_those_of_their_page(study, kind, depth):
    """Labels that a sixth of the networks have, and powers of single weights."""
    laws = pd.read_parquet(ROOT / f"studies/{study}/tables/laws.parquet")
    drawn = laws[laws.weights == "initial"].groupby("layer_name").label.unique().str.join(" ")
    assert drawn.pop("head") == "uniform"
    assert set(drawn) == {"gaussian" if kind == "conv" else "uniform"}
    trained = laws[laws.weights == "average"]
    layers = trained.drop_duplicates(["run", "layer"])
    page = (ROOT / f"studies/{study}/README.md").read_text(encoding="utf-8").partition("## Which law?")[2]
    page = " ".join(page.split())
    powers = trained[trained.law == "generalised_normal"].groupby("layer_name")["shape"].median()
    places = {f"{kind}{number}": place for number, place in enumerate(PLACES[:depth], start=1)} | {"head": "head"}
    for layer, place in places.items():
        counts = layers[layers.layer_name == layer].label.value_counts()
        labels = [f"{number} {name}" for name, number in counts.items() if number >= counts.sum() / 6]
        said = ", ".join(re.sub("[a-z-]+-[a-z-]+", r"`\g<0>`", label) for label in labels)
        assert f"| {place} | {said} | {powers[layer]:.2f} |" in page
    counts = layers.label.value_counts()
    assert f"; {counts.pop('undecided')} are undecided" in page
    most = counts.idxmax()
    assert f"Of the {len(layers)} trained layers {counts.pop(most)} follow `{most}`" in page
    for label, number in counts.items():
        assert f"{number} `{label}`" in page


def test_which_law_is_likelier_in_narrow_networks():
    laws = pd.read_parquet(ROOT / "studies/mnist-narrow/tables/laws.parquet")
    trained = laws[laws.weights == "average"]
    trust = " ".join((ROOT / "docs/trust.md").read_text(encoding="utf-8").split())
    rows = trained.set_index(["run", "layer_name"])
    stable, t = (rows[rows.law == law].log_likelihood for law in ("stable", "student_t"))
    first, second, third, fourth, _ = (stable > t).groupby("layer_name").sum()
    assert (first, fourth) == (0, 58)
    assert f"in none of the 58 first layers, in {second} second, {third} third and all fourth ones" in trust
    stable, t = (rows[rows.law == law].log_likelihood for law in ("elliptical_stable", "multivariate_t"))
    *hidden, head = (t > stable).groupby("layer_name").sum()
    assert head == 58
    assert f"in {sum(hidden)} of {4 * 58} hidden layers and all heads" in trust


def test_what_index_follows_which_ratio():
    """Rho of the spectrum's exponent and of the tail index with step size over batch size, and with step size."""
    folder = ROOT / "studies/mnist-narrow"
    tails = pd.read_parquet(folder / "tables/tails.parquet")
    exponents = tails[(tails.estimator == "spectrum") & (tails.weights == "average")].groupby("run").alpha.mean()
    runs = pd.read_parquet(folder / "tables/runs.parquet").set_index("run").assign(exponent=exponents)
    rho = runs[runs.status == "converged"].corr("spearman", numeric_only=True).loc[["eta_over_b", "step_size"]]
    said = {name: [f"\N{MINUS SIGN}{-each:.2f}" for each in rho[name]] for name in ("exponent", "alpha")}
    page, trust = (path.read_text(encoding="utf-8") for path in (folder / "README.md", ROOT / "docs/trust.md"))
    assert " = {} with\n  η/b and {} with η:".format(*said["exponent"]) in page
    words = " = {}) more closely than η ({}), α̂ the other way round ({}, {})"
    assert words.format(*said["exponent"], *said["alpha"]) in trust


def test_the_laws_of_trained_layers_are_those_of_the_page():
    """docs/trust.md: 231 hidden layers and 77 heads of the three controls."""
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8").partition("### What a trained layer looks like")[2]
    paths = sorted(ROOT.glob("studies/control-*/tables/laws.parquet"))
    each = [pd.read_parquet(path).assign(study=path.parts[-3]) for path in paths]
    laws = pd.concat(each)
    layers = laws.drop_duplicates(["study", "run", "weights", "layer"])
    initial, trained = (layers[layers.weights == kind] for kind in ("initial", "average"))
    assert f"all {len(initial)} initial layers are labelled `uniform`" in page
    assert set(initial.label) == {"uniform"}
    for head, cell in ((False, "231 hidden ones"), (True, "77 heads")):
        counted = trained[(trained.layer_name == "head") == head].label.value_counts()
        line = next(line for line in page.splitlines() if line.startswith(f"| {cell} |"))
        assert counted.sum() == int(cell.split()[0])
        assert f"{counted.pop('undecided')} undecided" in line
        for label, number in counted.items():
            assert f"{number} `{label}`" in line
    rows = laws[(laws.weights == "average") & (laws.layer_name != "head")].set_index(["study", "run", "layer"])
    stable, t = (rows[rows.law == law].log_likelihood for law in ("elliptical_stable", "multivariate_t"))
    assert f"in {(t > stable).sum()} of {len(t)} hidden layers" in page.replace("\n  ", " ")
