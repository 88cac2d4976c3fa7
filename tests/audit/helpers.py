"""What tests of audits share: reading a file, and its layers and what was left out by name."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray

from sgdtails.audit import audit_inputs
from sgdtails.audit.checkpoint import Checkpoint
from sgdtails.audit.weights.matrices import Matrix, matrices

OLD = {"_use_new_zipfile_serialization": False}  # for torch.save: as before torch 1.6


def read(path: str | Path, *, weights: str | None = None, seed: int = 0, part: str | None = None) -> Checkpoint:
    """Read a checkpoint."""
    return audit_inputs.read(str(path), weights=weights, seed=seed, part=part)


def named(found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arrays of a checkpoint as lists."""
    return {
        name: (array.detach() if isinstance(array, torch.Tensor) else array).tolist() for name, array in found.items()
    }


def layers(state: Mapping[str, Any], *exclude: str) -> dict[str, Matrix]:
    """Give the layers of a state by name."""
    return {matrix.name: matrix for matrix in matrices(state, exclude)[0]}


def reasons(state: Mapping[str, Any], *exclude: str) -> dict[str, str]:
    """Give why arrays of a state are left out, by name."""
    return {entry.name: entry.reason for entry in matrices(state, exclude)[1]}


def close(matrix: Matrix, expected: ArrayLike) -> None:
    """Check that a layer's numbers are these, and that its shape is known without them."""
    assert tuple(matrix.tensor.shape) == matrix.shape
    np.testing.assert_allclose(np.asarray(matrix.tensor, np.float32), np.asarray(expected, np.float32), rtol=2e-6)


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw Gaussian weights."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def install(packages: Iterable[str], folder: Path) -> Path:
    """Install packages into a folder, without what they depend on; skip the test where that cannot be done."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which installs the packages, is not there")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"{', '.join(packages)} cannot be installed here")
    return folder
