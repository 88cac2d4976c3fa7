"""Where images come from: torchvision's MNIST and CIFAR10, scikit-learn's digits, image folders and .npz files."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdtails.config import source_settings, validation
from sgdtails.data import contents, public_datasets
from sgdtails.data.datasets import Dataset
from sgdtails.errors import InputError
from sgdtails.io import archives, folders

COPIES = 2  # of a dataset that are in memory when it is written and read back
SPLIT_SEED = 0  # of datasets that have no split of their own


class Raw(NamedTuple):
    """Both splits as they are, (N, channels, height, width) uint8, and the names of the classes."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


def load(name: str, settings: Mapping[str, Any], *, root: str | Path, download: bool) -> Dataset:
    """The dataset described by one entry of ``datasets.sources``; InputError if its files are missing or wrong."""
    source_settings.check(name, settings)
    raw = _read(name, settings, root=validation.expanded(root, "config key datasets.root"), download=download)
    raw = _relabelled(_reduced(name, raw, settings.get("train_size")), settings.get("label_noise", 0.0))
    if raw.train_images.size == 0 or raw.test_images.size == 0:
        raise InputError(
            f"dataset {name!r}: the training or the test split is empty; give both, or one set to be split by test_fraction."
        )
    return Dataset(*raw, *_constants(name, raw.train_images, settings))


def _constants(
    name: str, images: NDArray[np.uint8], settings: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels/255 per channel: those given, else those of the training images."""
    counts = _histograms(images)
    if (values := np.flatnonzero(counts.any(axis=0))).size == 1:
        raise InputError(
            f"dataset {name!r}: every pixel of every training image has the value {values[0]}; look at how they were made."
        )
    pixels, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ pixels / total
    std = np.sqrt((counts * (pixels - mean[:, None]) ** 2).sum(axis=1) / total)
    constant = (counts > 0).sum(axis=1) == 1  # whose deviation may be a rounding error in place of 0
    if "std" not in settings and constant.any():
        raise InputError(
            f"dataset {name!r}: channel {constant.argmax()} has the same value in every training image, so there is no standard deviation to divide by; leave that channel out, or set datasets.sources.{name}.std."
        )
    mean, std = settings.get("mean", mean.tolist()), settings.get("std", std.tolist())
    channels = images.shape[1]
    if len(mean) != channels or len(std) != channels:
        raise InputError(
            f"dataset {name!r}: mean and std need {channels} value(s), one per channel; got {mean} and {std}."
        )
    return tuple(mean), tuple(std)


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each channel has each value, (channels, 256); in parts, whose copies are small."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    part = max(1, 2**22 // math.prod(images.shape[2:]))
    for first in range(0, len(images), part):
        for channel, count in enumerate(counts):
            count += np.bincount(images[first : first + part, channel].ravel(), minlength=256)
    return counts


def _reduced(name: str, raw: Raw, size: int | None) -> Raw:
    """With ``size`` random training images in place of all; those of a smaller size are among those of a larger one."""
    if size is None:
        return raw
    total = len(raw.train_labels)
    if size > total:
        raise InputError(
            f"config key datasets.sources.{name}.train_size is {size}; the training set has {total} images: ask for at most that."
        )
    chosen = np.sort(np.random.default_rng([SPLIT_SEED, 1]).permutation(total)[:size])
    return raw._replace(train_images=raw.train_images[chosen], train_labels=raw.train_labels[chosen])


def _relabelled(raw: Raw, share: float) -> Raw:
    """With another class, drawn uniformly, for ``share`` of the training images; those of a smaller share are among them."""
    labels, rng = raw.train_labels.copy(), np.random.default_rng([SPLIT_SEED, 2])
    shifts = rng.integers(1, len(raw.classes), len(labels))
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    labels[wrong] = (labels[wrong] + shifts[wrong]) % len(raw.classes)
    return raw._replace(train_labels=labels)


def _read(name: str, settings: Mapping[str, Any], *, root: Path, download: bool) -> Raw:
    """Dispatch on the entry's ``kind``."""
    kind = settings["kind"]
    if kind == "digits":
        return _digits(settings)
    if kind in ("mnist", "cifar10"):
        read = {"mnist": public_datasets.mnist, "cifar10": public_datasets.cifar10}[kind]
        train, test, classes = read(name, root, download=download)
        return Raw(*train, *test, classes)
    path = contents.place(settings, str(root)) if "path" in settings else None
    if path is None or (why := _absent(path)):
        raise InputError(
            f"dataset {name!r}: {f'{path} {why}' if path else 'its path does not exist'}; put the data there, or set datasets.root and datasets.sources.{name}.path."
        )
    if path.is_dir():
        contents.check_folder(name, settings, path)
    else:
        contents.check_file(name, path, settings)
    return _folder(name, path, settings) if kind == "folder" else _npz(name, path, settings)


def _absent(path: Path) -> str:
    """Why nothing can be read at a path; empty if something can."""
    try:
        path.stat()
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({validation.reason(error)})"
    return ""


def _digits(settings: Mapping[str, Any]) -> Raw:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # 0...16 to 0...255
    return _split(images, bunch.target.astype(np.int64), tuple(map(str, range(10))), settings)


def _split(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...], settings: Mapping[str, Any]
) -> Raw:
    test = _tested(labels, settings)
    return Raw(images[~test], labels[~test], images[test], labels[test], classes)


def _tested(labels: NDArray[np.int64], settings: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which images are the test set: stratified, and dependent on nothing but the labels and ``test_fraction``."""
    rng = np.random.default_rng(SPLIT_SEED)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(labels.max(initial=0) + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        test[members[: round(settings.get("test_fraction", 0.2) * len(members))]] = True
    return test


def _folder(name: str, path: Path, settings: Mapping[str, Any]) -> Raw:
    """The images of a folder or a tar, each decoded as it is read, into arrays of all of them."""
    where = f"dataset {name!r}: {path}"
    packed = not path.is_dir()
    inside = archives.tar_names(where, path) if packed else (file for file, _ in folders.walk(path))
    layout = folders.arrange(where, inside)
    for note in layout.notes:
        print(f"{where}: {note}.")
        print(f"sgdtails: {where}: {note}.", file=sys.__stderr__)
    classes = tuple(sorted({image.label for image in layout.images}))
    numbers = {label: number for number, label in enumerate(classes)}
    labels = np.array([numbers[image.label] for image in layout.images], dtype=np.int64)
    own = np.arange(len(labels)) >= len(layout.train)
    test = own if layout.test is not None else _tested(labels, settings)
    filled = _Filled(name, path, settings, test)
    places = {image.path: number for number, image in enumerate(layout.images)}
    for file, data in archives.tar_members(where, path, places) if packed else _files(where, path, places):
        filled.add(places[file], file, data)
    return Raw(filled.train, labels[~test], filled.test, labels[test], classes)


def _files(where: str, path: Path, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield file, validation.regular(path / file, where, largest=archives.LARGEST_FILE).read_bytes()


class _Filled:
    """Training and test images, whose number is known before the first is read, and their shape with the first, or by ``size``."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]

    def __init__(self, name: str, path: Path, settings: Mapping[str, Any], test: NDArray[np.bool_]) -> None:
        self._name, self._path, self._settings, self._test = name, path, settings, test
        self._places = np.where(test, np.cumsum(test), np.cumsum(~test)) - 1
        self._shape: tuple[int, ...] | None = None
        if "size" in settings:
            self._make((1 if settings.get("grey") else 3, *settings["size"]))

    def _make(self, shape: tuple[int, ...]) -> None:
        size = len(self._test) * math.prod(shape)
        if COPIES * size > validation.memory():
            raise InputError(
                f"dataset {self._name!r}: {len(self._test):,} images of {' x '.join(map(str, shape))} from {self._path} take {size:,} bytes, and as many again to be written, more than this machine's memory; set a smaller datasets.sources.{self._name}.size."
            )
        self._shape = shape
        self.train, self.test = (np.empty((int(part.sum()), *shape), np.uint8) for part in (~self._test, self._test))

    def add(self, number: int, file: str, content: bytes) -> None:
        """Decode the image of a number."""
        size = tuple(self._settings["size"]) if "size" in self._settings else None
        where = f"dataset {self._name!r}: {self._path}/{file}"
        image = archives.picture(where, content, grey=self._settings.get("grey", False), size=size)
        if self._shape is None:
            self._make(image.shape)
        if image.shape != self._shape:
            first, other = (" x ".join(map(str, shape[1:])) for shape in (self._shape, image.shape))  # type: ignore[index]
            raise InputError(
                f"{where} has {other} pixels and others have {first}; set datasets.sources.{self._name}.size, e.g. {list(self._shape[1:])}."  # type: ignore[index]
            )
        (self.test if self._test[number] else self.train)[self._places[number]] = image


def _npz(name: str, path: Path, settings: Mapping[str, Any]) -> Raw:
    """Keys images and labels, or train_images, train_labels, test_images and test_labels."""
    where = f"dataset {name!r}: {path}"
    split, whole = (
        [f"{prefix}{part}" for prefix in prefixes for part in ("images", "labels")]
        for prefixes in (("train_", "test_"), ("",))
    )
    arrays = archives.npz_arrays(where, path, (split, whole))
    prefixes = ("train_", "test_") if "images" not in arrays else ("",)
    pairs = [_checked(where, prefix, arrays[f"{prefix}images"], arrays[f"{prefix}labels"]) for prefix in prefixes]
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise InputError(f"{where}: training and test images differ in shape; they must be alike.")
    classes, pairs = _numbered(name, where, pairs, settings)
    return Raw(*pairs[0], *pairs[1], classes) if len(pairs) == 2 else _split(*pairs[0], classes, settings)


def _numbered(
    name: str, where: str, pairs: list[tuple[NDArray, NDArray]], settings: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[tuple[NDArray, NDArray]]]:
    """Names of the classes, and images with labels from 0 without gaps: as they are, or made so by ``labels: remap``."""
    found = [np.unique(labels) for _, labels in pairs]
    values = np.unique(np.concatenate(found))
    if len(values) < 2:
        raise InputError(f"{where} holds one class; it needs at least two labels.")
    if len(found[0]) < len(values):
        raise InputError(
            f"{where}: label {np.setdiff1d(values, found[0])[0]} is in test_labels and not in train_labels; give each class training images."
        )
    classes = tuple(map(str, values.tolist()))
    if values[0] == 0 and values[-1] == len(values) - 1:
        return classes, pairs
    if settings.get("labels") != "remap":
        shown = ", ".join(f"{value} as {number}" for number, value in enumerate(classes[:5])) + ", …" * (
            len(values) > 5
        )
        raise InputError(
            f"{where}: the {len(values)} labels must be 0 to {len(values) - 1}, without gaps; write {shown}, or set datasets.sources.{name}.labels: remap, which does that."
        )
    return classes, [(images, np.searchsorted(values, labels)) for images, labels in pairs]


def _checked(where: str, prefix: str, images: NDArray, labels: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{where}: {prefix}images is {images.dtype} of shape {images.shape}; it must be uint8 of shape (N, height, width) or (N, channels, height, width)."
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.max(initial=0) >= 2**63:
        raise InputError(
            f"{where}: {prefix}labels is {labels.dtype} of shape {labels.shape}; it must be {len(images)} integers from 0, one per image."
        )
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        raise InputError(
            f"{where}: {prefix}images has shape {images.shape}, with channels last; it must be (N, channels, height, width): images.transpose(0, 3, 1, 2)."
        )
    return np.ascontiguousarray(images[:, None] if images.ndim == 3 else images), labels.astype(np.int64)
