"""Studies whose results are in the repository: they are those of the config beside them, and their verdicts follow from their tables."""

import pytest
import yaml

from sgdtails.claims import claims_file
from sgdtails.claims import decisions as claims
from sgdtails.claims.claim_evidence import Settings
from sgdtails.claims.claim_quantities import Study
from sgdtails.config import config_schema, run_table
from sgdtails.io import tables
from sgdtails.tail_index.network_index import Index
from tests.config.test_run_table import merged
from tests.conftest import ROOT, script

STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/config.yaml"))


@pytest.fixture(params=STUDIES, ids=lambda path: path.name)
def study(request, config):
    return request.param, merged(config, yaml.safe_load((request.param / "config.yaml").read_text()))


def test_there_is_one():
    assert STUDIES


def test_the_runs_are_those_of_the_config(study, schema):
    folder, config = study
    config_schema.validate(config, schema)
    listed = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )
    runs = {row["run"]: row for row in tables.read(folder / "tables/runs.parquet").to_pylist()}
    assert set(runs) == set(listed)
    for name, run in listed.items():
        assert {key: runs[name][key] for key in run} == run


def test_the_verdicts_follow_from_the_tables(study):
    """Recomputed to the last digit that another processor's sums leave alone."""
    folder, config = study
    values = {key: value for key, value in config["claims"].items() if key not in ("path", "simulations")}
    read = {name: tables.read(folder / f"tables/{name}.parquet") for name in script("claims").TABLES}
    pruned = set(read["pruning"]["weights"].to_pylist()) - {"initial"}
    found = Study(
        **read,
        index=Index(**config["index"]),
        weights="converged" if pruned == {"converged"} else config["pruning"]["weights"],
    )
    rows = list(claims.rows(claims_file.read(ROOT / config["claims"]["path"]), found, Settings(**values)))
    committed = tables.read(folder / "tables/claims.parquet").to_pylist()
    assert len(rows) == len(committed) > 20
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
