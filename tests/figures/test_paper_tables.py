import numpy as np
import pyarrow as pa

from sgdtails.figures import paper_tables
from sgdtails.io import storage, tables

BASE = dict.fromkeys(tables.SCHEMAS["runs"].names, None)


def runs():
    rows = [
        {
            "run": "fcn4-cifar10-b50-lr0.05-s1",
            "dataset": "cifar10",
            "model": "fcn4",
            "eta_over_b": 1e-3,
            "status": "converged",
        },
        {
            "run": "fcn4-cifar10-b50-lr0.25-s0",
            "dataset": "cifar10",
            "model": "fcn4",
            "eta_over_b": 5e-3,
            "status": "diverged",
        },
        {"run": "cnn-mnist-b50-lr0.1-s1", "dataset": "mnist", "model": "cnn", "eta_over_b": 2e-3, "status": "budget"},
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
    for initial, shape in (("fcn4-cifar10-s0", (4, 5)), ("cnn-mnist-s1", (2, 3, 3, 3))):
        files[initial] = str(tmp_path / f"{initial}.safetensors")
        storage.save_arrays(files[initial], {"l.weight": np.zeros(shape), "l.bias": np.zeros(9)}, {})
    assert [row["parameters"] for row in paper_tables.parameters(runs(), files)] == [20, 54]


def test_markdown_has_a_line_per_dataset_and_a_column_per_model():
    text = paper_tables.markdown(list(paper_tables.ranges(runs())), paper_tables.CELLS["table2"])
    assert text.splitlines() == [
        "| | FCN4 | CNN |",
        "|---|---|---|",
        "| CIFAR10 | 0.001 to 0.005 (1 of 2 converged) |  |",
        "| MNIST |  | 0.002 to 0.002 (0 of 1 converged) |",
    ]
