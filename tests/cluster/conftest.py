"""A SLURM for all tests of this folder, and a study cut to what they need."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.slurm import Slurm, missing
from tests.workflow.conftest import TINY, Workflow

STUDY = TINY | {
    "study": "cluster",
    "runs": [
        {"dataset": "digits", "model": "fcn4", "batch_size": 10, "step_size": [0.1, 0.2, 0.3, 1e6], "seed": 0},
        {"dataset": "digits", "model": "fcn6", "batch_size": 10, "step_size": [0.1, 0.2], "seed": 0},
    ],
    "models": {"fcn4": {"fcn": [64] * 4}, "fcn6": {"fcn": [64] * 6}},
    "stop": {"train_nll": 1e-2, "gate": 200, "budget": 40000, "chance_after": 1000},
    "runs_per_job": 1,  # so that there are jobs to disturb
}
# Tables of the training runs; those of simulations are jobs like others.
TABLES = ("runs", "history", "tails", "readings", "compression", "pruning")
FILES = (
    len(TABLES) + 1 + 6 * 11 + 2 * 5
)  # tables, the dataset, and of each run and initial network its weights and tables


class Cluster(Workflow):
    """A copy of the repository whose jobs go through SLURM."""

    def __init__(self, folder: Path, slurm: Slurm) -> None:
        super().__init__(folder)
        self.slurm = slurm

    def command(self, config: dict[str, Any], *targets: str) -> list[str]:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config))
        # Jobs here end within seconds: the profile's waits are for clusters whose jobs take minutes.
        quick = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]
        options = ["--profile", "profiles/slurm", "--configfile", "study.yaml", *quick]
        return [sys.executable, "-m", "snakemake", *options, "--", *targets]

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in self.slurm.environment.items() if not key.startswith(("COV_", "COVERAGE_"))
        }
        return kept | {"OMP_NUM_THREADS": "1"}

    def submit(
        self, config: dict[str, Any], *targets: str, site: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end through SLURM; ``site`` in place of site.yaml."""
        environment = self.environment
        if site:
            (self.folder / "site.yaml").write_text(yaml.safe_dump(site))
            environment["SGDTAILS_SITE"] = str(self.folder / "site.yaml")
        return subprocess.run(
            self.command(config, *targets),
            cwd=self.folder,
            env=environment,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def drive(self, config: dict[str, Any], *targets: str) -> "Driver":
        return Driver(self, self.command(config, *targets))


class Driver:
    """A Snakemake that is not waited for, with its output in a file."""

    def __init__(self, cluster: Cluster, command: list[str]) -> None:
        self.log = cluster.folder / "driver.log"
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=cluster.folder, env=cluster.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """SIGKILL, to it and to what it was executing itself."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def succeeded(self, seconds: float = 3600) -> bool:
        """Whether it ends well within this time; it is killed if it does not end."""
        try:
            return self._process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            self.kill()
            return False


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if reason := missing():
        pytest.skip(f"no SLURM: {reason}")
    slurm = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the study without SLURM, which those through SLURM are compared with."""
    workflow = Workflow(tmp_path_factory.mktemp("local"))
    result = workflow.run(STUDY, "--", *targets())
    assert result.returncode == 0, result.stdout
    return workflow.folder / "results/cluster"


def targets(study: str = "cluster") -> list[str]:
    return [f"results/{study}/tables/{name}.parquet" for name in TABLES]


@pytest.fixture
def cluster(tmp_path: Path, slurm: Slurm) -> Cluster:
    return Cluster(tmp_path, slurm)
