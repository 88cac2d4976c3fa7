"""A tiny study, run once through the real workflow in a copy of the repository."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdtails.config import batches
from tests.conftest import ROOT, RUNNING

TINY: dict[str, Any] = {
    "study": "tiny",
    "runs": [{"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": [0.1, 0.3, 1e6], "seed": 0}],
    "models": {"fcn4": {"fcn": [16, 16]}},
    "stop": {"train_nll": 0.05, "gate": 100, "budget": 4000, "chance_after": 500, "history": 5},
    "average": {"burn_in": 20, "length": 30},
    "profiles": {"replicates": 2},
    "pruning": {"initial": True, "evaluate": ["test", "train"]},
    "calibration": {"shapes": [[32, 8]], "alpha": [1.8], "layers": 2},
    "confusion": {"shapes": [[64, 16]], "layers": 1},
    "laws": {"sample": 64, "replicates": 3},
    "labels": {"shapes": [[32, 16]], "layers": 1},
    "synthetic": {"draws": 3, "size": 50},
    "theorems": {"alpha": [1.5], "kappa": [0.1], "entries": [100, 200], "widths": [8, 16], "draws": 2},
    "kesten": {
        "grid": [{"dimension": [1], "batch_size": [1], "eta": [0.8, 1.0]}],
        "chains": 400,
        "parts": 4,
        "burn_in": 10,
        "length": 10,
    },
    "claims": {
        "permutations": 99,
        "bootstrap": 100,
        "simulations": {"studies": 1, "permutations": 99, "bootstrap": 100},
    },
    "device": "cpu",
}


STAGES = ("initial", "train", "average", *batches.ANALYSES)
BATCH = re.compile(rf"((?:initial_)?(?:{'|'.join(STAGES)}))_.+_\d+")


def environment() -> dict[str, str]:
    """This process's, without what would measure coverage."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "COVERAGE_"))}


class Workflow:
    """A copy of the repository and how to run it. A warm one runs often: each time in a fork of one process (``warm``)."""

    def __init__(self, folder: Path, *, warm: bool = False) -> None:
        self.folder = folder
        self._warm = warm
        self._server: subprocess.Popen[str] | None = None
        self._used = 0.0  # seconds of CPU, of its forks
        for part in ("rules", "workflow", "sgdtails", "config", "profiles", "envs"):
            # What Python has compiled as well, but not what another process is about to write.
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        shutil.copy(ROOT / "Snakefile", folder)
        # Copies have the same code, so that digests computed for one serve all.
        (ROOT / ".snakemake/copies").mkdir(parents=True, exist_ok=True)
        (folder / ".snakemake").mkdir()
        (folder / ".snakemake/sgdtails").symlink_to(ROOT / ".snakemake/copies")

    def copied(self, folder: Path) -> "Workflow":
        """Another one with the same results, which may be spoilt."""
        other = copy.copy(self)
        other.folder, other._warm, other._server, other._used = folder, False, None, 0.0
        shutil.copytree(self.folder, folder)
        return other

    def __enter__(self) -> "Workflow":
        return self

    def __exit__(self, *error: object) -> None:
        if self._server:
            self._server.communicate()
            RUNNING.append(-self._used)

    def run(
        self, config: dict[str, Any], *arguments: str, warm: bool | None = None
    ) -> subprocess.CompletedProcess[str]:
        if self._warm if warm is None else warm:
            return self._run_warm(config, arguments)
        driver = self.start(config, *arguments)
        output, _ = driver.communicate()
        return subprocess.CompletedProcess(driver.args, driver.returncode, output)

    def start(self, config: dict[str, Any], *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", *self._arguments(config, arguments)]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            text=True,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=start_new_session,
        )

    def _arguments(self, config: dict[str, Any], more: Iterable[str]) -> list[str]:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config))
        return ["--cores", "2", "--configfile", "study.yaml", *more]

    def _run_warm(self, config: dict[str, Any], more: Iterable[str]) -> subprocess.CompletedProcess[str]:
        self._server = self._server or subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            cwd=self.folder,
            text=True,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdin
        assert self._server.stdout
        arguments, output = self._arguments(config, more), self.folder.with_name(f"{self.folder.name}.out")
        call = {"arguments": arguments, "environment": environment(), "output": str(output)}
        self._server.stdin.write(f"{json.dumps(call)}\n")
        self._server.stdin.flush()
        status, used = self._server.stdout.readline().split()
        self._used += float(used)
        RUNNING.append(float(used))
        return subprocess.CompletedProcess(arguments, int(status), output.read_text())

    def planned(self, config: dict[str, Any], *arguments: str, warm: bool | None = None) -> dict[str, int]:
        """How many jobs of each rule a dry run plans; targets left out. Jobs of several networks are ``<rule>, several``."""
        result = self.run(
            config, "--dry-run", "--quiet=host", *arguments, warm=warm
        )  # all rules, as Snakemake lists them
        assert result.returncode == 0, result.stdout
        if "Nothing to be done" in result.stdout:
            return {}
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", result.stdout, re.S)
        assert table, result.stdout
        found: Counter[str] = Counter()
        for rule, count in (line.split() for line in table[1].splitlines()):
            batch = BATCH.fullmatch(rule)
            found[f"{batch[1]}, several" if batch else rule] += int(count)
        del found["all"]
        return dict(found)


@contextmanager
def edited(workflow: Workflow, file: str, old: str, new: str) -> Iterator[None]:
    """A file of its copy of the repository with other text, for a while."""
    path = workflow.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    with Workflow(tmp_path_factory.mktemp("finished"), warm=True) as workflow:
        result = workflow.run(TINY, "--quiet=host", "--resources", "gpu=4")
        assert result.returncode == 0, result.stdout
        (workflow.folder / "driver.log").write_text(result.stdout, encoding="utf-8")
        yield workflow


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """One for a file's tests: what they ask of it is planned, refused, or of no other test's concern."""
    with Workflow(tmp_path_factory.mktemp("planned"), warm=True) as workflow:
        yield workflow


@pytest.fixture
def fresh(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path)
