"""Datasets from folders of images, or tars of such folders, with one folder per class."""

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgdtails.config import validation
from sgdtails.data.raw_splits import COPIES, Images, RawSplits, held_out
from sgdtails.data.source import Source
from sgdtails.errors import InputError
from sgdtails.io import archives, folders


def load(source: Source, path: Path) -> RawSplits:
    """Read the images of a folder or a tar one by one, so that memory holds them once.

    Parameters
    ----------
    source : Source
        The dataset's entry in the config.
    path : Path
        The folder, or the tar.

    Returns
    -------
    RawSplits
        Its own splits if there are folders train and test, else a random test set.

    Raises
    ------
    InputError
        If the layout is not clear, a file is not an image or damaged, images differ in size, or memory does not suffice.
    """
    where = f"{source.where}: {path}"
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
    test = own if layout.test is not None else held_out(labels, source.test_fraction)
    arrays = _Arrays(source, path, test)
    places = {image.path: number for number, image in enumerate(layout.images)}
    for file, data in archives.tar_members(where, path, places) if packed else _files(where, path, places):
        arrays.add(places[file], file, data)
    return RawSplits(arrays.train, labels[~test], arrays.test, labels[test], classes)


def _files(where: str, path: Path, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield file, validation.regular(path / file, where, largest=archives.LARGEST_FILE).read_bytes()


class _Arrays:
    """Arrays for training and test images, allocated when their shape is known: from ``size``, or from the first image."""

    train: Images
    test: Images

    def __init__(self, source: Source, path: Path, test: NDArray[np.bool_]) -> None:
        self._source, self._path, self._test = source, path, test
        self._places = np.where(test, np.cumsum(test), np.cumsum(~test)) - 1
        self._shape: tuple[int, ...] | None = None
        if source.size:
            self._allocate((1 if source.grey else 3, *source.size))

    def _allocate(self, shape: tuple[int, ...]) -> None:
        size = len(self._test) * math.prod(shape)
        if COPIES * size > validation.memory():
            raise InputError(
                f"{self._source.where}: {len(self._test):,} images of {' x '.join(map(str, shape))} from {self._path} take {size:,} bytes, and as many again to be written, more than this machine's memory; set a smaller {self._source.key}.size."
            )
        self._shape = shape
        self.train, self.test = (np.empty((int(part.sum()), *shape), np.uint8) for part in (~self._test, self._test))

    def add(self, number: int, file: str, content: bytes) -> None:
        """Decode the image with this number."""
        height_width = self._source.size
        size = None if height_width is None else (height_width[0], height_width[1])
        where = f"{self._source.where}: {self._path}/{file}"
        image = archives.picture(where, content, grey=self._source.grey, size=size)
        if self._shape is None:
            self._allocate(image.shape)
        shape = self._shape or image.shape
        if image.shape != shape:
            first, other = (" x ".join(map(str, each[1:])) for each in (shape, image.shape))
            raise InputError(
                f"{where} has {other} pixels and others have {first}; set {self._source.key}.size, e.g. {list(shape[1:])}."
            )
        (self.test if self._test[number] else self.train)[self._places[number]] = image
