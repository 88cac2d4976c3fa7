"""The study through a real SLURM gives the bytes of a local run, whatever happens to jobs, daemons and the driver."""

import os
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.cluster.conftest import FILES, STUDY, TABLES, targets
from tests.cluster.slurm import Slurm, wait
from tests.conftest import ROOT

pytestmark = pytest.mark.slow(
    "daemons of SLURM, which look after jobs every few seconds; the study through it and without it"
)
TIMED = ("runs", "training", "averaging", "latency")  # tables with columns of seconds


def compared(one: Path, other: Path) -> int:
    """How many tables and weights there are, all of them the same byte for byte; of tables with times, all other columns."""
    files = [path.relative_to(one) for path in sorted(one.rglob("*.*")) if path.suffix in (".parquet", ".safetensors")]
    for name in files:
        if name.stem in TIMED:
            first, second = pq.read_table(one / name), pq.read_table(other / name)
            timed = [column for column in first.column_names if column.endswith("seconds")]
            assert timed
            assert first.drop(timed).equals(second.drop(timed)), name
            assert first.schema.equals(second.schema, check_metadata=True), name
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
    return len(files)


def rule(comment: str) -> str:
    return comment.removeprefix("rule_").partition("_")[0]


def test_the_study_through_slurm_is_the_local_one(local, cluster):
    result = cluster.submit(STUDY, *targets())
    assert result.returncode == 0, result.stdout
    assert compared(local, cluster.folder / "results/cluster") == FILES
    # The dataset; four jobs for each of two initial networks; training and averaging of each run; three analyses of the runs of
    # each network; the tables.
    submitted = result.stdout.count("has been submitted with SLURM jobid")
    assert submitted <= 1 + 2 * 4 + 2 * 6 + 3 * 2 + len(TABLES)
    logs = cluster.folder / "results/slurm"
    assert len(list(logs.glob("rule_train/fcn4-digits-b10-lr0.1-s0/*.log"))) == 1


def started(slurm: Slurm, seen: list[str]) -> str:
    """A training job that has run for a moment and is not in ``seen``, to which it is added."""

    def found() -> list[str]:
        return [job for job, comment in slurm.jobs("running").items() if rule(comment) == "train" and job not in seen]

    while True:
        wait(found, "a training job")
        time.sleep(1)
        if jobs := found():
            seen.append(jobs[0])
            return jobs[0]


def disturb(slurm: Slurm) -> None:
    """Let one job hit its time limit, requeue one, cancel one, and kill slurmd and start it again."""
    seen: list[str] = []
    late = started(slurm, seen)
    slurm("scontrol", "update", f"JobId={late}", "TimeLimit=1")
    wait(lambda: slurm.processes(late), "its processes")
    for pid in slurm.processes(late):
        os.kill(pid, signal.SIGSTOP)
    requeued = started(slurm, seen)
    slurm("scontrol", "requeue", requeued)
    wait(lambda: slurm.field(requeued, "JobState") != "RUNNING", "the requeued job to stop")
    cancelled = started(slurm, seen)
    slurm("scancel", cancelled)
    slurm.kill_node()
    time.sleep(3)
    slurm.start_node()
    wait(lambda: slurm.field(late, "JobState") == "TIMEOUT", "the time limit")
    wait(lambda: slurm.field(cancelled, "JobState") == "CANCELLED", "the cancelled job to have ended")
    assert slurm.field(requeued, "Restarts") == "1"
    again = wait(lambda: later_jobs_like(slurm, cancelled), "the second attempt at the cancelled job")
    # twice the 12 hours and the 2,000 MB of the first
    assert [slurm.field(job, "TimeLimit") for job in again] == ["1-00:00:00"]
    assert "mem=4000M" in (slurm.field(again[0], "TRES") or "")


def later_jobs_like(slurm: Slurm, job: str) -> list[str]:
    """Jobs submitted after this one for the same purpose; earlier tests' are remembered too."""
    jobs = slurm.jobs()
    return [other for other, comment in jobs.items() if comment == jobs[job] and int(other) > int(job)]


def test_nothing_that_happens_on_a_cluster_changes_a_byte(local, cluster):
    slurm = cluster.slurm
    driver = cluster.drive(STUDY, *targets())
    try:
        disturb(slurm)
        wait(lambda: slurm.jobs("running"), "jobs that will outlive the driver")
    finally:
        driver.kill()
    assert slurm.jobs("running")
    assert cluster.run(STUDY, "--unlock").returncode == 0
    second = cluster.drive(STUDY, *targets())
    assert second.succeeded(), second.log.read_text()
    # Those of the first driver, one of them requeued, may still run, and write what is there already.
    wait(lambda: not slurm("squeue", "-h"), "the last jobs to end")
    assert compared(local, cluster.folder / "results/cluster") == FILES


def test_a_gpu_job_gets_the_gpu_and_the_partition_of_the_site(cluster):
    site = {
        "account": "physics",
        "gpu_model": "pretend",
        "extra": "--nice=7",
        "partitions": {"main": {}, "gpu": {"max_gpu": 4}},
    }
    pruned = "results/cluster/runs/fcn4-digits-b10-lr0.3-s0/pruned.parquet"
    result = cluster.submit(STUDY | {"device": "auto"}, pruned, site=site)
    assert result.returncode == 0, result.stdout
    jobs = {rule(comment): job for job, comment in cluster.slurm.jobs().items()}  # the latest of each rule
    requests = {
        name: [cluster.slurm.field(jobs[name], key) for key in ("Partition", "TresPerJob", "TRES", "TimeLimit")]
        for name in ("dataset", "train", "prune")
    }
    assert requests == {
        "dataset": ["main", "gres:gpu:pretend:0", "cpu=1,mem=4000M,node=1,billing=1", "01:00:00"],
        "train": ["gpu", "gres:gpu:pretend:1", "cpu=1,mem=2000M,node=1,billing=1", "12:00:00"],
        "prune": ["gpu", "gres:gpu:pretend:1", "cpu=1,mem=3000M,node=1,billing=1", "01:00:00"],
    }
    assert {cluster.slurm.field(jobs[name], "Nice") for name in requests} == {"7"}
    assert {cluster.slurm.field(jobs[name], "Account") for name in requests} == {"physics"}


def test_a_partition_that_does_not_exist_is_one_sentence_before_anything_is_submitted(cluster):
    site = {"account": None, "gpu_model": None, "extra": None, "partitions": {"gppu": {}}}
    result = cluster.submit(STUDY, *targets(), site=site)
    assert result.returncode != 0
    assert f"unknown partition 'gppu' in {cluster.folder}/site.yaml: did you mean 'gpu'?" in result.stdout
    assert "Traceback" not in result.stdout
    assert "submitted" not in result.stdout


def test_a_job_that_fails_is_tried_once_more_than_it_may_be_retried(cluster):
    """Snakemake counts retries, and so could its plug-in for SLURM: together they must not try more often."""
    (cluster.folder / "mine.py").write_text("def fails(state):\n    raise RuntimeError('it always fails')\n")
    save_file({"fc.weight": torch.ones(80, 70)}, cluster.folder / "my.safetensors")
    retries = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text().replace("?", ""))["retries"]
    before = set(cluster.slurm.jobs())
    nulls = {"replicates": 2, "entries": 1024}
    audit = {"checkpoint": "my.safetensors", "audit": {"evaluate": "mine.fails", "ratios": [0], "nulls": nulls}}
    result = cluster.submit(STUDY | audit, "audit")
    assert result.returncode != 0
    tried = {job: comment for job, comment in cluster.slurm.jobs().items() if job not in before}
    assert [rule(comment) for comment in tried.values()] == ["audit"] * (retries + 1), result.stdout
    assert retries == 2


@pytest.mark.skipif("SGDTAILS_TEST_DEMO" not in os.environ, reason="10 minutes; SGDTAILS_TEST_DEMO=1 asks for it")
def test_the_demo_through_slurm_is_the_local_one(tmp_path_factory, cluster):
    from tests.workflow.conftest import Workflow

    demo = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    local = Workflow(tmp_path_factory.mktemp("demo"))
    result = local.run(demo, "--", "tables")
    assert result.returncode == 0, result.stdout
    result = cluster.submit(demo, "tables")
    assert result.returncode == 0, result.stdout
    assert compared(local.folder / "results/demo", cluster.folder / "results/demo") > 400
    print(f"{result.stdout.count('has been submitted with SLURM jobid')} SLURM jobs")
