import numpy as np
import pyarrow as pa

from sgdtails.figures import paper_tables
from sgdtails.io import storage, tables

BASE = dict.fromkeys(tables.SCHEMAS["runs"].names, None)


def runs():
    rows = [
        {"run": "a", "dataset": "cifar10", "model": "fcn4", "eta_over_b": 1e-3, "status": "converged"},
        {"run": "b", "dataset": "cifar10", "model": "fcn4", "eta_over_b": 5e-3, "status": "diverged"},
        {"run": "c", "dataset": "mnist", "model": "cnn", "eta_over_b": 2e-3, "status": "budget"},
    ]
    return pa.Table.from_pylist([BASE | row for row in rows], schema=tables.SCHEMAS["runs"])


def test_ranges_cover_every_run_and_count_the_converged():
    rows = list(paper_tables.ranges(runs()))
    assert [(row["eta_over_b_lowest"], row["eta_over_b_highest"], row["converged"]) for row in rows] == [
        (1e-3, 5e-3, 1),
        (2e-3, 2e-3, 0),
    ]


def test_parameters_are_counted_in_the_files(tmp_path):
    files = {}
    for run, shape in (("b", (4, 5)), ("c", (2, 3, 3, 3))):
        files[run] = str(tmp_path / f"{run}.safetensors")
        storage.save_arrays(files[run], {"l.weight": np.zeros(shape), "l.bias": np.zeros(9)}, {})
    assert [row["parameters"] for row in paper_tables.parameters(runs(), files)] == [20, 54]


def test_markdown_has_a_line_per_dataset_and_a_column_per_model():
    text = paper_tables.markdown(list(paper_tables.ranges(runs())), paper_tables.CELLS["table2"])
    assert text.splitlines() == [
        "| | FCN4 | CNN |",
        "|---|---|---|",
        "| CIFAR10 | 0.001 to 0.005 (1 of 2 converged) |  |",
        "| MNIST |  | 0.002 to 0.002 (0 of 1 converged) |",
    ]
