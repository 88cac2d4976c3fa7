"""Checkpoints through the real Snakemake: a folder of them, bad ones, and nothing of the study."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sgdtails.io import tables
from sgdtails.stable import sampling as stable
from tests.workflow.conftest import TINY, edited

TINY_AUDIT = {"nulls": {"replicates": 2, "entries": 4096}, "ratios": [0, 0.5]}


def audited(workflow, *arguments, checkpoint, **settings):
    return workflow.run(
        TINY | {"checkpoint": str(checkpoint), "audit": TINY_AUDIT | settings}, *arguments, "--", "audit"
    )


@pytest.fixture(scope="module")
def checkpoints(planned):
    """A folder of two, in the working directory of a workflow that audits them; another file and a function are beside it."""
    folder = planned.folder / "weights"
    folder.mkdir()
    rng = np.random.default_rng(0)
    heavy = torch.from_numpy(stable.sample(1.5, (256, 128), rng=rng).astype(np.float32))
    save_file({"a.weight": heavy, "a.bias": torch.zeros(256)}, folder / "heavy.safetensors")
    torch.save(
        {"state_dict": {"b.weight": torch.randn(256, 128, generator=torch.Generator().manual_seed(0))}},
        folder / "light.pt",
    )
    (planned.folder / "page.pt").write_text("<!doctype html><title>404</title>")
    (planned.folder / "mine.py").write_text(
        "def energy(state):\n    return {'energy': sum(float((each**2).sum()) for each in state.values())}\n"
    )
    return folder


def test_a_folder_without_the_study(planned, checkpoints):
    """One audit per file, no job of the study, and only the figures again after an edit of theirs. A function measures each."""
    result = audited(planned, checkpoint=checkpoints, evaluate="mine.energy")
    assert result.returncode == 0, result.stdout
    results = planned.folder / "results"
    assert [path.name for path in results.iterdir()] == ["audit"]
    for name, word in (("weights--heavy", "stable-like"), ("weights--light.pt", "finite-variance-like")):
        (row,) = tables.read(results / f"audit/{name}/audit.parquet").to_pylist()
        assert (row["checkpoint"], row["reading"]) == (name, word)
        whole, pruned = tables.read(results / f"audit/{name}/accuracy.parquet").to_pylist()
        assert [(row["ratio"], row["measure"]) for row in (whole, pruned)] == [(0, "energy"), (0.5, "energy")]
        assert whole["value"] > pruned["value"] > 0.9 * whole["value"]
        for kind in ("md", "pdf", "png"):
            assert (results / f"audit/{name}/audit.{kind}").stat().st_size > 500
    assert (results / "audit/weights--light.pt/audit.md").read_text().startswith("# Audit of `light.pt`\n")
    settings = TINY | {"checkpoint": str(checkpoints), "audit": TINY_AUDIT | {"evaluate": "mine.energy"}}
    assert planned.planned(settings, "--", "audit") == {}
    text = (planned.folder / "sgdtails/figures/audit_figures.py").read_text()
    with edited(planned, "sgdtails/figures/audit_figures.py", text, f"{text}\nNEW = 1\n"):
        assert planned.planned(settings, "--", "audit") == {"audit_figure": 2, "audit": 1}


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ("weights/missing.pt", "config key checkpoint: there is no 'weights/missing.pt'"),
        ("rules", "config key checkpoint: rules holds no checkpoint"),
        ("page.pt", "page.pt is an HTML page"),
    ],
)
def test_refused_in_one_sentence(planned, checkpoints, checkpoint, said):
    result = audited(planned, checkpoint=checkpoint)
    assert result.returncode != 0
    assert said in result.stdout
    assert "Traceback" not in result.stdout
    assert not list((planned.folder / "results").glob("audit/page*/*.*"))  # nothing half-written
