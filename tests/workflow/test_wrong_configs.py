"""Wrong configs and odd paths, through the real Snakemake: one sentence, or a plan in which nothing reaches a shell."""

import shutil

import pytest

from tests.fuzz import targets
from tests.workflow.conftest import TINY, Workflow

ROW = {"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": 0.1, "seed": 0}


def refused(workflow, arguments=(), **changes):
    """What is said; a traceback is nothing that is said."""
    result = workflow.run(TINY | changes, "--dry-run", *arguments)
    assert result.returncode != 0, result.stdout
    assert "Traceback" not in result.stdout
    return result.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": "../../up"}, "config key study"),
        ({"runs": [ROW | {"seed": "one"}]}, "must be a whole number"),
        ({"datasets": {"sources": {"digits": {"std": [64.0]}}}}, "std has 64.0; it is of pixels/255"),
        ({"stop": TINY["stop"] | {"train_nll": float("nan")}}, "finite number"),
        ({"claims": TINY["claims"] | {"path": "config/claim.yaml"}}, "config key claims.path: cannot read"),
        ({"index": {"estimator": "mmo_multivariat"}}, "config key index: did you mean 'mmo_multivariate'?"),
        ({"histograms": {"runs": ["nosuch"]}}, "unknown run 'nosuch' in config key histograms.runs"),
    ],
)
def test_refused_in_one_sentence(planned, changes, said):
    assert said in refused(planned, **changes)


@pytest.mark.parametrize(
    ("file", "more", "said"),
    [
        ("runs/fcn4-digits-b50-lr0.2-s0/tails.parquet", {}, "unknown run 'fcn4-digits-b50-lr0.2-s0' in the study tiny"),
        ("runs/nosuch/average.safetensors", {"runs_per_job": 4}, "unknown run 'nosuch' in the study tiny: use one of"),
        ("data/digit.safetensors", {}, "unknown dataset 'digit' in the study tiny: did you mean 'digits'?"),
    ],
)
def test_files_of_runs_and_datasets_that_the_study_does_not_have(planned, file, more, said):
    output = refused(planned, ("--quiet", "rules", "--", f"results/tiny/{file}"), **more)
    assert f"sgdtails: {said}" in output
    assert "Error" not in output


def test_claims_that_are_wrong_are_said_before_anything_is_planned(planned):
    text = (planned.folder / "config/claims.yaml").read_text()
    (planned.folder / "mine.yaml").write_text(text.replace("hill, pickands", "hil, pickands"))
    said = refused(planned, claims=TINY["claims"] | {"path": "mine.yaml"})
    assert "unknown estimator 'hil' in y of claim 'estimators_agree' of mine.yaml: did you mean 'hill'?" in said


def test_a_model_of_another_kind_than_the_default_of_its_name(planned):
    assert planned.planned(TINY | {"models": {"fcn4": {"cnn": [4, "M"]}}})["train, several"] == 1


@pytest.mark.skipif(not shutil.which("sh"), reason="no shell that could be reached")
def test_paths_with_everything_a_shell_knows(tmp_path):
    """The workflow's own folder and a dataset's: the dataset is made, and nothing is executed."""
    odd = 'it\'s "a" $(touch was_here) `touch was_here` ; & *'
    (tmp_path / odd / "work").mkdir(parents=True)
    workflow = Workflow(tmp_path / odd / "work")
    (tmp_path / odd / f"{odd}.npz").write_bytes(targets.seeds("npz")[0])
    sources = {"mine": {"kind": "npz", "path": f"{odd}.npz", "test_fraction": 0.5}}
    config = TINY | {"datasets": {"root": str(tmp_path / odd), "sources": sources}, "runs": [ROW | {"dataset": "mine"}]}
    result = workflow.run(config, "--", "results/tiny/data/mine.safetensors")
    assert result.returncode == 0, result.stdout
    assert (workflow.folder / "results/tiny/data/mine.safetensors").is_file()
    assert not list(tmp_path.rglob("was_here"))
