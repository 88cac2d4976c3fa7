"""What the tests share."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
import torch
import yaml
from hypothesis import settings

from benchmarks.study_plan import Files, script

__all__ = ["Files", "script"]  # a script of the workflow without Snakemake, and what Snakemake gives to it

PLAIN = {"variant": "", "momentum": 0.0, "weight_decay": 0.0, "noise_scale": 0.0, "noise_alpha": 2.0}  # SGD of a run
ROOT = Path(__file__).parent.parent
torch.set_num_threads(1)  # as a job has: two would change the last digits

# The same examples each time, and no time limits: machines differ.
settings.register_profile("sgdtails", deadline=None, derandomize=True, database=None)
settings.load_profile("sgdtails")

SHARED = ROOT.parent / "shared" / "datasets"


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


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.fixture
def schema() -> dict:
    return yaml.safe_load((ROOT / "config/config.schema.yaml").read_text())


ESTIMATES = re.compile(
    r"(entries_)?alpha|(rows|entries)_(near|far)"
)  # columns with the ends of an interval beside them


def outside(table: pa.Table) -> list[tuple[str, dict]]:
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
