"""Files of images from outside, tar archives and .npz: read in memory, unpacked to disk never, and bounded in memory and time."""

import bz2
import errno
import gzip
import io
import lzma
import math
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.config import validation
from sgdtails.errors import InputError
from sgdtails.io import folders

LARGEST_FILE = 2**28  # bytes of one file in an archive
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
ALLOWED = 100  # times its size that an archive may unpack to ...
ALWAYS_ALLOWED = 2**30  # ... or so many bytes


def tar_names(where: str, path: Path) -> list[str]:
    """Names of what is in a tar archive, packed by gzip, bzip2, xz or not at all; of folders with a slash at the end.

    InputError for an archive that is damaged or cut off, or unpacks to far more than its size, and for an image in it that is
    no file, or lies outside of it.
    """
    names = []
    with _refusing(where):
        for _, item in _items(where, path):
            member = PurePosixPath(item.name)
            if folders.is_image(member) and not item.isdir():
                _check(where, item, member)
            names.append(f"{item.name}/" if item.isdir() else item.name)
    return names


def tar_members(where: str, path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Contents of the files with these names in a tar archive, one after the other as they lie there; errors as of ``tar_names``."""
    with _refusing(where):
        for archive, item in _items(where, path):
            name = str(PurePosixPath(item.name))
            if name in names and not item.isdir():
                _check(where, item, PurePosixPath(name))
                yield name, _content(archive, item)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """One sentence in place of whatever tarfile and the decompressors raise in a damaged archive."""
    try:
        yield
    except (MemoryError, InputError):
        raise
    except Exception as error:
        _check_access(where, error)
        raise InputError(
            f"{where} is not a whole tar archive, packed by gzip, bzip2, xz or not at all ({validation.reason(error)}); fetch it again, or pack it so."
        ) from error


def _check_access(where: str, error: Exception) -> None:
    """InputError for a file that cannot be read at the moment, which says nothing about what is in it."""
    if isinstance(error, OSError) and error.errno not in (
        None,
        errno.EINVAL,
    ):  # these are of decompressors and of seeks
        raise InputError(
            f"{where} cannot be read ({validation.reason(error)}); grant access or mend that, then run again."
        ) from error


def _items(where: str, path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with _unpacked(where, path) as file, tarfile.open(fileobj=_Bounded(file, path), mode="r:") as archive:  # type: ignore[call-overload]
        end = 0
        for item in archive:
            if archive.offset <= end or item.size < 0:
                raise tarfile.ReadError("a file in it has a negative size")
            end = archive.offset
            yield archive, item
        _check_end(archive)


def _unpacked(where: str, path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PK\x03\x04"):
        raise InputError(
            f"{where} is a zip archive; unpack it and give the path of the folder, or of a tar of it (of an .npz file, set kind: npz)."
        )
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)(path, "rb")


def _check(where: str, item: tarfile.TarInfo, member: PurePosixPath) -> None:
    if not item.isreg():
        raise InputError(
            f"{where}: {str(member)!r} in it is a link or a device; pack it again with files in place of links (tar --dereference)."
        )
    if member.is_absolute() or ".." in member.parts:
        raise InputError(
            f"{where}: the name {str(member)!r} in it leads outside of itself; pack it again from within its folder."
        )
    if item.size > LARGEST_FILE:
        raise tarfile.ReadError(f"{str(member)!r} in it claims {item.size:,} bytes")


def _content(archive: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(item).read()  # type: ignore[union-attr]
    if len(content) != item.size:
        raise tarfile.ReadError("it ends too early")
    return content


def _check_end(archive: tarfile.TarFile) -> None:
    """ReadError or EOFError for an archive that was cut off: tarfile takes a cut before a header for the end."""
    file: Any = archive.fileobj
    file.seek(archive.offset)
    first = file.read(tarfile.BLOCKSIZE)
    if len(first) < tarfile.BLOCKSIZE or any(first):
        raise tarfile.ReadError("it ends too early")
    while file.read(2**20):  # to the end, where compressed files have their checksum
        pass


class _Bounded:
    """A file that refuses to be read further than an honest archive reaches."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._end = file, max(ALWAYS_ALLOWED, ALLOWED * path.stat().st_size)
        self.tell = file.tell

    def seek(self, position: int) -> int:
        self._check(position)
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_FILE:
            raise tarfile.ReadError(f"something in it claims {size:,} bytes")
        self._check(self._file.tell() + size)
        return self._file.read(size)

    def _check(self, position: int) -> None:
        if not 0 <= position <= self._end:
            raise tarfile.ReadError(f"it unpacks to more than {ALLOWED} times its size")


def npz_arrays(where: str, path: Path, choices: Sequence[Sequence[str]]) -> dict[str, NDArray]:
    """Arrays of an .npz file by name: the first of ``choices`` whose names it has. Other arrays are not looked at.

    InputError for a damaged file, one that has none of the choices, objects, or arrays larger than what stands there.
    """
    try:
        with zipfile.ZipFile(path) as file:
            files = file.namelist()
            names = sorted(name.removesuffix(".npy") for name in files)
            wanted = next((choice for choice in choices if set(choice) <= set(names)), ())
            arrays = {name: _array(file, f"{name}.npy") for name in wanted}
    except MemoryError:
        raise
    except Exception as error:  # zipfile and numpy raise whatever they meet in a damaged file
        _check_access(where, error)
        raise InputError(
            f"{where} is not a readable .npz file ({validation.reason(error)}); write it again with numpy.savez."
        ) from error
    if names and not any(name.endswith(".npy") for name in files):
        raise InputError(
            f"{where} is a zip archive of other files than arrays, such as {files[0]!r:.100}; of images, unpack it and set kind: folder."
        )
    if not arrays:
        needed = ", or ".join(" and ".join(choice) for choice in reversed(choices))
        raise InputError(f"{where} has the arrays {names!s:.200}; it needs {needed}.")
    return arrays


def _array(file: zipfile.ZipFile, name: str) -> NDArray:
    item = file.getinfo(name)
    with file.open(item) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):  # what numpy writes but for thousands of named fields
            raise ValueError(f"{name} is not of .npy version 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or dtype.hasobject or size != item.file_size - stream.tell():
            raise ValueError(f"{name} declares {dtype} of shape {shape}, which is not what stands there")
        if size > validation.memory():
            raise ValueError(f"{name} has {size:,} bytes, more than this machine's memory")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def picture(where: str, content: bytes, *, grey: bool, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """An image file as (channels, height, width) uint8, resized to ``size`` (height, width). InputError if it cannot be read."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Only formats that Pillow decodes itself: it would start Ghostscript for PostScript under another name.
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")) as file:
                if file.mode[0] in "IF":  # whole numbers of 16 or 32 bits, or floats: Pillow would cut them off at 255
                    raise ValueError(f"its pixels are of Pillow's mode {file.mode}; convert them to 8 bits a channel")
                image = file.convert("L" if grey else "RGB")
            if size and image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they meet in a damaged image
        raise InputError(
            f"{where} is not a readable image ({validation.reason(error)}); remove or replace it."
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
