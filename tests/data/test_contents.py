"""The digest of what a dataset is made from: of contents, and of nothing else."""

import hashlib
import json
import os
import runpy
import shutil
import types
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from sgdtails.data import contents, loaders
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import storage
from tests.conftest import ROOT

KINDS = {"pets": {"kind": "folder", "path": "pets"}, "cells": {"kind": "npz", "path": "cells.npz"}}


@pytest.fixture
def root(tmp_path):
    """Both kinds of files, eight images each."""
    rng, root = np.random.default_rng(0), tmp_path / "files"
    images = rng.integers(0, 256, (8, 4, 4), dtype=np.uint8)
    for number, pixels in enumerate(images):
        path = root / "pets" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    np.savez(root / "cells.npz", images=images, labels=np.arange(8) % 2)
    return root


@pytest.fixture
def current(tmp_path):
    """The digest as a start asks for it; ``current.said`` is what it says."""

    def ask(name, root, keep=True, code="this", **more):
        found = contents.current(
            name, KINDS[name] | more, root=str(root), prepared=prepared(tmp_path, name), code=code, keep=keep, say=ask.said.append
        )  # fmt: skip
        ask.away = found.away
        return found.digest

    ask.said = []
    return ask


def prepared(folder, name):
    return folder / f"results/{name}.safetensors"


def prepare(folder, name, root, digest, code="this"):
    dataset = loaders.load(name, KINDS[name] | {"test_fraction": 0.5}, root=root, download=False)
    made_from = {"name": name, "source": KINDS[name], "contents": digest}
    data.write(dataset, prepared(folder, name), made_by={"code": code, "settings": made_from})


@pytest.mark.parametrize("name", KINDS)
def test_the_same_contents_have_the_same_digest(tmp_path, root, current, name):
    first = current(name, root)
    for path in root.rglob("*"):
        os.utime(path, (0, 0))
    assert current(name, root) == first
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    assert current(name, tmp_path / "copy") == first
    (root / "pets/cat/Thumbs.db").write_bytes(b"a system's own")
    (root / "pets/.thumbnails").mkdir()
    shutil.copy(root / "pets/cat/0.png", root / "pets/.thumbnails")
    assert current(name, root) == first
    prepared(tmp_path, name).parent.mkdir(exist_ok=True)
    (prepared(tmp_path, name).parent / f".{name}.source.json").write_bytes(b"{damaged")
    assert current(name, root) == first


def rewrite_in_place(path):
    """Other contents of the same size, with the times that the file had."""
    content, status = path.read_bytes(), path.stat()
    with path.open("r+b") as file:
        file.write(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("cells", lambda root: rewrite_in_place(root / "cells.npz")),
        ("pets", lambda root: rewrite_in_place(root / "pets/cat/0.png")),
        ("pets", lambda root: (root / "pets/cat/0.png").rename(root / "pets/dog/0.png")),
        ("pets", lambda root: shutil.copy(root / "pets/cat/0.png", root / "pets/cat/9.png")),
        ("pets", lambda root: (root / "pets/cat/0.png").unlink()),
        ("pets", lambda root: (root / "pets/cat").rename(root / "pets/Cat")),
    ],
)
def test_other_contents_have_another(root, current, name, edit):
    first = current(name, root)
    edit(root)
    assert current(name, root) != first


def test_files_are_read_again_only_if_they_look_different(root, current, monkeypatch):
    digest, read = contents.file_digest, []
    monkeypatch.setattr(contents, "file_digest", lambda path: read.append(path.name) or digest(path))
    for _ in range(3):
        current("pets", root)
    assert len(read) == 8
    os.utime(root / "pets/cat/0.png")
    current("pets", root, keep=False)  # a dry run writes nothing
    current("pets", root)
    assert len(read) == 24
    monkeypatch.setattr(contents, "_MANY", 100)
    os.utime(root / "pets/cat/0.png")
    current("pets", root)
    assert "GiB of" in current.said[-1]


@pytest.mark.parametrize("name", KINDS)
def test_while_the_files_are_away(tmp_path, root, current, name):
    """The prepared dataset says what it was made from; if it has to be made again, it is not let go."""
    first = current(name, root)
    prepare(tmp_path, name, root, first)
    root.rename(tmp_path / "away")
    assert current(name, root) == first
    assert f"{name}.safetensors, made from it, is used" in current.said[-1]
    assert current.away in current.said[-1]
    (root / "pets").mkdir(parents=True)  # the empty mount point of a disk
    assert current(name, root) == first
    for changed in ({"train_size": 3}, {"code": "other"}):
        with pytest.raises(
            InputError, match="would be made again, since its settings or the code have changed"
        ) as caught:
            current(name, root, **changed)
        assert str(root / KINDS[name]["path"]) in str(caught.value)
    prepared(tmp_path, name).unlink()
    assert current(name, root) == first  # as noted when it was read
    shutil.rmtree(tmp_path / "results")
    assert current(name, root) == ""  # never made: its job says what is missing


def test_a_mistake_in_the_folder_is_said_before_anything_runs(root, current):
    (root / "pets/bird").mkdir()
    with pytest.raises(InputError, match="class 'bird' holds no files and no image"):
        current("pets", root)


def test_checksums(root, current):
    digest = hashlib.sha256((root / "cells.npz").read_bytes()).hexdigest()
    assert current("cells", root, sha256=digest) == digest
    for _ in range(2):  # read, and noted
        with pytest.raises(InputError, match=f"is {digest}, not {64 * '0'}"):
            current("cells", root, sha256=64 * "0")
    for settings in ({"sha256": digest}, {"kind": "npz"}):
        source = KINDS["pets"] | settings
        message = (
            "sha256 is for files, and .*pets is a folder"
            if "sha256" in settings
            else "pets is a folder; give the path of an .npz"
        )
        with pytest.raises(InputError, match=message):
            current("pets", root, **settings)
        with pytest.raises(InputError, match=message):
            loaders.load("pets", source, root=root, download=False)


def test_the_home_folder(root, current, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert current("cells", "~") == current("cells", root)
    assert current("cells", "elsewhere", path="~/cells.npz") == current("cells", root)
    loaded = loaders.load("cells", KINDS["cells"] | {"test_fraction": 0.5}, root="~", download=False)
    assert loaded.shape == (1, 4, 4)
    with pytest.raises(InputError, match=f"not found whole under datasets.root = {root}/data"):
        loaders.load("mnist", {"kind": "mnist"}, root="~/data", download=False)


def test_sources_without_a_path(current):
    for kind in ("mnist", "digits"):
        assert contents.current("x", {"kind": kind}, root="nowhere", prepared=prepared, code="this") == ("", "")


def test_what_is_noted_is_no_result(tmp_path, root, current):
    current("cells", root, keep=False)
    assert not (tmp_path / "results").exists()
    current("cells", root)
    [note] = (tmp_path / "results").iterdir()
    assert note.name == ".cells.source.json"
    assert set(json.loads(note.read_text())) == {"listing", "contents"}


def test_files_that_change_while_a_job_waits_or_reads(tmp_path, root, current):
    """The dataset would carry the digest of others."""
    main = runpy.run_path(str(ROOT / "workflow/scripts/dataset.py"))["main"]
    source = KINDS["cells"] | {"test_fraction": 0.5}
    planned = current("cells", root)
    for digest, message in ((planned, None), ("of others", "its files have changed since this job was planned")):
        settings = json.dumps({"name": "cells", "source": source, "contents": digest})
        job = types.SimpleNamespace(
            params=types.SimpleNamespace(settings=settings, code="this"),
            config={"datasets": {"root": str(root), "download": False}},
            output=[str(prepared(tmp_path, "cells"))],
        )
        with pytest.raises(InputError, match=message) if message else nullcontext():
            main(job)
        assert prepared(tmp_path, "cells").exists()
        assert storage.made_by(prepared(tmp_path, "cells"))["settings"]["contents"] == planned


def test_settings_do_not_change_the_digest_of_the_same_images(tmp_path, root):
    digests = set()
    for code in ("this", "other"):
        prepare(tmp_path, "cells", root, "a digest", code)
        digests.add(storage.digest(prepared(tmp_path, "cells")))
    assert len(digests) == 1
