"""Tar archives, .npz files and images that are made to do harm: one sentence, and neither memory, time nor a file is spent."""

import errno
import io
import os
import pickle
import struct
import tarfile
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from sgdtails.config import validation
from sgdtails.data import loaders
from sgdtails.errors import InputError
from sgdtails.io import archives

NEEDED = (("images", "labels"),)


def png(width=3, height=2):
    """A PNG whose header says so, and whose pixels are missing beyond the first few."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + 3 * min(width, 9)) * min(height, 2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tar(tmp_path, *items, mode="w"):
    """An archive of (name, content, and attributes of the TarInfo) behind one good image."""
    path = tmp_path / "images.tar"
    with tarfile.open(path, mode) as archive:
        for name, content, attributes in (("pets/cat/0.png", png(), {}), *items):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            for key, value in attributes.items():
                setattr(item, key, value)
            archive.addfile(item, io.BytesIO(content) if item.isreg() else None)
    return path


def members(path):
    names = [name for name in archives.tar_names("here", path) if name.endswith(".png")]
    return list(archives.tar_members("here", path, names))


def npz(tmp_path, **members):
    path = tmp_path / "images.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(shape, descr="|u1", content=b"", version=(1, 0)):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode("latin1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes(version) + length + header + b"\n" + content


def arrays(path):
    return archives.npz_arrays("here", path, NEEDED)


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("/etc/cat/1.png", {}, "outside of itself"),
        (
            "../../cat/1.png",
            {},
            "name '../../cat/1.png' in it leads outside of itself; pack it again from within its folder",
        ),
        ("pets/../../cat/1.png", {}, "outside of itself"),
        ("pets/cat/1.png", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}, "a link or a device"),
        ("pets/cat/1.png", {"type": tarfile.LNKTYPE, "linkname": "pets/cat/0.png", "size": 0}, "a link or a device"),
        ("pets/cat/1.png", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5, "size": 0}, "a link or a device"),
        ("pets/cat/1.png", {"type": tarfile.FIFOTYPE, "size": 0}, "a link or a device"),
    ],
)
def test_files_that_are_none_or_lie_outside(tmp_path, name, attributes, message):
    assert len(members(tar(tmp_path))) == 1
    with pytest.raises(InputError, match=message):
        members(tar(tmp_path, (name, png(), attributes)))


def test_links_and_devices_that_are_no_images_are_not_looked_at(tmp_path):
    link = ("pets/readme", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})
    assert len(members(tar(tmp_path, link, ("/etc/passwd", b"root", {})))) == 1


def base256(number):
    """A number too large for octal digits, or negative, as GNU tar writes it."""
    return (0x80 << 88 | number if number >= 0 else number % 256**12).to_bytes(12)


def header_with(claimed, kind=tarfile.REGTYPE, name="pets/cat/1.png", sparse=0, **pax):
    """A header block (and one of pax records before it) that claims a size."""
    item = tarfile.TarInfo(name)
    item.type, item.pax_headers = kind, {key.replace("_", "."): value for key, value in pax.items()}
    block = bytearray(item.tobuf(tarfile.PAX_FORMAT))
    field = b"%011o\0" % claimed if 0 <= claimed < 8**11 else base256(claimed)
    block[-512 + 124 : -512 + 136] = field
    if sparse:
        block[-512 + 483 : -512 + 495] = b"%011o\0" % sparse  # its size with its holes
    block[-512 + 148 : -512 + 156] = b"        "
    block[-512 + 148 : -512 + 156] = b"%06o\0 " % sum(block[-512:])
    return bytes(block)


@pytest.mark.parametrize(
    "header",
    [
        header_with(2**50),
        header_with(2**29),
        header_with(-512),
        header_with(-(2**40)),
        header_with(0, GNU_sparse_major="0", GNU_sparse_minor="1", GNU_sparse_map="0,0", GNU_sparse_size=str(2**50)),
        header_with(0, size="-512"),
        header_with(0, size="9" * 4000),
        header_with(2**40, tarfile.XHDTYPE),
        header_with(2**28 + 512, tarfile.GNUTYPE_LONGNAME),
        header_with(512, tarfile.GNUTYPE_SPARSE, sparse=8**11 - 1),
    ],
)
def test_sizes_that_are_not_there(tmp_path, header):
    path = tar(tmp_path)
    end = path.read_bytes().rstrip(b"\0")
    end += bytes(-len(end) % 512)
    path.write_bytes(end + header + bytes(10240))
    begin = time.process_time()
    with pytest.raises(InputError, match="not a whole tar archive"):
        members(path)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("where", ["between", "behind"])
def test_archives_that_unpack_to_far_more_than_their_size(tmp_path, monkeypatch, mode, where):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    zeros = bytes(2**22)
    path = tar(tmp_path, ("zeros", zeros, {}), mode=mode)
    if where == "behind":
        path = tar(tmp_path, mode=mode)
        opener = next(opener for magic, opener in archives._OPENERS.items() if path.read_bytes().startswith(magic))
        with opener(path, "ab") as file:
            file.write(zeros)
    with pytest.raises(InputError, match="unpacks to more than 100 times its size"):
        members(path)


@pytest.mark.parametrize(
    "content",
    [
        npy((10**15,), content=b"few"),
        npy((2**62, 2**62), content=b"few"),
        npy((-1, -5), content=b"12345"),
        npy((2,), "|O", pickle.dumps([1, 2])),
        npy((5,), content=b"1234"),
        npy((5,), content=b"123456"),
        npy((5,), content=b"12345", version=(2, 0)),
        npy("(" * 5000),
        npy((1,), [("a", "|u1"), ("a", "|u1")], b"12"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"{" * 1000,
        b"",
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path, content):
    with pytest.raises(InputError, match="not a readable .npz"):
        arrays(npz(tmp_path, images=content, labels=npy((1,), content=b"1")))


class Canary:
    """What unpickles to a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_pickle_is_loaded(tmp_path):
    canary = tmp_path / "was_here"
    bomb = pickle.dumps(Canary(canary))
    for content in (bomb, npy((1,), "|O", bomb)):
        with pytest.raises(InputError):
            arrays(npz(tmp_path, images=content, labels=content))
        (tmp_path / "bare.npz").write_bytes(content)
        with pytest.raises(InputError):
            arrays(tmp_path / "bare.npz")
    assert not canary.exists()
    pickle.loads(bomb).close()
    assert canary.exists()  # it would have worked


def test_arrays_larger_than_the_memory(tmp_path, monkeypatch):
    path = npz(tmp_path, images=npy((2**20,), content=bytes(2**20)), labels=npy((1,), content=b"1"))
    assert set(arrays(path)) == {"images", "labels"}
    assert path.stat().st_size < 5000
    monkeypatch.setattr(validation, "memory", lambda: 2**20 - 1)
    with pytest.raises(InputError, match="more than this machine's memory"):
        arrays(path)


def test_a_bare_array_and_an_encrypted_file(tmp_path):
    np.save(tmp_path / "bare.npy", np.zeros(3))
    with pytest.raises(InputError, match="not a readable"):
        arrays(tmp_path / "bare.npy")
    path = npz(tmp_path, images=npy((1,), content=b"1"), labels=npy((1,), content=b"1"))
    locked = path.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    path.write_bytes(locked)
    with pytest.raises(InputError, match="not a readable"):
        arrays(path)


@pytest.mark.parametrize(
    "content",
    [
        png(50_000, 50_000),
        png(2**31 - 1, 2**31 - 1),
        png(100_000, 1_000),  # above the warning of Pillow, below its error
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b"GIF89a",
        b"P6\n50000 50000\n255\n" + bytes(100),
        b"P6\n-3 2\n255\n" + bytes(100),
        b"BM" + bytes(60),
    ],
)
def test_images_that_are_too_large_or_not_decoded_here(content):
    begin = time.process_time()
    with pytest.raises(InputError, match="not a readable image"):
        archives.picture("here", content, grey=False, size=None)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(("mode", "suffix"), [("I;16", "PNG"), ("I", "TIFF"), ("F", "TIFF")])
def test_images_of_more_than_8_bits_are_not_cut_off(mode, suffix):
    content = io.BytesIO()
    Image.new(mode, (4, 4), 300).save(content, suffix)
    with pytest.raises(InputError, match="convert them to 8 bits a channel"):
        archives.picture("here", content.getvalue(), grey=True, size=None)


def test_images_that_take_more_than_the_memory(tmp_path, monkeypatch):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number, 20 * number, 5 + number)).save(
                tmp_path / "pets" / label / f"{number}.png"
            )
    settings = {"kind": "folder", "path": "pets"}
    monkeypatch.setattr(validation, "memory", lambda: 2 * 10 * 8 * 8 * 3)  # and as much again to write them
    assert loaders.load("x", settings, root=tmp_path, download=False).shape == (3, 8, 8)
    monkeypatch.setattr(validation, "memory", lambda: 2 * 10 * 8 * 8 * 3 - 1)
    with pytest.raises(InputError, match=r"more than this machine's memory; set a smaller datasets.sources.x.size"):
        loaders.load("x", settings, root=tmp_path, download=False)


def test_what_is_no_tar_or_no_npz_is_called_by_its_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        file.writestr("pets/cat/0.png", png())
    with pytest.raises(InputError, match="is a zip archive; unpack it and give the path of the folder"):
        members(tmp_path / "pets.zip")
    with pytest.raises(InputError, match="is a zip archive of other files than arrays, such as 'pets/cat/0.png'"):
        arrays(tmp_path / "pets.zip")
    (tmp_path / "pets.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(2000))
    with pytest.raises(InputError, match="not a whole tar archive, packed by gzip, bzip2, xz or not at all"):
        members(tmp_path / "pets.7z")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_a_file_that_cannot_be_read_at_the_moment_is_not_called_damaged(tmp_path, monkeypatch, number):
    made = tar(tmp_path), npz(tmp_path, images=npy((1,), content=b"1"), labels=npy((1,), content=b"1"))

    def fail(*arguments, **more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archives.tarfile, "open", fail)
    monkeypatch.setattr(archives.zipfile, "ZipFile", fail)
    for read, path in zip((members, arrays), made, strict=True):
        with pytest.raises(InputError, match=rf"here cannot be read \({os.strerror(number)}\)"):
            read(path)
