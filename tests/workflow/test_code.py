"""The user's own code, and the library's, while a study runs: one study of a network that edits the library while it is built."""

import shutil

import pytest

from sgdtails import layers
from tests.workflow.conftest import TINY

MODEL = """
from pathlib import Path

from torch import nn

LIBRARY = Path(__file__).parent / "sgdtails/tail_index.py"


def build(input_shape, classes, edit=False):
    if edit:
        LIBRARY.write_text(LIBRARY.read_text().replace("CLIP = 2.0", "CLIP = 1.5"))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))


def broken(input_shape, classes):
    raise KeyError("width")
"""
ROW = {"dataset": "digits", "model": "own", "batch_size": 50, "step_size": 0.1, "seed": 0}
STOP = TINY["stop"] | {"budget": 200}
RUN = "results/tiny/runs/own-digits-b50-lr0.1-s0"


def study(function, **arguments):
    own = {"factory": f"my_net.{function}", "arguments": arguments}
    return TINY | {"runs": [ROW], "models": {"own": own}, "stop": STOP, "resources": {"threads": 64}}


@pytest.fixture
def workflow(fresh, tmp_path_factory, monkeypatch):
    """A workflow beside another clone, which a user's PYTHONPATH names."""
    (fresh.folder / "my_net.py").write_text(MODEL)
    other = tmp_path_factory.mktemp("other")
    (other / "sgdtails").mkdir()
    for name in ("sgdtails/__init__.py", "my_net.py"):
        (other / name).write_text("raise RuntimeError('the other clone')")
    monkeypatch.setenv("PYTHONPATH", str(other))
    return fresh


def test_code_that_changes_while_a_study_runs(workflow):
    tails, final = f"{RUN}/tails.parquet", f"{RUN}/final.safetensors"
    result = workflow.run(study("broken"), "--", final)
    assert result.returncode != 0
    assert "sgdtails: config key models.own: my_net.broken raised KeyError: 'width' (my_net.py:16)" in result.stdout
    assert "error of the program" not in result.stdout
    assert 'raise KeyError("width")' in next((workflow.folder / "results/tiny/logs/train").iterdir()).read_text()

    result = workflow.run(study("build", edit=True), "--", tails)
    assert result.returncode != 0
    assert "the code of workflow/scripts/tails.py in" in result.stdout
    assert not (workflow.folder / tails).exists()
    assert list(layers.read(workflow.folder / final)[0]) == ["1", "3"]
    # Of more threads than there are cores one hears once.
    assert result.stdout.count("config key resources.threads is 64, but there are") == 1

    # Put back, or started again with the edited code: both are what they say.
    assert workflow.planned(study("build", edit=True), "--", tails) == {"tails": 1}
    shutil.copy("sgdtails/tail_index.py", workflow.folder / "sgdtails")
    result = workflow.run(study("build", edit=True), "--", tails)
    assert result.returncode == 0, result.stdout
