"""Widths compared through the real Snakemake: tables that only claims ask for, and the figure of config key compare."""

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import TINY

pytestmark = pytest.mark.slow("a study of twelve networks")

CLAIMS = {
    "width_independence": {"y": {"of": "dependence", "measure": "next_layer"}},
    "width_errors": {"y": {"of": "relative_error", "structure": "entries", "kappa": 0.1}},
}
COMMON = {"statement": "s", "where": "w", "kind": "trend", "x": "width", "supports": "negative"}
STUDY = TINY | {
    "runs": [
        {"dataset": "digits", "model": ["w12", "w24"], "batch_size": 50, "step_size": [0.2, 0.3], "seed": [0, 1, 2]}
    ],
    "models": {"w12": {"fcn": [12, 12]}, "w24": {"fcn": [24, 24]}},
    "pruning": {"initial": False, "evaluate": ["test"]},
    "claims": TINY["claims"] | {"path": [f"{name}.yaml" for name in CLAIMS]},
    "compare": [{"x": "width", "y": {"of": "dependence", "measure": "next_layer"}, "colour": "step_size"}],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from tests.workflow.conftest import Workflow

    workflow = Workflow(tmp_path_factory.mktemp("compare"))
    for name, claim in CLAIMS.items():
        (workflow.folder / f"{name}.yaml").write_text(yaml.safe_dump({name: COMMON | claim}))
    made = [f"results/tiny/{path}" for path in ("tables/claims.md", "figures/comparisons.png", "figures/errors.png")]
    result = workflow.run(STUDY, "--", *made)
    assert result.returncode == 0, result.stdout
    return workflow.folder / "results/tiny"


def test_claims_and_comparisons_are_of_every_width(results):
    claims = pd.read_parquet(results / "tables/claims.parquet").set_index("claim")
    for name in CLAIMS:
        assert claims.loc[name].panel.tolist() == [f"DIGITS, FCN, depth 2, b = 50, eta = {step}" for step in (0.2, 0.3)]
        assert (claims.loc[name].n == 6).all()
        assert claims.loc[name].effect.notna().all()
    assert set(claims.index) == set(CLAIMS)  # those of both files
    differences = pd.read_parquet(results / "tables/comparisons.parquet")
    assert differences.pairs.tolist() == [3, 3, 6]
    assert differences.low.notna().all()
    assert (results / "figures/comparisons.pdf").is_file()
    text = (results / "tables/comparisons.md").read_text(encoding="utf-8")
    assert text.count("width 24 against 12: ") == 3


def test_tables_have_every_network(results):
    dependence = pd.read_parquet(results / "tables/dependence.parquet")
    assert dependence.run.nunique() == 12
    assert set(dependence.weights) == {"initial", "average"}
    errors = pd.read_parquet(results / "tables/errors.parquet")
    assert (errors.measured.between(0, 1) & errors.simulated.between(0, 1)).all()
    assert set(pd.read_parquet(results / "tables/runs.parquet").width) == {12, 24}
