"""Files that try to run code, that point outside themselves, or that are cut off."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from sgdtails.audit.formats import inert_pickles, nested
from sgdtails.errors import InputError
from tests.audit.helpers import OLD, read

# Hostile files.


class Runs:
    """A pickle that calls a function."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


class State:
    """A pickle that sets the state of what a function gives."""

    def __init__(self, function, given, state):
        self.parts = function, given, state

    def __reduce__(self):
        return self.parts


HOSTILE = {
    "os.system": lambda mark: Runs(os.system, (f"touch {mark}",)),
    "eval": lambda mark: Runs(eval, (f"open({mark!r}, 'w')",)),
    "exec": lambda mark: Runs(exec, (f"open({mark!r}, 'w')",)),
    "open": lambda mark: Runs(open, (mark, "w")),
    "os.mkdir": lambda mark: Runs(os.mkdir, (mark,)),
    "torch.load": lambda mark: Runs(torch.load, (mark,)),
    "torch.save": lambda mark: Runs(torch.save, ([], mark)),
    "numpy.save": lambda mark: Runs(np.save, (mark, np.ones(2))),
    "setstate": lambda mark: State(collections.OrderedDict, (), {"__reduce__": Runs(os.system, (f"touch {mark}",))}),
    "a state of os.system": lambda mark: State(os.system, (f"touch {mark}",), {"a": 1}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", [{}, OLD, None], ids=["zip", "old", "pickle"])
def test_a_hostile_pickle_runs_nothing(tmp_path, name, kind):
    held = {"state_dict": {"fc.weight": torch.ones(3, 2)} if kind is not None else {"fc.weight": np.ones((3, 2))}}
    mark = str(tmp_path / "mark")
    held["hyper_parameters"] = HOSTILE[name](mark)
    if kind is None:
        (tmp_path / "a.pt").write_bytes(pickle.dumps(held))
    else:
        torch.save(held, tmp_path / "a.pt", **kind)
    assert list(read(tmp_path / "a.pt")) == ["fc.weight"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def unpickled(data, known=None):
    return inert_pickles.Unpickler(io.BytesIO(data), known or {}).load()


def test_a_pickle_cannot_change_what_it_is_given():
    """State for a function of ours, for a class of stand-ins, and for an ordered mapping."""
    builder = inert_pickles.Builder(lambda: 1)
    build = b"}(X\x09\x00\x00\x00_functionK\x01ub."
    for name, known in (
        ("ours f", {"ours.f": builder}),
        ("any C", {}),
        ("collections OrderedDict", inert_pickles.plain()),
    ):
        with pytest.raises((pickle.UnpicklingError, TypeError, AttributeError)):
            unpickled(b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + build, known)
    assert builder() == 1


def test_tensors_beyond_their_storage_are_refused(tmp_path):
    torch.save({"fc.weight": torch.ones(3, 2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in ((b"K\x03K\x02\x86", b"K\x7fK\x02\x86"), (b"K\x02K\x01\x86", b"K\x7fK\x01\x86")):
        with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
            for name, data in members.items():
                assert name.rpartition("/")[2] != "data.pkl" or data.count(old) == 1
                archive.writestr(name, data.replace(old, new) if name.endswith("data.pkl") else data)
        with pytest.raises(InputError, match="a tensor is larger than its storage"):
            read(tmp_path / "b.pt")


def test_containers_that_hold_each_other_many_times(tmp_path, monkeypatch):
    """Of 2 to the power of 100 ways to the innermost none is walked twice; with an array there they are refused."""
    doubled = b"2\x86" * 100
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04]" + doubled + b".")
    with pytest.raises(InputError, match="a tuple without arrays"):
        read(tmp_path / "a.pkl")
    monkeypatch.setattr(nested, "_MOST", 5)
    inner = {"fc.weight": np.ones((3, 2), np.float32)}
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(inner, 4)[:-1] + doubled[: 2 * 30] + b".")
    with pytest.raises(InputError, match="more than 5 arrays"):
        read(tmp_path / "b.pkl")


def test_a_compressed_archive_is_read_too(tmp_path):
    weight = torch.randn(3, 2)
    torch.save({"fc.weight": weight}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert torch.equal(read(tmp_path / "b.pt")["fc.weight"], weight)


@pytest.mark.parametrize("cut", [30, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", [{}, OLD], ids=["zip", "old"])
def test_a_file_that_is_cut_off(tmp_path, cut, kind):
    torch.save({"fc.weight": torch.ones(60, 20)}, tmp_path / "whole.pt", **kind)
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(cut * len(whole)) if cut < 1 else cut])
    with pytest.raises(InputError, match="a.pt is (a zip archive that is cut off|not what torch.save writes)"):
        read(tmp_path / "a.pt")


# Files that are larger than memory, or say so.


@pytest.mark.parametrize("state", [True, False])
def test_an_array_whose_numbers_are_a_number_takes_no_memory(tmp_path, state):
    """As many zeros as it says would be made of it."""
    size = 10**13
    if state:
        dtype = np.dtype(np.float32)
        held = State(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (size // 4,), dtype, False, size))
    else:
        held = Runs(np._core.numeric._frombuffer, (size, np.dtype(np.float32), (size // 4,), "C"))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"fc.weight": held}))
    with pytest.raises(InputError, match="without arrays" if state else "an array whose numbers are no bytes"):
        read(tmp_path / "a.pkl")


@pytest.mark.parametrize("kind", ["h5", "npz", "npy"])
def test_a_file_that_declares_more_than_memory_is_not_read(tmp_path, kind):
    shape, path = (2**24, 2**26), tmp_path / f"a.{kind}"
    if kind == "h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file.create_dataset("fc/kernel", shape, np.float32, chunks=(64, 64))
    else:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        path.write_bytes(header.getvalue())
    if kind == "npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fc.kernel.npy", header.getvalue())
    with pytest.raises(InputError, match="holds more than fits into this machine's memory; audit it on a larger one"):
        read(path)


def test_an_archive_of_keras_larger_than_memory_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**20))
    pytest.importorskip("h5py")
    monkeypatch.setattr("sgdtails.config.validation.memory", lambda: 2**19)
    with pytest.raises(InputError, match="holds more than fits into this machine's memory"):
        read(tmp_path / "a.keras")


@pytest.mark.parametrize("kind", ["pt", "npz"])
def test_a_file_that_takes_too_much_memory_is_not_called_damaged(tmp_path, monkeypatch, kind):
    def fails(*given, **named):
        raise MemoryError

    np.savez(tmp_path / "a.npz", a=np.ones((3, 2)))
    torch.save({"a": torch.ones(3, 2)}, tmp_path / "a.pt")
    monkeypatch.setattr(*{"pt": (inert_pickles.Unpickler, "load"), "npz": (np, "load")}[kind], fails)
    with pytest.raises(InputError, match="needs more memory than this process can have, unless it is damaged"):
        read(tmp_path / f"a.{kind}")
