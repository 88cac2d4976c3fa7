"""What a study costs is measured with its children, and only numbers that differ are reported."""

import math

import pandas as pd
import pytest

from benchmarks import demo_cost
from benchmarks.table_differences import compare, key_of

pytestmark = pytest.mark.slow("no part of the library or the workflow")

BURN = "import time; [sum(range(1000)) for _ in iter(lambda: time.process_time() < 0.3, False)]"


@pytest.fixture
def folders(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    return before, after


def write(folder, name, **columns):
    pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")


def found(folders):
    return {(row["table"], row["what"], row["change"]): row["amount"] for row in compare(*folders)}


def test_equal_tables_have_no_differences_whatever_the_order_of_rows(folders):
    before, after = folders
    write(before, "runs", run=["a", "b"], value=[1.0, math.nan])
    write(after, "runs", run=["b", "a"], value=[math.nan, 1.0])
    assert compare(before, after) == []


def test_what_is_new_gone_and_changed_is_told_apart(folders):
    before, after = folders
    write(before, "runs", run=["a", "b", "c"], value=[1.0, 2.0, 3.0], word=["x", "y", "z"], old=[0, 0, 0])
    write(after, "runs", run=["a", "b", "d"], value=[1.0, 2.5, 3.0], word=["x", "!", "z"], new=[0, 0, 0])
    write(before, "lost", run=["a"])
    write(after, "found", run=["a"])
    assert found(folders) == {
        ("runs", "column old", "gone"): None,
        ("runs", "column new", "new"): None,
        ("runs", "rows", "gone"): 1,
        ("runs", "rows", "new"): 1,
        ("runs", "column value", "changed"): pytest.approx(0.2, rel=1e-15),
        ("runs", "column word", "changed"): 0.5,
        ("lost", "table", "gone"): None,
        ("found", "table", "new"): None,
    }


def test_a_number_that_is_gone_differs_without_end(folders):
    before, after = folders
    write(before, "runs", run=["a", "b"], value=[1.0, 2.0])
    write(after, "runs", run=["a", "b"], value=[1.0, math.nan])
    assert found(folders) == {("runs", "column value", "changed"): math.inf}


def test_rows_are_told_apart_by_the_first_columns_that_do_and_by_their_place_otherwise(folders):
    old = pd.DataFrame({"run": ["a", "a", "b"], "same": [1, 1, 1], "layer": [0, 1, 0], "value": [1.0, 2.0, 3.0]})
    assert key_of(old, old) == ["run", "layer"]
    before, after = folders
    write(before, "runs", value=[1.0, 1.0])
    write(after, "runs", value=[1.0, 1.0])
    assert compare(before, after) == []
    write(after, "runs", value=[1.0, 1.0, 1.0])
    assert list(found(folders).values()) == [1]


@pytest.fixture
def study(tmp_path):
    def make(lines):
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree/study.yaml").write_text("study: tiny\n")
        (tmp_path / "tree/Snakefile").write_text(f"rule only:\n    output: 'made'\n    run:\n        {lines}\n")
        return tmp_path / "tree"

    return make


def test_the_cost_holds_that_of_jobs(study, tmp_path):
    tree = study(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); open(output[0], 'w')")
    found = demo_cost.measure(tree, tmp_path / "run", tree / "study.yaml")
    assert found["jobs"] == 1
    assert found["cpu_seconds"] > 0.3  # what the job's own child burns
    assert (tmp_path / "run/made").exists()


def test_a_study_that_fails_is_said_to_have(study, tmp_path):
    with pytest.raises(RuntimeError, match=r"the study of .* failed"):
        demo_cost.measure(study("raise ValueError('no')"), tmp_path / "run", "study.yaml")


def test_the_page_has_the_ratio_and_the_differences():
    costs = {name: {"cpu_seconds": cpu, "seconds": 9.0, "jobs": 3} for name, cpu in (("before", 10.0), ("now", 4.0))}
    page = demo_cost.markdown("v1", costs, [{"table": "runs", "what": "rows", "change": "new", "amount": 2}])
    assert "Ratio of CPU seconds: 0.400" in page
    assert page.endswith("| runs | rows | new | 2 |\n")
    assert demo_cost.markdown("v1", costs, []).endswith("All tables hold the same numbers.\n")
