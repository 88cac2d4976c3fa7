"""Two studies with the same simulations: the second one copies their tables."""

import re
import shutil

import pytest

from sgdtails.io import integrity, manifest
from tests.workflow.conftest import TINY

TARGETS = ("--", "theory", "calibration")
COPIED = {"theory", "calibration/independent_32x8"}
MADE = {*(f"tables/{name}.parquet" for name in ("theory", "calibration")), "calibration/independent_32x8.parquet"}
ONE = {"calibration": TINY["calibration"] | {"structures": ["independent"]}}


def config(study, **more):
    return TINY | ONE | {"study": study} | more


def tables(workflow, study):
    folder = workflow.folder / "results" / study
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*.parquet")}


def copied(workflow, study):
    """The simulations whose logs say that they were copied."""
    logs = workflow.folder / "results" / study / "logs"
    said = {str(path.relative_to(logs).with_suffix("")): path.read_text() for path in logs.rglob("*.log")}
    return {name for name, text in said.items() if text.startswith("Copied from results/.simulations/")}


def to_copy(said):
    """How many simulations a plan says will be copied."""
    found = re.search(r"so that their tables are copied: (\d+)\n", said)
    return int(found[1]) if found else 0


@pytest.fixture
def others(finished):
    """The finished study, without the studies that a test adds beside it."""
    yield finished
    for study in ("second", "third"):
        shutil.rmtree(finished.folder / "results" / study, ignore_errors=True)


def test_another_study_copies_what_has_its_settings(others, capsys):
    assert copied(others, "tiny") == set()
    result = others.run(config("second"), *TARGETS)
    assert result.returncode == 0, result.stdout
    assert f"simulations{len(COPIED):17}\n" in result.stdout  # they are jobs like others
    assert to_copy(result.stdout) == len(COPIED)
    assert copied(others, "second") == COPIED
    before, after = tables(others, "tiny"), tables(others, "second")
    different = {name for name, data in after.items() if data != before[name]}
    assert different == {"tables/calibration.parquet"}  # which has one structure
    results = others.folder / "results"
    assert manifest.read(results / "second") == set(after) == MADE

    result = others.run(config("third", theory={"points": 11}), "--", "theory")
    assert result.returncode == 0, result.stdout
    assert to_copy(result.stdout) == 0
    assert copied(others, "third") == set()
    assert tables(others, "third")["tables/theory.parquet"] != before["tables/theory.parquet"]
    assert integrity.main(results) == 0
    assert capsys.readouterr().out.endswith(" files checked, 0 problems.\n")


@pytest.mark.slow("two studies at once, each in a process of its own")
def test_two_studies_at_once_in_one_folder(fresh, tmp_path):
    drivers = [fresh.start(config("one"), "--config", f"study={name}", *TARGETS) for name in ("one", "other")]
    for driver in drivers:
        output, _ = driver.communicate()
        assert driver.returncode == 0, output
    assert tables(fresh, "one") == tables(fresh, "other")
    assert integrity.main(tmp_path / "results") == 0
