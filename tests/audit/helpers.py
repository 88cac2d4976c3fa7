"""What tests of audits share: reading a file, and its layers and what was left out by name."""

import numpy as np
import torch

from sgdtails.audit import audit_inputs
from sgdtails.audit.weights.matrices import matrices

OLD = {"_use_new_zipfile_serialization": False}  # for torch.save: as before torch 1.6


def read(path, **more):
    """Read a checkpoint."""
    return audit_inputs.read(str(path), **({"weights": None, "seed": 0} | more))


def named(found):
    """Give the arrays of a checkpoint as lists."""
    return {
        name: (array.detach() if isinstance(array, torch.Tensor) else array).tolist() for name, array in found.items()
    }


def layers(state, *exclude):
    """Give the layers of a state by name."""
    return {matrix.name: matrix for matrix in matrices(state, exclude)[0]}


def reasons(state, *exclude):
    """Give why arrays of a state are left out, by name."""
    return {entry.name: entry.reason for entry in matrices(state, exclude)[1]}


def close(matrix, expected):
    """Check that a layer's numbers are these, and that its shape is known without them."""
    assert tuple(matrix.tensor.shape) == matrix.shape
    np.testing.assert_allclose(np.asarray(matrix.tensor, np.float32), np.asarray(expected, np.float32), rtol=2e-6)
