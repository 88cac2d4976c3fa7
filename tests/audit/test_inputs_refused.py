"""What is refused, in one sentence that says what the file is by its first bytes."""

import importlib.util
import json
import struct
import zipfile

import pytest
import torch

from sgdtails.errors import InputError
from tests.audit.helpers import read

# What is refused, in one sentence, by the first bytes (case 15).

REFUSED = {
    "empty": (b"", "is empty; was it written or downloaded in full?"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image; give a checkpoint"),
    "html": (
        b"\n<!DOCTYPE html><html>404</html>",
        "is an HTML page, perhaps an error page of a download; download it again",
    ),
    "xml": (b"<?xml version='1.0'?><Error/>", "is an XML document"),
    "json": (b'{"error": "Repository not found"}', "is JSON without the weight_map of an index"),
    "text": ("Entrée refusée".encode(), "is text; give a checkpoint"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "is a pointer of Git LFS, not the file itself",
    ),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "is a gzip archive; unpack it"),
    "tar": (b"weights.pt".ljust(257, b"\0") + b"ustar" + bytes(250), "is a tar archive; unpack it"),
    "zip": (b"PK\x03\x04" + bytes(40), "is a zip archive that is cut off or damaged; download it again"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "is a TensorFlow Lite model, which is not read"),
    "noise": (b"\x15\x00\xfe\xff\x02" * 9, "begins with the bytes 15 00 fe ff 02 15 00 fe, which no format"),
    "safetensors": (struct.pack("<Q", 90) + b"{" + b"x" * 9, "is a safetensors file that is damaged or cut off"),
    "gguf": (b"GGUF\x03\0\0\0" + bytes(3), "is damaged, or not what its first bytes say"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "is damaged, or not what its first bytes say"),
    "npy": (b"\x93NUMPY\x01\0", "is damaged, or not what its first bytes say"),
    "msgpack": (b"\x81\xa6params\xc7", "is damaged, or not what its first bytes say"),
    "onnx": (b"\x08\x07\x12\x7fpytorch", "is not an ONNX model, or it is damaged"),
    "pickle": (b"\x80\x02}q\x00(X", "is not what torch.save writes, or it is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx"])
def test_other_files_are_refused_by_their_first_bytes(tmp_path, name, suffix):
    content, said = REFUSED[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read(path)
    sentence = f"{refused.value}"
    assert f"{path} {said}" in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_zip_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match="is a zip archive without weights"):
        read(tmp_path / "a.pt")


def test_a_file_without_arrays(saved):
    with pytest.raises(InputError, match=r"holds a dict without arrays, not a state dict; save one with torch\.save"):
        saved({"epoch": 3})


@pytest.mark.parametrize(
    ("start", "package", "extra"),
    [
        (b"GGUF\x03\0\0\0", "gguf", "gguf"),
        (b"\x89HDF\r\n\x1a\n", "h5py", "keras"),
        (b"\x81\xa6params\x80", "msgpack", "flax"),
        (b"\x08\x07\x12\x07pytorch", "onnx", "onnx"),
    ],
)
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, start, package, extra):
    (tmp_path / "a.pt").write_bytes(start)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=rf"which needs the package {package}; install sgdtails\[{extra}\]"):
        read(tmp_path / "a.pt")


def test_without_torch_its_files_are_refused(tmp_path, monkeypatch):
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "a.pt")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"is a file of torch\.save and can only be read with torch; install it"):
        read(tmp_path / "a.pt")


def test_a_damaged_index(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "b.safetensors"}}))
    with pytest.raises(InputError, match="names the shard 'b.safetensors', which is missing"):
        read(tmp_path / "model.safetensors.index.json")
