"""Where images come from: torchvision's MNIST and CIFAR10, scikit-learn's digits, image folders and .npz files."""

import hashlib
import io
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdtails.errors import InputError, unknown

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
SPLIT_SEED = 0  # of datasets that have no split of their own

# torchvision checks MNIST when it downloads it, but not when it finds it unpacked
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class Raw(NamedTuple):
    """Both splits as they are, (N, channels, height, width) uint8, and the names of the classes."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


def load(name: str, settings: Mapping[str, Any], *, root: Path, download: bool) -> Raw:
    """Dispatch on the entry's ``kind``."""
    kind = settings["kind"]
    if kind == "digits":
        return _digits(settings)
    if kind in ("mnist", "cifar10"):
        return _torchvision(name, kind, root, download)
    path = root / settings["path"] if "path" in settings else None
    if path is None or not path.exists():
        raise InputError(
            f"dataset {name!r}: {path or 'its path'} does not exist; put the data there, or set datasets.root and datasets.sources.{name}.path."
        )
    if kind == "folder":
        return _folder(name, path, settings)
    if kind == "npz":
        return _npz(name, path, settings)
    raise unknown("kind", kind, f"config key datasets.sources.{name}", ("mnist", "cifar10", "digits", "folder", "npz"))


def _digits(settings: Mapping[str, Any]) -> Raw:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # 0...16 to 0...255
    return _split(images, bunch.target.astype(np.int64), tuple(map(str, range(10))), settings)


def _torchvision(name: str, kind: str, root: Path, download: bool) -> Raw:
    from torchvision import datasets

    constructor = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[kind]
    if kind == "mnist":
        _check_mnist(name, root)
    try:
        try:
            train, test = (constructor(root, train=part) for part in (True, False))
        except RuntimeError:  # not there
            if not download:
                raise
            train, test = (constructor(root, train=part, download=True) for part in (True, False))
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"dataset {name!r}: not found whole under datasets.root = {root} ({reason}); put the files there in torchvision's layout, or set datasets.download: true where the network allows it."
        ) from error
    return Raw(*_arrays(train), *_arrays(test), tuple(train.classes))


def _check_mnist(name: str, root: Path) -> None:
    for file, expected in _MNIST_MD5.items():
        path = root / "MNIST" / "raw" / file
        if path.exists() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != expected:
            raise InputError(
                f"dataset {name!r}: {path} is damaged (its MD5 is not {expected}); delete it, or fetch it again."
            )


def _arrays(dataset: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), np.asarray(dataset.targets, dtype=np.int64)


def _split(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...], settings: Mapping[str, Any]
) -> Raw:
    """A stratified split that depends on nothing but the labels and ``test_fraction``."""
    rng = np.random.default_rng(SPLIT_SEED)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(len(classes)):
        members = rng.permutation(np.flatnonzero(labels == label))
        test[members[: round(settings.get("test_fraction", 0.2) * len(members))]] = True
    return Raw(images[~test], labels[~test], images[test], labels[test], classes)


def _folder(name: str, path: Path, settings: Mapping[str, Any]) -> Raw:
    """torchvision's ImageFolder layout, [train|test/]class/image, as a folder or a tar of one."""
    found: dict[str, list[tuple[str, NDArray[np.uint8]]]] = {"train": [], "test": [], "": []}
    for member, content in sorted(_members(name, path), key=lambda pair: pair[0]):
        split = member.parts[-3] if len(member.parts) > 2 and member.parts[-3] in ("train", "test") else ""
        found[split].append((member.parts[-2], _decode(f"dataset {name!r}: {path}/{member}", content, settings)))
    classes = tuple(sorted({label for part in found.values() for label, _ in part}))
    if len(classes) < 2:
        raise InputError(
            f"dataset {name!r}: {path} holds {len(classes)} class(es); an image folder needs at least two, one subfolder each."
        )
    if found["train"] and found["test"]:
        train, test = (_stack(name, path, found[part], classes) for part in ("train", "test"))
        return Raw(*train, *test, classes)
    return _split(*_stack(name, path, [pair for part in found.values() for pair in part], classes), classes, settings)


def _members(name: str, path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if path.is_dir():
        for file in path.rglob("*"):
            if file.suffix.lower() in IMAGE_SUFFIXES and len(file.relative_to(path).parts) > 1:
                yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()
        return
    try:
        with tarfile.open(path, "r:*") as archive:  # read in memory: nothing is unpacked to disk
            for item in archive:
                member = PurePosixPath(item.name)
                if item.isfile() and member.suffix.lower() in IMAGE_SUFFIXES and len(member.parts) > 1:
                    yield member, archive.extractfile(item).read()  # type: ignore[union-attr]
            _check_end(archive)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"dataset {name!r}: {path} is not a whole tar archive ({error}); fetch it again.") from error


def _check_end(archive: tarfile.TarFile) -> None:
    """ReadError or EOFError for an archive that was cut off: tarfile takes a cut before a header for the end."""
    file: Any = archive.fileobj
    file.seek(archive.offset)
    rest = file.read()  # to the end, where compressed files have their checksum
    if len(rest) < tarfile.BLOCKSIZE or any(rest[: tarfile.BLOCKSIZE]):
        raise tarfile.ReadError("it ends too early")


def _decode(where: str, content: bytes, settings: Mapping[str, Any]) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as file:
            image = file.convert("L" if settings.get("grey", False) else "RGB")
            if "size" in settings and image.size != (settings["size"][1], settings["size"][0]):
                image = image.resize((settings["size"][1], settings["size"][0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{where} is not a readable image ({error}); remove or replace it.") from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _stack(
    name: str, path: Path, pairs: list[tuple[str, NDArray[np.uint8]]], classes: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    sizes = Counter(image.shape[1:] for _, image in pairs)
    if len(sizes) > 1:
        (height, width), _ = sizes.most_common(1)[0]
        raise InputError(
            f"dataset {name!r}: the images in {path} have {len(sizes)} sizes; set datasets.sources.{name}.size, e.g. [{height}, {width}]."
        )
    index = {label: number for number, label in enumerate(classes)}
    return np.stack([image for _, image in pairs]), np.array([index[label] for label, _ in pairs], dtype=np.int64)


def _npz(name: str, path: Path, settings: Mapping[str, Any]) -> Raw:
    """Keys images and labels, or train_images, train_labels, test_images and test_labels."""
    where = f"dataset {name!r}: {path}"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{where} is not a readable .npz file ({error}); write it again with numpy.savez.") from error
    for prefixes in (("train_", "test_"), ("",)):
        if all(f"{prefix}{part}" in arrays for prefix in prefixes for part in ("images", "labels")):
            break
    else:
        raise InputError(
            f"{where} has the arrays {sorted(arrays)}; it needs images and labels, or train_images, train_labels, test_images and test_labels."
        )
    pairs = [_checked(where, prefix, arrays[f"{prefix}images"], arrays[f"{prefix}labels"]) for prefix in prefixes]
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise InputError(f"{where}: training and test images differ in shape; they must be alike.")
    classes = tuple(map(str, range(int(max(labels.max(initial=0) for _, labels in pairs)) + 1)))
    if len(classes) < 2:
        raise InputError(f"{where} holds one class; it needs labels from 0 to at least 1.")
    return Raw(*pairs[0], *pairs[1], classes) if len(pairs) == 2 else _split(*pairs[0], classes, settings)


def _checked(where: str, prefix: str, images: NDArray, labels: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{where}: {prefix}images is {images.dtype} of shape {images.shape}; it must be uint8 of shape (N, height, width) or (N, channels, height, width)."
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise InputError(
            f"{where}: {prefix}labels is {labels.dtype} of shape {labels.shape}; it must be {len(images)} integers from 0, one per image."
        )
    return np.ascontiguousarray(images[:, None] if images.ndim == 3 else images), labels.astype(np.int64)
