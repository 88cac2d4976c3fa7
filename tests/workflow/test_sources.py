"""Datasets whose files come and go while a study lives: what is made again, and what stays."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.workflow.conftest import TINY, Workflow

pytestmark = pytest.mark.slow("a study of its own, whose data come and go")

ROW = {"model": "fcn4", "batch_size": 4, "step_size": 0.1, "seed": 0}
BRIEF = {"train_nll": 0.05, "gate": 5, "budget": 10, "chance_after": 500, "history": 5}
SOURCES = {"pets": {"kind": "folder", "path": "pets"}, "cells": {"kind": "npz", "path": "cells.npz"}}


def config(root="files", **more):
    runs = [ROW | {"dataset": name} for name in SOURCES]
    sources = {name: source | more for name, source in SOURCES.items()}
    return TINY | {"datasets": {"root": root, "sources": sources}, "runs": runs, "stop": BRIEF}


TARGETS = ("--", *(f"results/tiny/runs/fcn4-{name}-b4-lr0.1-s0/training.parquet" for name in SOURCES))


def random_images(seed):
    return np.random.default_rng(seed).integers(0, 256, (24, 4, 4), dtype=np.uint8)


def fill(folder):
    for number, pixels in enumerate(random_images(0)):
        path = folder / "pets" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    np.savez(folder / "cells.npz", images=random_images(1), labels=np.arange(24) % 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with Workflow(tmp_path_factory.mktemp("trained"), warm=True) as workflow:
        fill(workflow.folder / "files")
        result = workflow.run(config(), *TARGETS)
        assert result.returncode == 0, result.stdout
        yield workflow


def test_files_that_are_away_elsewhere_or_others(trained):
    files, away = trained.folder / "files", trained.folder / "away"
    prepared = {path: path.read_bytes() for path in (trained.folder / "results/tiny/data").glob("*.safetensors")}
    assert len(prepared) == 2

    files.rename(away)
    assert trained.planned(config(), *TARGETS) == {}
    (files / "pets").mkdir(parents=True)  # as the mount point of a disk that is not there
    result = trained.run(config(), *TARGETS)
    assert result.returncode == 0, result.stdout
    assert "Nothing to be done" in result.stdout
    assert "made from it, is used" in result.stdout

    result = trained.run(config(train_size=10), *TARGETS)  # would have to be made again
    assert result.returncode == 1
    assert "its settings or the code have changed" in result.stdout
    assert "Traceback" not in result.stdout
    result = trained.run(config(), "--forcerun", "dataset", *TARGETS)
    assert "would be made again, but" in result.stdout
    assert {path: path.read_bytes() for path in prepared} == prepared

    shutil.copytree(away, files, copy_function=shutil.copyfile, dirs_exist_ok=True)  # other times
    assert trained.planned(config(), *TARGETS) == {}
    assert trained.planned(config("away"), *TARGETS) == {}

    Image.fromarray(255 - random_images(0)[0]).save(files / "pets/cat/0.png")
    assert trained.planned(config(), *TARGETS) == {"dataset": 1, "initial": 1, "train": 1}
    np.savez(files / "cells.npz", images=random_images(2), labels=np.arange(24) % 2)
    assert trained.planned(config(), *TARGETS) == {"dataset": 2, "initial": 2, "train": 2}
