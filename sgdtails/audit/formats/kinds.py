"""What a file is, by its first bytes and not by its name."""

import json
import struct
import zipfile
from pathlib import Path

from sgdtails.errors import InputError

_START = 512  # bytes that are looked at
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch.save before torch 1.6, as a pickle
_WEIGHTS = "give a checkpoint, such as a .safetensors file or one of torch.save"
_AGAIN = "download it again"
# First bytes of files that hold no weights, what they are, and what to do.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "a PNG image", _WEIGHTS),
    (b"\xff\xd8\xff", "a JPEG image", _WEIGHTS),
    (b"GIF8", "a GIF image", _WEIGHTS),
    (b"%PDF", "a PDF document", _WEIGHTS),
    (b"PAR1", "a Parquet table", _WEIGHTS),
    (b"\x7fELF", "a program or a library", _WEIGHTS),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "run git lfs pull where it comes from"),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and give what is inside"),
    (b"BZh", "a bzip2 archive", "unpack it, and give what is inside"),
    (b"\xfd7zXZ", "an xz archive", "unpack it, and give what is inside"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it, and give what is inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it, and give what is inside"),
)
TORCH_ZIP, TORCHSCRIPT, TORCH_LEGACY, PICKLE = "torch zip", "torchscript", "torch legacy", "pickle"
SAFETENSORS, ONNX, GGUF, HDF5, KERAS = "safetensors", "onnx", "gguf", "hdf5", "keras"
MSGPACK, NPZ, NPY, INDEX = "msgpack", "npz", "npy", "index"
WORDS = {
    TORCH_ZIP: "a file of torch.save",
    TORCHSCRIPT: "a TorchScript archive",
    TORCH_LEGACY: "a file of torch.save before torch 1.6",
    PICKLE: "a Python pickle",
    SAFETENSORS: "a safetensors file",
    ONNX: "an ONNX model",
    GGUF: "a GGUF file",
    HDF5: "an HDF5 file",
    KERAS: "a Keras archive",
    MSGPACK: "a msgpack file",
    NPZ: "an archive of numpy arrays",
    NPY: "a numpy array",
    INDEX: "shards with an index",
}


def kind_of(path: Path, where: str) -> str:
    """Say which reader a file needs.

    Parameters
    ----------
    path : pathlib.Path
        A regular file.
    where : str
        What named it, for sentences.

    Returns
    -------
    str
        A key of ``WORDS``.

    Raises
    ------
    InputError
        For a file without weights: what it is, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
    ...     _ = file.write(b"GGUF")
    ...     _ = file.seek(0)
    ...     kind_of(Path(file.name), "example")
    'gguf'
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        raise InputError(f"{where}: {path} is empty; was it written or downloaded in full? {_sentence(_AGAIN)}")
    if start.startswith(b"PK\x03\x04"):
        return _of_zip(path, where)
    for first, kind in (
        (b"GGUF", GGUF),
        (b"\x89HDF\r\n\x1a\n", HDF5),
        (b"\x93NUMPY", NPY),
    ):
        if start.startswith(first):
            return kind
    if _LEGACY in start[:20]:
        return TORCH_LEGACY
    for first, what, advice in _OTHERS:
        if start.startswith(first):
            raise InputError(f"{where}: {path} is {what}; {advice}.")
    if start[257:262] == b"ustar":
        raise InputError(f"{where}: {path} is a tar archive; unpack it, and give what is inside.")
    if _is_safetensors(start):
        return SAFETENSORS
    if start[4:8] == b"TFL3":
        raise InputError(f"{where}: {path} is a TensorFlow Lite model, which is not read; convert it to ONNX.")
    return _of_text(path, where, start) or _of_rest(path, where, start)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _is_safetensors(start: bytes) -> bool:
    """Whether a file begins with a length and a JSON object."""
    return len(start) >= 9 and start[8:9] == b"{" and 2 <= struct.unpack("<Q", start[:8])[0] < 2**32


def _of_zip(path: Path, where: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: {path} is a zip archive that is cut off or damaged; {_AGAIN}.") from error
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return TORCHSCRIPT if "constants.pkl" in last else TORCH_ZIP
    if "model.weights.h5" in last:
        return KERAS
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    raise InputError(f"{where}: {path} is a zip archive without weights that could be read; {_WEIGHTS}.")


def _of_text(path: Path, where: str, start: bytes) -> str | None:
    """Give the index of shards; InputError for any other text, None for a binary file."""
    try:
        text = start.decode("utf-8").lstrip("\ufeff \t\r\n").lower()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return None
        text = start[: error.start].decode("utf-8").lstrip().lower()
    if any(ord(character) < 32 and character not in "\t\r\n\f" for character in text):
        return None
    if text.startswith(("<!doctype html", "<html", "<head")):
        raise InputError(f"{where}: {path} is an HTML page, perhaps an error page of a download; {_AGAIN}.")
    if text.startswith("{"):
        if _is_index(path):
            return INDEX
        raise InputError(f"{where}: {path} is JSON without the weight_map of an index; {_WEIGHTS}.")
    what = "an XML document" if text.startswith("<?xml") else "text"
    raise InputError(f"{where}: {path} is {what}; {_WEIGHTS}.")


def _is_index(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")).get("weight_map"), dict)
    except (ValueError, AttributeError, RecursionError):
        return False


def _of_rest(path: Path, where: str, start: bytes) -> str:
    """Tell formats without a magic number apart: a pickle, a map of msgpack, and the fields of an ONNX model."""
    if start[0] == 0x80 and len(start) > 1 and start[1] in (2, 3, 4, 5):
        return PICKLE
    if start[0] in (0xDE, 0xDF) or 0x81 <= start[0] <= 0x8F:
        return MSGPACK
    if start[0] == 0x08 and len(start) > 2 and start[1] < 0x20 and start[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A):
        return ONNX
    raise InputError(
        f"{where}: {path} begins with the bytes {start[:8].hex(' ')}, which no format that is read has, or it is damaged; {_WEIGHTS}."
    )
