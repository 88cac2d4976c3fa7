import os
import signal
import time

import pytest

from sgdtails.config.study import read_config
from sgdtails.report import status
from tests.workflow.conftest import TINY

pytestmark = pytest.mark.slow("studies that are interrupted")

SLOW = TINY | {
    "runs_per_job": 1,
    "runs": [{"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": [0.1, 0.2], "seed": 0}],
    "stop": TINY["stop"] | {"train_nll": 1e-12, "budget": 1_000_000},  # hours: it is interrupted
}


def wait_for(condition, driver=None):
    """What the condition is once it is true, as long as the driver lives."""
    while not (found := condition()):
        assert driver is None or driver.poll() is None
        time.sleep(0.5)
    return found


def test_an_interrupted_study_is_seen_running_and_then_waiting(fresh):
    driver = fresh.start(
        SLOW, "--", "results/tiny/runs/fcn4-digits-b50-lr0.1-s0/training.parquet", start_new_session=True
    )
    try:
        config = wait_for(lambda: (fresh.folder / "study.yaml").exists(), driver) and read_config(
            fresh.folder / "study.yaml"
        )
        look = lambda: status.overview(config, fresh.folder / "results")  # noqa: E731
        [job] = wait_for(lambda: [job for job in look().jobs if job.beat], driver)
        assert (job.run, job.stage, job.held) == ("fcn4-digits-b50-lr0.1-s0", "train", True)
        assert job.beat.iteration > 0
        assert job.beat.rate > 0
        text = "\n".join(status.lines(look()))
        assert "running        1   1 training, 0 averaging" in text
        assert "waiting        1 " in text
    finally:
        os.killpg(driver.pid, signal.SIGINT)  # as Ctrl-C does
        driver.communicate()
    wait_for(lambda: not look().jobs)
    found = look()
    assert found.ended == {"train": {}, "average": {}}
    assert found.paused[job.run] >= job.beat.iteration
    assert "2   1 of them with a checkpoint" in "\n".join(status.lines(found))
