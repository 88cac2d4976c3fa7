"""Where images come from: torchvision's MNIST and CIFAR10, scikit-learn's digits, image folders and .npz files."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdtails import archives, inputs, public_datasets
from sgdtails.data import Dataset
from sgdtails.errors import InputError, unknown

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
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
    raw = _read(name, settings, root=Path(root), download=download)
    raw = _relabelled(_reduced(name, raw, settings.get("train_size")), settings.get("label_noise", 0.0))
    if raw.train_images.size == 0 or raw.test_images.size == 0:
        raise InputError(
            f"dataset {name!r}: the training or the test split is empty; give both, or one set to be split by test_fraction."
        )
    channels = raw.train_images.shape[1]
    mean, std = settings.get("mean"), settings.get("std")
    if mean is None or std is None:
        pixels = raw.train_images.astype(np.float64) / 255
        mean = pixels.mean(axis=(0, 2, 3)).tolist() if mean is None else mean
        std = pixels.std(axis=(0, 2, 3)).tolist() if std is None else std
    if len(mean) != channels or len(std) != channels or not all(s > 0 for s in std):
        raise InputError(
            f"dataset {name!r}: mean and std need {channels} value(s), one per channel, and std above 0; got {mean} and {std}."
        )
    return Dataset(*raw, mean=tuple(mean), std=tuple(std))


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
    path = root / settings["path"] if "path" in settings else None
    if path is None or not os.path.exists(path):  # noqa: PTH110 (false for any path, where Path's own raises for long ones)
        raise InputError(
            f"dataset {name!r}: {path or 'its path'} does not exist; put the data there, or set datasets.root and datasets.sources.{name}.path."
        )
    if "sha256" in settings:
        _check_digest(name, path, settings["sha256"])
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
    room = inputs.memory()
    for member, content in sorted(_members(name, path), key=lambda pair: pair[0]):
        if len(member.parts) < 2:
            continue  # no class
        split = member.parts[-3] if len(member.parts) > 2 and member.parts[-3] in ("train", "test") else ""
        image = _decode(f"dataset {name!r}: {path}/{member}", content, settings)
        room -= image.size
        if room < 0:
            raise InputError(
                f"dataset {name!r}: the images in {path} take more than this machine's memory; set a smaller datasets.sources.{name}.size."
            )
        found[split].append((member.parts[-2], image))
    if found[""] and (found["train"] or found["test"]):
        raise InputError(
            f"dataset {name!r}: {path} holds images below train or test and others that are not, such as of class {found[''][0][0]!r}; keep those of one layout."
        )
    classes = tuple(sorted({label for part in found.values() for label, _ in part}))
    if len(classes) < 2:
        raise InputError(
            f"dataset {name!r}: {path} holds {len(classes)} class(es); an image folder needs at least two, one subfolder each."
        )
    if found["train"] and found["test"]:
        train, test = (_stack(name, path, found[part], classes) for part in ("train", "test"))
        return Raw(*train, *test, classes)
    return _split(*_stack(name, path, [pair for part in found.values() for pair in part], classes), classes, settings)


def _check_digest(name: str, path: Path, expected: str) -> None:
    with inputs.regular(path, f"dataset {name!r}").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise InputError(
            f"dataset {name!r}: the SHA-256 of {path} is {found}, not {expected} as config key datasets.sources.{name}.sha256 says; fetch it again, or correct the key."
        )


def _members(name: str, path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    where = f"dataset {name!r}: {path}"
    if not path.is_dir():
        yield from archives.tar_members(where, inputs.regular(path, f"dataset {name!r}"), IMAGE_SUFFIXES)
        return
    for file in path.rglob("*"):
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir():
            whole = inputs.regular(file, f"dataset {name!r}", largest=archives.LARGEST_FILE)
            yield PurePosixPath(file.relative_to(path).as_posix()), whole.read_bytes()


def _decode(where: str, content: bytes, settings: Mapping[str, Any]) -> NDArray[np.uint8]:
    size = tuple(settings["size"]) if "size" in settings else None
    return archives.picture(where, content, grey=settings.get("grey", False), size=size)


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
    split, whole = (
        [f"{prefix}{part}" for prefix in prefixes for part in ("images", "labels")]
        for prefixes in (("train_", "test_"), ("",))
    )
    arrays = archives.npz_arrays(where, inputs.regular(path, f"dataset {name!r}"), (split, whole))
    prefixes = ("train_", "test_") if "images" not in arrays else ("",)
    pairs = [_checked(where, prefix, arrays[f"{prefix}images"], arrays[f"{prefix}labels"]) for prefix in prefixes]
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise InputError(f"{where}: training and test images differ in shape; they must be alike.")
    largest = max(int(labels.max(initial=0)) for _, labels in pairs)
    if largest < 1:
        raise InputError(f"{where} holds one class; it needs labels from 0 to at least 1.")
    if largest >= sum(len(labels) for _, labels in pairs):
        raise InputError(f"{where} has a label {largest}, and fewer images than that; number the classes from 0.")
    classes = tuple(map(str, range(largest + 1)))
    return Raw(*pairs[0], *pairs[1], classes) if len(pairs) == 2 else _split(*pairs[0], classes, settings)


def _checked(where: str, prefix: str, images: NDArray, labels: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{where}: {prefix}images is {images.dtype} of shape {images.shape}; it must be uint8 of shape (N, height, width) or (N, channels, height, width)."
        )
    if (
        labels.shape != images.shape[:1]
        or labels.dtype.kind not in "iu"
        or labels.min(initial=0) < 0
        or labels.max(initial=0) >= 2**63
    ):
        raise InputError(
            f"{where}: {prefix}labels is {labels.dtype} of shape {labels.shape}; it must be {len(images)} integers from 0, one per image."
        )
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        raise InputError(
            f"{where}: {prefix}images has shape {images.shape}, with channels last; it must be (N, channels, height, width): images.transpose(0, 3, 1, 2)."
        )
    return np.ascontiguousarray(images[:, None] if images.ndim == 3 else images), labels.astype(np.int64)
