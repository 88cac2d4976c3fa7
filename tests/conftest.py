"""What the tests share."""

import compileall
import copy
import os
import re
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import yaml
from hypothesis import settings

from benchmarks.study_plan import Files, script

__all__ = ["Files", "script"]  # a script of the workflow without Snakemake, and what Snakemake gives to it

_QUIET = {"noise_scale": 0.0, "noise_alpha": 2.0, "noise_kind": "independent"}
PLAIN = {"variant": "", "momentum": 0.0, "weight_decay": 0.0, **_QUIET}  # SGD of a run
ROOT = Path(__file__).parent.parent
torch.set_num_threads(1)  # as a job has: two would change the last digits

# The same examples each time, and no time limits: machines differ.
settings.register_profile("sgdtails", deadline=None, derandomize=True, database=None)
settings.load_profile("sgdtails")

SHARED = ROOT.parent / "shared" / "datasets"

DEAREST = int(os.environ.get("SGDTAILS_TEST_DEAREST", 8))
BEFORE = pytest.StashKey[float]()
RUNNING: list[float] = []  # seconds of CPU of processes that live on from test to test
FINISHED = {"finished", "undisturbed", "image"}  # fixtures of a whole study each, or of an image, used by several files


def pytest_configure(config: pytest.Config) -> None:
    """Compile the library once: jobs in copies of it may be told not to (PYTHONDONTWRITEBYTECODE), and would do it each."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "sgdtails", quiet=2)


@pytest.hookimpl(tryfirst=True)  # before xdist, which puts the group into a test's name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep one file's tests, and those of one finished study, to one worker: no fixture is made twice.

    The longest begin first, and before them those that mostly wait.
    """
    groups = {}
    for item in items:
        studies = FINISHED & set(getattr(item, "fixturenames", ()))
        groups[item.nodeid] = min(studies, default=item.nodeid.partition("::")[0])
    first = set(FINISHED)
    for item in items:
        if item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(groups[item.nodeid]))
        if mark := item.get_closest_marker("slow"):
            if not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: say why it is slow: pytest.mark.slow('...')")
            first.add(groups[item.nodeid])
    folders = ("tests/cluster/", "tests/workflow/")
    items.sort(key=lambda item: [groups[item.nodeid] not in first, *(not item.nodeid.startswith(f) for f in folders)])


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended. A busy machine changes none of it."""
    return sum(os.times()[:4]) + sum(RUNNING)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[BEFORE] = cpu_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how much each of set-up, call and teardown cost."""
    report = yield
    now = cpu_seconds()
    report.user_properties.append(("cpu", now - item.stash[BEFORE]))
    item.stash[BEFORE] = now
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The tests that cost most, in seconds of CPU."""
    spent: dict[str, float] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, seconds in getattr(report, "user_properties", ()):
            if name == "cpu":
                spent[report.nodeid] = spent.get(report.nodeid, 0) + seconds
    if not spent:
        return
    terminalreporter.section(f"CPU: {sum(spent.values()):.0f} s")
    for test in sorted(spent, key=spent.__getitem__, reverse=True)[:DEAREST]:
        terminalreporter.write_line(f"{spent[test]:7.1f} s {test}")


@pytest.fixture
def mnist_root() -> Path:
    if not (SHARED / "MNIST" / "raw").is_dir():
        pytest.skip(f"the real MNIST is not at {SHARED}")
    return SHARED


@pytest.fixture
def cifar10_jpeg() -> Path:
    path = SHARED / "cifar10-jpeg.tar.gz"
    if not path.is_file():
        pytest.skip(f"the JPEG copy of CIFAR10 is not at {path}")
    return path


@cache
def loaded(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())
    return found


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(loaded("config/config.yaml"))


@pytest.fixture
def schema() -> dict[str, Any]:
    return copy.deepcopy(loaded("config/config.schema.yaml"))


ESTIMATES = re.compile(
    r"(entries_)?alpha|(rows|entries)_(near|far)"
)  # columns with the ends of an interval beside them


def outside(table: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    """Rows whose estimate of a tail index is not in its interval, with the column.

    Bootstrap percentiles, as those of claims, promise no such thing.
    """
    found = []
    middles = [name for name in table.column_names if ESTIMATES.fullmatch(name) and f"{name}_low" in table.column_names]
    for row in table.to_pylist():
        for name in middles:
            low, value, high = row[f"{name}_low"], row[name], row[f"{name}_high"]
            if None not in (low, value, high) and not low <= value <= high:
                found.append((name, row))
    return found
