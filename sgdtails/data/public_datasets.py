"""MNIST and CIFAR10 from files as torchvision lays them out. Their MD5 is checked before they are parsed."""

import fcntl
import hashlib
import io
import pickle
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from sgdtails.config import validation
from sgdtails.errors import InputError

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

_MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_CIFAR10 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
DIGITS = tuple(map(str, range(10)))
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def mnist(name: str, root: Path, *, download: bool) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    """Read MNIST.

    Parameters
    ----------
    name : str
        Name of the dataset in the config.
    root : Path
        Folder in which torchvision has its folder MNIST.
    download : bool
        Whether missing files may be fetched.

    Returns
    -------
    train, test : (ndarray, ndarray)
        Images (N, 1, 28, 28) uint8 and labels (N,) int64.
    classes : tuple of str
        Names of the classes.

    Raises
    ------
    InputError
        If files are missing or damaged.
    """
    content = _checked(name, root, Path("MNIST", "raw"), _MNIST, download)
    # headers are four and two numbers of four bytes
    images = [np.frombuffer(content[f"{part}-images-idx3-ubyte"], np.uint8, offset=16) for part in ("train", "t10k")]
    labels = [np.frombuffer(content[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8) for part in ("train", "t10k")]
    train, test = ((i.reshape(-1, 1, 28, 28), n.astype(np.int64)) for i, n in zip(images, labels, strict=True))
    return train, test, DIGITS


def cifar10(name: str, root: Path, *, download: bool) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    """Read CIFAR10.

    Parameters
    ----------
    name : str
        Name of the dataset in the config.
    root : Path
        Folder in which torchvision has its folder cifar-10-batches-py.
    download : bool
        Whether missing files may be fetched.

    Returns
    -------
    train, test : (ndarray, ndarray)
        Images (N, 3, 32, 32) uint8 and labels (N,) int64.
    classes : tuple of str
        Names of the classes.

    Raises
    ------
    InputError
        If files are missing or damaged.
    """
    content = _checked(name, root, Path("cifar-10-batches-py"), _CIFAR10, download)
    parts = {file: _batch(data) for file, data in content.items()}
    test = parts.pop("test_batch")
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts.values(), strict=True))
    return (images, labels), test, OBJECTS


def _checked(name: str, root: Path, folder: Path, digests: dict[str, str], download: bool) -> dict[str, bytes]:
    """Return the contents of all files, after a check of their digests. Missing files are fetched if that is allowed."""
    paths = {file: root / folder / file for file in digests}
    if download and not all(path.exists() for path in paths.values()):
        try:
            _fetch_alone(root, folder, list(paths.values()))
        except (RuntimeError, OSError, URLError, ValueError, EOFError) as error:
            raise _missing(name, root, validation.reason(error)) from error
    content = {}
    for file, path in paths.items():
        if not path.exists():
            continue
        content[file] = validation.regular(path, f"dataset {name!r}").read_bytes()
        if hashlib.md5(content[file], usedforsecurity=False).hexdigest() != digests[file]:
            raise InputError(
                f"dataset {name!r}: {path} is damaged (its MD5 is not {digests[file]}); delete it, or fetch it again."
            )
    if absent := [str(folder / file) for file in digests if file not in content]:
        raise _missing(name, root, f"no {absent[0]}")
    return content


def _missing(name: str, root: Path, reason: str) -> InputError:
    return InputError(
        f"dataset {name!r}: not found whole under datasets.root = {root} ({reason}); put the files there in torchvision's layout, or set datasets.download: true where the network allows it."
    )


def _fetch_alone(root: Path, folder: Path, wanted: list[Path]) -> None:
    """Fetch files into a folder beside their place and move them there when they are whole, one process at a time."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".fetching.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(path.exists() for path in wanted):
            return
        aside = root / ".fetching"
        shutil.rmtree(aside, ignore_errors=True)  # left by a process that was killed
        _fetch(aside, folder)
        (root / folder).mkdir(parents=True, exist_ok=True)
        for file in (aside / folder).iterdir():
            file.replace(root / folder / file.name)
        shutil.rmtree(aside)


def _fetch(root: Path, folder: Path) -> None:
    """Fetch files from torchvision's addresses. Archives' MD5 is checked before they are unpacked."""
    from torchvision.datasets import CIFAR10, MNIST
    from torchvision.datasets.utils import download_and_extract_archive

    if folder.parts[0] == "MNIST":
        for file, md5 in MNIST.resources:
            _from_first_mirror(MNIST.mirrors, root / folder, file, md5)
    else:
        download_and_extract_archive(CIFAR10.url, str(root), filename=CIFAR10.filename, md5=CIFAR10.tgz_md5)


def _from_first_mirror(mirrors: Iterable[str], folder: Path, file: str, md5: str) -> None:
    """Fetch a file from the first mirror that has it."""
    from torchvision.datasets.utils import download_and_extract_archive

    last: Exception | None = None
    for mirror in mirrors:
        try:
            download_and_extract_archive(mirror + file, str(folder), filename=file, md5=md5)
            return
        except (RuntimeError, URLError) as error:
            last = error
    raise last or RuntimeError("no mirror")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays of numpy only. CIFAR10 is published as pickles, which could call anything; their digests are known, too."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def _batch(data: bytes) -> Arrays:
    batch = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    return batch["data"].reshape(-1, 3, 32, 32), np.array(batch["labels"], dtype=np.int64)
