"""Datasets from .npz files of numpy arrays."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.data.raw_splits import Images, Labels, RawSplits, split
from sgdtails.data.source import Source
from sgdtails.errors import InputError
from sgdtails.io import archives

Pair = tuple[Images, Labels]


def load(source: Source, path: Path) -> RawSplits:
    """Read an .npz file.

    Parameters
    ----------
    source : Source
        The dataset's entry in the config.
    path : Path
        The file, with keys images and labels, or train_images, train_labels, test_images and test_labels.

    Returns
    -------
    RawSplits
        Its own splits, or a random test set.

    Raises
    ------
    InputError
        If the file is damaged, or images and labels are not such as a dataset can be made from.
    """
    where = f"{source.where}: {path}"
    both, whole = (
        [f"{prefix}{part}" for prefix in prefixes for part in ("images", "labels")]
        for prefixes in (("train_", "test_"), ("",))
    )
    arrays = archives.npz_arrays(where, path, (both, whole))
    prefixes = ("train_", "test_") if "images" not in arrays else ("",)
    pairs = [_checked(where, prefix, arrays[f"{prefix}images"], arrays[f"{prefix}labels"]) for prefix in prefixes]
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise InputError(f"{where}: training and test images differ in shape; they must be alike.")
    classes, pairs = _numbered(source, where, pairs)
    if len(pairs) == 1:
        return split(*pairs[0], classes, source.test_fraction)
    return RawSplits(*pairs[0], *pairs[1], classes)


def _numbered(source: Source, where: str, pairs: list[Pair]) -> tuple[tuple[str, ...], list[Pair]]:
    """Return names of the classes, and images with labels from 0 without gaps: as given, or numbered by ``labels: remap``."""
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
    if source.labels != "remap":
        more = ", …" if len(values) > 5 else ""
        shown = ", ".join(f"{value} as {number}" for number, value in enumerate(classes[:5])) + more
        raise InputError(
            f"{where}: the {len(values)} labels must be 0 to {len(values) - 1}, without gaps; write {shown}, or set {source.key}.labels: remap, which does that."
        )
    return classes, [(images, np.searchsorted(values, labels)) for images, labels in pairs]


def _checked(where: str, prefix: str, images: NDArray[Any], labels: NDArray[Any]) -> Pair:
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
