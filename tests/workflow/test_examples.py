"""Every example does what its first lines say, by the very command that they give."""

import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from examples import estimators, pruning
from sgdtails.stable import sampling as stable
from tests.conftest import ROOT
from tests.workflow.conftest import Workflow

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.yaml"))
# Smaller than in the tutorial, whose answer needs more runs.
LESS = {"momentum": {"runs": [{"dataset": "digits", "model": "narrow", "batch_size": 10, "seed": 0}]}}
PLAIN, HEAVY = {"step_size": [0.2, 0.25]}, {"step_size": [0.02, 0.025], "momentum": 0.9}


def command(name):
    """The arguments of the command that the example's first lines give, and the file that it makes."""
    text = (ROOT / f"examples/{name}.yaml").read_text()
    arguments = shlex.split(re.search(r"^#   snakemake (.*)$", text, re.M)[1])
    return arguments, arguments[-1]


def run(folder, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


slow = pytest.mark.slow("six studies, each by the command of its file")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """All examples, in one copy of the repository."""
    folder = Workflow(tmp_path_factory.mktemp("examples")).folder
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    run(folder, "examples.bars", "data/bars.npz")
    (block,) = LESS["momentum"]["runs"]
    (folder / "less.yaml").write_text(yaml.safe_dump({"runs": [block | PLAIN, block | HEAVY]}))
    for name in EXAMPLES:
        arguments, made = command(name)
        if name in LESS:
            arguments.insert(arguments.index("--"), "less.yaml")
        run(folder, "snakemake", *arguments)
        assert (folder / made).exists()
    return folder / "results"


def table(results, study, name):
    return pd.read_parquet(results / study / "tables" / f"{name}.parquet")


@slow
def test_own_images(results):
    runs = table(results, "own_dataset", "runs")
    assert (runs.dataset == "bars").all()
    assert (runs.status == "converged").all()
    assert runs.test_accuracy.min() > 0.9


@slow
def test_an_own_model(results):
    tails = table(results, "own_model", "tails")
    assert set(tails.layer_name) == {"0", "2.first", "2.second", "5"}


@slow
def test_an_own_estimator(results):
    tails = table(results, "own_estimator", "tails")
    own = tails[tails.estimator == "rank_regression"]
    assert len(own) == 3 * 3  # kinds of weights, layers
    assert (own.alpha_low < own.alpha).all()
    assert (own.alpha < own.alpha_high).all()
    assert set(tails.estimator) > {"hill", "mmo_multivariate", "rank_regression"}


@slow
def test_own_pruning_methods(results):
    rows = table(results, "own_pruning", "pruning").dropna(subset="ratio")
    trained = rows[rows.weights == "last"].set_index(["run", "method", "ratio"]).sort_index()
    for name in set(rows.run):
        random, magnitude = (trained.loc[name, method] for method in ("at_random", "layer_magnitude"))
        assert random.pruned_ratio[0.5] == magnitude.pruned_ratio[0.5]
        assert random.relative_error_l2[0.5] > 1.5 * magnitude.relative_error_l2[0.5]
        assert random.test_accuracy[0.0] == magnitude.test_accuracy[0.0]
        pattern = trained.loc[(name, "two_of_four", 0.5)]
        assert magnitude.relative_error_l2[0.5] < pattern.relative_error_l2 < random.relative_error_l2[0.5]


@slow
def test_the_tutorials_answer(results):
    runs = table(results, "momentum", "runs")
    assert runs.variant.tolist() == ["", "", "m0.9", "m0.9"]
    found = table(results, "momentum", "comparisons")
    assert found.columns[4:].tolist() == [
        "colour",
        "x_from",
        "x_to",
        "pairs",
        "difference",
        "low",
        "high",
        "p",
        "missing",
    ]
    assert found.fillna({"colour": "all"})[["colour", "x_from", "x_to", "pairs"]].values.tolist() == [
        ["0.2", "0", "0.9", 1],
        ["0.25", "0", "0.9", 1],
        ["all", "0", "0.9", 2],
    ]
    alpha = runs.set_index(["effective_step_size", "momentum"]).alpha.unstack()
    differences = alpha[0.9] - alpha[0.0]
    assert found.difference.tolist() == pytest.approx([*differences, differences.mean()])
    text = (results / "momentum/tables/comparisons.md").read_text(encoding="utf-8")
    assert "\n| effective step size | difference |\n" in text
    assert text.count("momentum 0.9 against 0: undecided, a single pair has no interval") == 2


def test_rank_regression_of_a_power_law():
    rng = np.random.default_rng(0)
    sample = (rng.pareto(1.5, 20_000) + 1) * rng.choice([-1, 1], 20_000)
    _, low, high = estimators.rank_regression(sample.astype(np.float32))
    assert low < 1.5 < high
    assert high - low < 0.4
    with pytest.raises(ValueError, match="too few"):
        estimators.rank_regression(np.ones(20, np.float32))


def test_two_of_four():
    weight = stable.sample(1.5, (6, 10), rng=np.random.default_rng(1)).astype(np.float32)
    kept = pruning.two_of_four(weight, 0)
    assert (kept[:, :8].reshape(6, 2, 4).sum(axis=2) == 2).all()
    assert kept[:, 8:].all()
    for group, mask in zip(np.abs(weight[:, :8]).reshape(-1, 4), kept[:, :8].reshape(-1, 4), strict=True):
        assert group[mask].min() > group[~mask].max()
