"""The user's own code, and the library's, while a study runs."""

import pytest

from sgdtails import layers
from sgdtails.digests import code_digest
from tests.workflow.conftest import TINY

pytestmark = pytest.mark.slow("studies whose code is edited while they run")

MODEL = """
from pathlib import Path

from torch import nn

LIBRARY = Path(__file__).parent / "sgdtails/tail_index/mmo.py"


def build(input_shape, classes):
    LIBRARY.write_text(LIBRARY.read_text().replace("CLIP = 2.0", "CLIP = 1.5"))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))


def broken(input_shape, classes):
    raise KeyError("width")
"""
ROW = {"dataset": "digits", "batch_size": 50, "step_size": 0.1, "seed": 0}
STUDY = TINY | {
    "runs": [ROW | {"model": name} for name in ("own", "bad")],
    "models": {"own": {"factory": "my_net.build"}, "bad": {"factory": "my_net.broken", "arguments": {}}},
    "stop": TINY["stop"] | {"budget": 200},
    "resources": {"threads": 64},
}
PLANNED = "0123456789abcdef workflow/scripts/dataset.py;"
RUNS = "results/tiny/runs/{}-digits-b50-lr0.1-s0"


@pytest.fixture
def workflow(fresh, tmp_path_factory, monkeypatch):
    """A workflow beside another clone, which a user's PYTHONPATH names."""
    (fresh.folder / "my_net.py").write_text(MODEL)
    other = tmp_path_factory.mktemp("other")
    (other / "sgdtails").mkdir()
    for name in ("sgdtails/__init__.py", "my_net.py"):
        (other / name).write_text("raise RuntimeError('the other clone')")
    monkeypatch.setenv("PYTHONPATH", str(other))
    monkeypatch.setenv(code_digest.GIVEN, PLANNED)  # by another driver: of no use to this one
    return fresh


def test_code_that_changes_while_a_study_runs(workflow):
    """The network is built, which edits what estimation imports; another cannot be built."""
    tails, bad = f"{RUNS.format('own')}/tails.parquet", f"{RUNS.format('bad')}/converged.safetensors"
    result = workflow.run(STUDY, "--", tails, bad)
    assert result.returncode != 0
    assert "error of the program" not in result.stdout
    assert "sgdtails: config key models.bad: my_net.broken raised KeyError: 'width' (my_net.py:15)" in result.stdout
    log = workflow.folder / "results/tiny/logs/initial/bad-digits-s0.log"
    assert 'raise KeyError("width")' in log.read_text()
    assert "the code of workflow/scripts/tails.py in" in result.stdout
    assert not (workflow.folder / tails).exists()
    assert list(layers.read(workflow.folder / RUNS.format("own") / "converged.safetensors")[0]) == ["1", "3"]
    # Of more threads than there are cores one hears once.
    assert result.stdout.count("config key resources.threads is 64, but there are") == 1


def test_a_job_that_reads_the_snakefile_anew_has_the_drivers_digest(workflow):
    """As jobs of a cluster do."""
    how = ("--mode", "subprocess", "--attempt", "1", "--force", "--nolock", "--no-hooks", "--allowed-rules", "dataset")
    result = workflow.run(STUDY, *how, "--target-jobs", "dataset:dataset=digits")
    assert result.returncode != 0
    assert "the code of workflow/scripts/dataset.py in" in result.stdout
    assert not (workflow.folder / "results/tiny/data/digits.safetensors").exists()
