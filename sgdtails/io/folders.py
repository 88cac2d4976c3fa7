"""Image folders as torchvision's ImageFolder reads them: find the images, their classes and splits without opening a file.

[train|test/]class/…/image, in a folder or a tar: the outermost folder is the class, however deep its images lie.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sgdtails.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})  # what systems put into folders
_SPLITS = re.compile(r"(train|training|test|testing|(val|valid|validation))([ _-]?(set|data|images))?", re.IGNORECASE)

Parts = tuple[str, ...]  # of a path


class Image(NamedTuple):
    """One image: its path below the folder, or its name in the tar, and the name of its class."""

    path: str
    label: str


class Layout(NamedTuple):
    """Images in the order of their paths (``test`` is None without a split of their own), and what there is to say about them."""

    train: tuple[Image, ...]
    test: tuple[Image, ...] | None
    notes: tuple[str, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """The images of both splits."""
        return self.train + (self.test or ())


def is_image(path: PurePosixPath) -> bool:
    """Tell if a file is read as an image: by the end of its name, unless it is hidden or a system's own.

    Examples
    --------
    >>> is_image(PurePosixPath("cat/1.PNG")), is_image(PurePosixPath("cat/._1.png"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES and _hidden(path.parts) is None


def _hidden(parts: Parts) -> str | None:
    return next((part for part in parts if (part.startswith(".") and part != "..") or part in _SYSTEM), None)


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield what is below a folder; links are followed, hidden folders are not entered.

    Parameters
    ----------
    folder
        The outermost folder.

    Yields
    ------
    path
        Below ``folder``; a folder's ends with a slash.
    status
        Of an image; None of anything else.

    Raises
    ------
    InputError
        An image is not a regular file, or a link leads back into a folder above it.
    OSError
        Something cannot be read.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        below, above = waiting.pop()
        status = os.stat(folder / below)  # noqa: PTH116 (a thousand times faster than Path's in folders of many files)
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise InputError(f"{folder / below} is a link that leads back into a folder above it; remove the link.")
        with os.scandir(folder / below) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                if entry.is_dir():
                    yield f"{path}/", None
                    if _hidden((entry.name,)) is None:
                        waiting.append((f"{path}/", above | {here}))
                elif is_image(PurePosixPath(path)):
                    yield path, _regular(folder, path)
                else:
                    yield path, None


def _regular(folder: Path, path: str) -> os.stat_result:
    try:
        status = os.stat(folder / path)  # noqa: PTH116
    except FileNotFoundError:
        raise InputError(f"{folder / path} is a link to a file that is not there; remove the link.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{folder / path} is not a regular file; remove it.")
    return status


def arrange(where: str, paths: Iterable[str]) -> Layout:
    """Divide files into splits and classes by their paths. Folders around all others are looked through.

    Parameters
    ----------
    where
        What the image folder is called in errors.
    paths
        Files, and folders with a slash at the end.

    Raises
    ------
    InputError
        It is not clear what is what, or a class has no images.

    Examples
    --------
    >>> arrange("x", ["cat/1.png", "dog/1.png"]).train[0]
    Image(path='cat/1.png', label='cat')
    """
    tree = _Tree(paths)
    base: Parts = ()
    while True:
        splits = tree.splits(base)
        if splits:
            return _by_split(where, tree, base, splits)
        inner = tree.folders(base)
        if inner and all(_split(name) for name in inner):
            raise InputError(
                f"{where}: {' and '.join(inner)} holds no folders of classes; put each image into a folder named after its class."
            )
        if len(inner) != 1 or not tree.folders((*base, inner[0])):
            break
        base = (*base, inner[0])
    images = tree.classes(where, base)
    if len({image.label for image in images}) < 2:
        raise InputError(
            f"{where} holds {len({image.label for image in images})} class(es); an image folder needs at least two, one subfolder each."
        )
    return Layout(images, None, tree.left_out(images))


def _by_split(where: str, tree: "_Tree", base: Parts, splits: Mapping[str, list[str]]) -> Layout:
    others = [name for name in tree.folders(base) if _split(name) is None and tree.holds_images((*base, name))]
    if others:
        raise InputError(
            f"{where} holds images below train or test and others that are not, such as of class {others[0]!r}; keep those of one layout."
        )
    for names in splits.values():
        if len(names) > 1:
            raise InputError(f"{where} has both {names[0]!r} and {names[1]!r}; keep one of them.")
    if "train" not in splits:
        raise InputError(f"{where} has {next(iter(splits.values()))[0]!r} and no folder train; add that.")
    found = {split: tree.classes(where, (*base, name)) for split, [name] in splits.items()}
    notes: list[str] = []
    if "val" in found and "test" in found:
        notes.append(f"{len(found.pop('val')):,} image(s) of {splits['val'][0]} are in neither set")
    elif "val" in found:
        found["test"] = found.pop("val")
        notes.append(f"the test set is {splits['val'][0]}, since there is no folder test")
    train, test = found["train"], found.get("test")
    labels = [{image.label for image in part} for part in (train, test or ())]
    if strangers := sorted(labels[1] - labels[0]):
        raise InputError(f"{where}: class {strangers[0]!r} has test images and no training images; give it some.")
    if len(labels[0]) < 2:
        raise InputError(f"{where} holds {len(labels[0])} class(es) of training images; it needs at least two.")
    if test and len(labels[0]) > len(labels[1]):
        notes.append(f"{len(labels[0]) - len(labels[1])} class(es) have no test images")
    return Layout(train, test, (*notes, *tree.left_out(tree.seen)))


def _split(name: str) -> str | None:
    """train, test or val, if a folder's name says so in any of the usual spellings."""
    found = _SPLITS.fullmatch(name)
    return None if found is None else "val" if found[2] else found[1].lower().removesuffix("ing")


class _Tree:
    """Paths as a tree of folders, without what is hidden."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._folders: dict[Parts, set[str]] = {}
        self._images: list[Parts] = []
        self._with_images: set[Parts] = set()
        self._others: list[Parts] = []
        self._hidden: set[Parts] = set()
        self.seen: list[Image] = []  # all that have a class, of whatever split
        for path in paths:
            self._add(PurePosixPath(path), path.endswith("/"))
        self._images = sorted(set(self._images))  # of two files of one name in a tar the later one counts

    def _add(self, path: PurePosixPath, is_folder: bool) -> None:
        parts = path.parts
        if (name := _hidden(parts)) is not None:
            self._hidden.add(parts[: parts.index(name) + 1])
            parts, is_folder = parts[: parts.index(name)], True  # the folder that it lies in
        above = len(parts) + is_folder
        for depth in range(1, above):
            self._folders.setdefault(parts[: depth - 1], set()).add(parts[depth - 1])
        if is_folder or not parts:
            return
        if is_image(path):
            self._images.append(parts)
            self._with_images.update(parts[:depth] for depth in range(len(parts)))
        else:
            self._others.append(parts)

    def folders(self, base: Parts) -> list[str]:
        """List the names of the folders in a folder."""
        return sorted(self._folders.get(base, ()))

    def holds_images(self, base: Parts) -> bool:
        """Tell if there are images in a folder, at any depth."""
        return base in self._with_images

    def splits(self, base: Parts) -> dict[str, list[str]]:
        """Find the folders that are splits and hold folders of classes, by split; empty if there is none."""
        found: dict[str, list[str]] = {}
        for name in self.folders(base):
            if split := _split(name):
                found.setdefault(split, []).append(name)
        inside = [(*base, name) for names in found.values() for name in names]
        nested = any(self.folders(folder) and self.holds_images(folder) for folder in inside)
        return found if nested else {}

    def classes(self, where: str, base: Parts) -> tuple[Image, ...]:
        """List the images in the folders of a folder, each with its outermost folder's name."""
        depth = len(base)
        for name in self.folders(base):
            if not self.holds_images((*base, name)):
                raise self._no_images(where, (*base, name))
        images = [parts for parts in self._images if parts[:depth] == base and len(parts) > depth + 1]
        if not images:
            raise InputError(
                f"{where}: {'/'.join(base) or 'it'} holds no folder of a class with images; put each image into a folder named after its class."
            )
        found = tuple(Image("/".join(parts), parts[depth]) for parts in images)
        self.seen.extend(found)
        return found

    def _no_images(self, where: str, folder: Parts) -> InputError:
        kinds = Counter(PurePosixPath(*p).suffix or p[-1] for p in self._others if p[: len(folder)] == folder)
        holds = f"{kinds.total():,} file(s) of other kinds ({_few(kinds)})" if kinds else "no files"
        return InputError(
            f"{where}: the class {folder[-1]!r} holds {holds} and no image; give it images (JPEG, PNG, PPM, BMP, TIFF, WebP), or take the folder {'/'.join(folder)} away."
        )

    def left_out(self, images: Iterable[Image]) -> tuple[str, ...]:
        """Count what is not among these images."""
        outside = len(self._images) - len(list(images))
        kinds = Counter(PurePosixPath(*parts).suffix or parts[-1] for parts in self._others)
        said = [
            f"{len(self._hidden):,} hidden file(s) or folder(s) ({_few(Counter(parts[-1] for parts in self._hidden))})",
            f"{outside:,} image(s) in no class's folder",
            f"{kinds.total():,} file(s) of other kinds ({_few(kinds)})",
        ]
        return tuple(f"left out: {each}" for each in said if not each.startswith("0 "))


def _few(names: Counter[str]) -> str:
    shown = [name for name, _ in sorted(names.most_common(3))]
    return ", ".join(shown) + ", …" * (len(names) > len(shown))
