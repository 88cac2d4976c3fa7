"""What a person types and reads: new studies, figures by name, plans, progress, and mistakes on the command line."""

import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from sgdtails.io import tables
from sgdtails.report import new_study
from tests.workflow.conftest import TINY, Workflow, environment

FIGURE = "results/tiny/figures/fig01.png"


def test_a_new_study_can_be_planned(planned, tmp_path):
    config = yaml.safe_load(new_study.create("mine", tmp_path).read_text())
    found = planned.planned(config)
    assert found["train, several"] == 2  # batch sizes
    assert found.pop("figure") > 10
    assert sum(found.values()) < 50


@pytest.mark.parametrize("target", [FIGURE, "fig01", "all"])
def test_a_target_straight_after_the_config_is_explained(planned, target):
    result = planned.run(TINY, target, "--dry-run")
    assert result.returncode == 1
    said = f"{target} follows --configfile, which takes it for a config; write -- before targets: --configfile study.yaml -- {target}"
    assert f"sgdtails: {said}\n" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_config_that_is_not_there_and_two_that_are(planned):
    result = planned.run(TINY, "nosuch.yaml", "--dry-run")
    assert (
        "sgdtails: there is no file nosuch.yaml; give the path of a study's config after --configfile.\n"
        in result.stdout
    )
    assert "Traceback" not in result.stdout
    (planned.folder / "over.yaml").write_text("study: over\n")
    result = planned.run(TINY, "over.yaml", "--dry-run", "--quiet=host", "--", "fig01")
    assert result.returncode == 0, result.stdout
    assert "results/over/figures/fig01.png" in result.stdout


def test_a_mistake_in_a_config_is_one_sentence_with_its_file(planned):
    result = planned.run(TINY | {"runs": [TINY["runs"][0] | {"model": "fcn44"}]}, "--dry-run")
    assert result.returncode == 1
    assert (
        "sgdtails: study.yaml: unknown model 'fcn44' in config key runs, block 1: did you mean 'fcn4'?\n"
        in result.stdout
    )
    assert "Error" not in result.stdout
    (planned.folder / "broken.yaml").write_text("study: broken\nruns: [digits\nmodels: 3\n")
    result = planned.run(TINY, "broken.yaml", "--dry-run")
    assert re.search(r"^sgdtails: broken.yaml cannot be read as YAML: .* line 3, column 7$", result.stdout, re.M)
    assert "Traceback" not in result.stdout


def test_a_config_after_an_equals_sign_is_looked_at_too(planned):
    (planned.folder / "broken.yaml").write_text("runs: [digits\nmodels: 3\n")
    for name, said in {
        "nosuch.yaml": "there is no file nosuch.yaml;",
        "broken.yaml": "broken.yaml cannot be read as YAML:",
    }.items():
        result = planned.run(TINY, f"--configfile={name}", "--dry-run")
        assert f"sgdtails: {said}" in result.stdout
        assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            None,
            "cannot read {file} (No such file or directory); start in the repository's folder, or set SGDTAILS_SITE to",
        ),
        ("account: [", "{file} cannot be read as YAML: "),
        ("account: physics", "{file} needs the key partitions, such as partitions: {{}};"),
    ],
)
def test_what_a_cluster_s_file_may_not_be(planned, monkeypatch, content, said):
    file = planned.folder / "site.yaml"
    file.unlink(missing_ok=True)
    if content:
        file.write_text(content)
    monkeypatch.setenv("SGDTAILS_SITE", str(file))
    result = planned.run(TINY, "--profile", "profiles/slurm", "--dry-run")
    assert result.returncode == 1
    assert f"sgdtails: {said.format(file=file)}" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_config_that_is_a_pipe_is_refused_before_it_is_read(planned):
    """It could be read once only, and Snakemake would find it empty; one that nobody writes into is never opened."""
    os.mkfifo(planned.folder / "pipe")
    result = planned.run(TINY, "--configfile", "pipe", "--dry-run")
    assert result.returncode == 1
    assert result.stdout.endswith(
        "sgdtails: pipe is a folder or a pipe; give the path of a file, a study's config, after --configfile.\n"
    )


@pytest.mark.slow("a study that is interrupted")
def test_ctrl_c_is_no_failure(tmp_path):
    # Else a process in the background ignores it, and so would this one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    driver = Workflow(tmp_path).start(TINY, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    with driver.stdout as printed:
        for line in printed:
            if "jobs done" in line:
                break
        os.killpg(driver.pid, signal.SIGINT)
        rest = printed.read()
    assert driver.wait() == 1
    # Jobs end at the same time, and may write between.
    assert re.search(r"Interrupted: \d+ of \d+ jobs done\. The same command goes on from there\.", rest)
    assert "The job" not in rest
    assert "WorkflowError" not in rest


def test_a_figure_is_a_target(planned):
    by_name = planned.planned(TINY, "--", "fig01")
    assert by_name.pop("fig01") == 1
    assert by_name == planned.planned(TINY, "--", FIGURE)
    assert planned.planned(TINY, "--", "figure_confusion") == {"confusion": 1, "figure": 1, "figure_confusion": 1}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("fig06", "the study tiny has no figure fig06: no network of it is pruned by kernel."),
        ("results/tiny/figures/fig06.pdf", "the study tiny has no figure fig06: no network of it is pruned by kernel."),
        ("figure_comparisons", "the study tiny has no figure comparisons: its config key compare is empty."),
        ("figure_errors", "the study tiny has no figure errors: none of its claims or comparisons reads table errors."),
        ("fig1", "unknown target 'fig1' in the workflow: did you mean 'fig12'?"),
    ],
)
def test_a_target_that_the_study_does_not_have(planned, target, said):
    result = planned.run(TINY, "--dry-run", "--", target)
    assert result.returncode == 1
    assert f"sgdtails: {said}" in result.stdout
    assert "Error" not in result.stdout


def test_a_dry_run_fits_a_screen(planned):
    result = planned.run(TINY, "--dry-run")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 20, result.stdout
    assert max(map(len, lines)) < 130
    total = int(re.search(r"^total +(\d+)$", result.stdout, re.M)[1])
    assert total == sum(planned.planned(TINY).values())
    assert re.search(r"^training +1 +3$", result.stdout, re.M)
    assert "MB of weights" in result.stdout or "kB of weights" in result.stdout
    assert "How long 6 trainings and averages take is not known" in result.stdout


def test_a_run_prints_progress_and_its_log_file_has_the_rest(planned):
    result = planned.run(TINY, "--", "results/tiny/data/digits.safetensors")
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert "1 of 1 jobs done" in lines  # and no word of networks, since none was to be trained
    assert len(lines) < 12, result.stdout
    log = max((planned.folder / ".snakemake/log").iterdir())
    assert "rule dataset:" in log.read_text()
    assert "rule dataset:" not in result.stdout


def test_a_job_that_fails_says_so_once(planned):
    config = TINY | {"tails": {"own": {"mine": "math.hypot"}}}
    result = planned.run(config, "--", "results/tiny/initial/fcn4-digits-s0/tails.parquet")
    assert result.returncode == 1
    assert result.stdout.count("config key tails.own.mine: math.hypot raised TypeError") == 1
    log = "results/tiny/logs/initial_tails/fcn4-digits-s0.log"
    assert f"The job initial_tails failed. Its log: {log}\n" in result.stdout
    assert "CalledProcessError" not in result.stdout


@pytest.mark.slow("a study of its own in another folder")
def test_own_code_beside_the_config_and_a_start_from_there(planned, tmp_path):
    """Another folder than the Snakefile's: Snakemake plans with the function, and again after an edit of it."""
    config = TINY | {"tails": {"own": {"mine": "beside_it.constant"}}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    module = tmp_path / "beside_it.py"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(planned.folder / "Snakefile"),
        "--cores",
        "1",
        "--configfile",
        "study.yaml",
    ]

    def start(*arguments):
        return subprocess.run([*command, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True)

    for text, said in {
        "def constant(sample) return 2.0\n": "config key tails.own.mine: importing beside_it raised SyntaxError",
        "def other(sample): return 2.0\n": "config key tails.own.mine: cannot import 'beside_it.constant'",
    }.items():
        module.write_text(text)
        result = start("--dry-run")
        assert result.returncode == 1
        assert said in result.stdout + result.stderr
    module.write_text("def constant(sample): return 2.0\n")
    target = "results/tiny/initial/fcn4-digits-s0/tails.parquet"
    result = start("--", target)
    assert result.returncode == 0, result.stderr
    assert 2.0 in [row["alpha"] for row in tables.read(tmp_path / target).to_pylist() if row["estimator"] == "mine"]
    assert "Nothing to be done" in (same := start("--dry-run", "--", target)).stdout + same.stderr
    module.write_text("def constant(sample): return 1.5\n")
    after = start("--dry-run", "--", target)
    assert re.search(r"^tail indices +1 ", after.stdout + after.stderr, re.M), after.stdout + after.stderr
