"""Images of all datasets that the config can name: MNIST, CIFAR10, scikit-learn's digits, image folders and .npz files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.config import source_settings, validation
from sgdtails.data import contents, image_folders, npz_files, public_datasets
from sgdtails.data.datasets import Dataset
from sgdtails.data.raw_splits import SPLIT_SEED, Images, RawSplits, split
from sgdtails.data.source import Source
from sgdtails.errors import InputError


def load(name: str, settings: Mapping[str, Any], *, root: str | Path, download: bool) -> Dataset:
    """Load the dataset of an entry of ``datasets.sources``.

    Parameters
    ----------
    name : str
        Name of the dataset.
    settings : mapping
        Its entry in ``datasets.sources``.
    root : str or Path
        Config key ``datasets.root``: the folder of all datasets.
    download : bool
        Whether files of MNIST and CIFAR10 may be fetched.

    Returns
    -------
    Dataset
        Both splits, and the constants that normalise them.

    Raises
    ------
    InputError
        If files are missing or wrong, or settings do not fit them.

    Examples
    --------
    >>> digits = load("digits", {"kind": "digits", "train_size": 100}, root=".", download=False)
    >>> digits.train_images.shape, digits.train_images.dtype
    ((100, 1, 8, 8), dtype('uint8'))
    """
    source_settings.check(name, settings)
    source = Source.from_config(name, settings)
    raw = _read(source, root=validation.expanded(root, "config key datasets.root"), download=download)
    raw = _relabelled(_reduced(source, raw), source.label_noise)
    if raw.train_images.size == 0 or raw.test_images.size == 0:
        raise InputError(
            f"{source.where}: the training or the test split is empty; give both, or one set to be split by test_fraction."
        )
    return Dataset(*raw, *_constants(source, raw.train_images))


def _constants(source: Source, images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of pixels/255 per channel: those given, else those of the training images."""
    counts = _histograms(images)
    if (values := np.flatnonzero(counts.any(axis=0))).size == 1:
        raise InputError(
            f"{source.where}: every pixel of every training image has the value {values[0]}; look at how they were made."
        )
    pixels, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ pixels / total
    std = np.sqrt((counts * (pixels - mean[:, None]) ** 2).sum(axis=1) / total)
    constant = (counts > 0).sum(axis=1) == 1  # their deviation may be a rounding error instead of 0
    if source.std is None and constant.any():
        raise InputError(
            f"{source.where}: channel {constant.argmax()} has the same value in every training image, so there is no standard deviation to divide by; leave that channel out, or set {source.key}.std."
        )
    means, stds = source.mean or tuple(mean.tolist()), source.std or tuple(std.tolist())
    channels = images.shape[1]
    if len(means) != channels or len(stds) != channels:
        raise InputError(
            f"{source.where}: mean and std need {channels} value(s), one per channel; got {list(means)} and {list(stds)}."
        )
    return means, stds


def _histograms(images: Images) -> NDArray[np.int64]:
    """Count the values of each channel, (channels, 256), in parts whose copies are small."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    part = max(1, 2**22 // math.prod(images.shape[2:]))
    for first in range(0, len(images), part):
        for channel, count in enumerate(counts):
            count += np.bincount(images[first : first + part, channel].ravel(), minlength=256)
    return counts


def _reduced(source: Source, raw: RawSplits) -> RawSplits:
    """Choose ``train_size`` training images at random. A larger size chooses those of a smaller one, too."""
    size = source.train_size
    if size is None:
        return raw
    total = len(raw.train_labels)
    if size > total:
        raise InputError(
            f"config key {source.key}.train_size is {size}; the training set has {total} images: ask for at most that."
        )
    chosen = np.sort(np.random.default_rng([SPLIT_SEED, 1]).permutation(total)[:size])
    return raw._replace(train_images=raw.train_images[chosen], train_labels=raw.train_labels[chosen])


def _relabelled(raw: RawSplits, share: float) -> RawSplits:
    """Give a share of the training images another label, drawn uniformly. A larger share changes those of a smaller one, too."""
    labels, rng = raw.train_labels.copy(), np.random.default_rng([SPLIT_SEED, 2])
    shifts = rng.integers(1, len(raw.classes), len(labels))
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    labels[wrong] = (labels[wrong] + shifts[wrong]) % len(raw.classes)
    return raw._replace(train_labels=labels)


def _read(source: Source, *, root: Path, download: bool) -> RawSplits:
    if source.kind == "digits":
        return _digits(source)
    if source.kind in ("mnist", "cifar10"):
        read = {"mnist": public_datasets.mnist, "cifar10": public_datasets.cifar10}[source.kind]
        train, test, classes = read(source.name, root, download=download)
        return RawSplits(*train, *test, classes)
    path = source.place(root) if source.path is not None else None
    if path is None or (why := _absent(path)):
        raise InputError(
            f"{source.where}: {f'{path} {why}' if path else 'its path does not exist'}; put the data there, or set datasets.root and {source.key}.path."
        )
    if path.is_dir():
        contents.check_folder(source, path)
    else:
        contents.check_file(source, path)
    return image_folders.load(source, path) if source.kind == "folder" else npz_files.load(source, path)


def _absent(path: Path) -> str:
    """Return why nothing can be read at a path; an empty string if something can."""
    try:
        path.stat()
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({validation.reason(error)})"
    return ""


def _digits(source: Source) -> RawSplits:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # 0...16 to 0...255
    return split(images, bunch.target.astype(np.int64), tuple(map(str, range(10))), source.test_fraction)
