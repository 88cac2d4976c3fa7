"""Which checkpoints a config asks for: files, folders, shards of one model, torchvision models. Reads no weights."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path

from sgdtails.audit.checkpoint import Skipped
from sgdtails.config import validation
from sgdtails.errors import InputError

SUFFIXES = (
    *(".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pt.tar", ".pth.tar", ".pkl", ".jit"),
    *(".onnx", ".gguf", ".h5", ".hdf5", ".keras", ".msgpack"),
)
TORCHVISION = "torchvision:"
KEY = "config key checkpoint"
_INDEX = ".index.json"
_SPECIAL = re.compile(r"[^A-Za-z0-9_.-]")
_PLAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_LONGEST = 100
_LARGEST_INDEX = 2**26  # bytes
_MOST_LINKS = 40  # one after the other, as the kernel follows
# What Hugging Face's Trainer, accelerate and DeepSpeed write beside a model.
_TRAINING = re.compile(
    r"(optimizer|scheduler|training_args|rng_state|random_states|scaler|trainer_state|sampler|dl_state_dict|"
    r"\w*optim_states|custom_checkpoint)([-_]?\w*)\.(bin|pt|pth|pkl|safetensors)"
)
_SHARD = re.compile(r".*-\d+-of-\d+\.\w+")


def sources(checkpoint: str | None, weights: str | None = None) -> dict[str, str]:
    """Name the checkpoints that config key ``checkpoint`` asks for.

    Parameters
    ----------
    checkpoint : str or None
        A file, a folder, the index of shards, or a torchvision model.
    weights : str, optional
        A file of weights for a torchvision model.

    Returns
    -------
    dict of str to str
        Files and models by the name of their folder of results. The name says where the file lies below the working
        directory, so that no two files share one. Shards with an index are one checkpoint, named by the index.

    Raises
    ------
    InputError
        If there is no such checkpoint.

    Examples
    --------
    >>> sources("torchvision:resnet18")
    {'torchvision--resnet18': 'torchvision:resnet18'}
    """
    if not checkpoint:
        raise InputError(
            f"{KEY} is not set; give a file, a folder or a torchvision model, "
            "such as --config checkpoint=my.safetensors or checkpoint=torchvision:resnet18."
        )
    if checkpoint.startswith(TORCHVISION):
        model = f"torchvision--{_SPECIAL.sub('_', checkpoint.removeprefix(TORCHVISION))}"
        return {f"{model}--{_name(weights)}" if weights else model: checkpoint}
    path = Path(checkpoint)
    if not path.exists():
        raise InputError(
            f"{KEY}: there is no {checkpoint!r}{_dangling(path)}; "
            "give a file, a folder, or a torchvision model, such as torchvision:resnet18."
        )
    if not path.is_dir():
        return {_name(validation.regular(path, KEY)): checkpoint}
    return {_name(file): str(file) for file in _in_folder(path)}


def _dangling(path: Path) -> str:
    return f" (it is a link to {path.readlink()}, which is not there)" if path.is_symlink() else ""


def _in_folder(folder: Path) -> list[Path]:
    """Its checkpoints: an index in place of its shards and of the file with the same weights in one piece."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    indices = [file for file in files if file.name.endswith(_INDEX)]
    of_indices = {name for index in indices for name in _shards(index)} | {
        index.name.removesuffix(_INDEX) for index in indices
    }
    found = indices + [
        file
        for file in files
        if file.name.endswith(SUFFIXES) and file.name not in of_indices and not _TRAINING.fullmatch(file.name)
    ]
    if not found:
        shown = ", ".join(SUFFIXES)
        raise InputError(f"{KEY}: {folder} holds no checkpoint ({shown}); give a folder with checkpoints.")
    return found


def shards(index: str | Path) -> dict[str, str]:
    """Give the names of a model's arrays, in the order of its index, with the file of each beside the index.

    Parameters
    ----------
    index : str or pathlib.Path
        A file ``….index.json`` as Hugging Face's libraries write it.

    Returns
    -------
    dict of str to str
        Names of files by names of arrays.

    Raises
    ------
    InputError
        For an index that cannot be read, and for files that are missing or not beside it.
    """
    index = validation.regular(index, KEY, largest=_LARGEST_INDEX)
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {str(name): str(file) for name, file in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{KEY}: {index} is no index of shards ({validation.reason(error)}); download it again."
        ) from error
    for file in sorted({*files.values()}):
        if Path(file).name != file:
            raise InputError(f"{KEY}: {index} names {file!r}, which is not beside it; give an index with its shards.")
        if not (index.parent / file).is_file():
            raise InputError(f"{KEY}: {index} names the shard {file!r}, which is missing; download it, too.")
    return files


def _shards(index: Path) -> set[str]:
    try:
        return {*shards(index).values()}
    except InputError:  # said where it is read
        return {file.name for file in index.parent.iterdir() if _SHARD.fullmatch(file.name)}


def files(source: str) -> list[str]:
    """Give the files that a source is read from: of an index its shards, too."""
    if not source.endswith(_INDEX):
        return [source]
    return [source, *sorted(str(Path(source).parent / name) for name in _shards(Path(source)))]


def bind(sources: Iterable[str], environment: MutableMapping[str, str] = os.environ) -> None:
    """Let containers started from here read checkpoints outside the working directory, and what links lead to.

    Parameters
    ----------
    sources : iterable of str
        Files.
    environment : mutable mapping of str to str
        Its APPTAINER_BIND gets the folders.

    Raises
    ------
    InputError
        For a folder whose name Apptainer would take apart.

    Examples
    --------
    >>> environment = {"APPTAINER_BIND": "/scratch"}
    >>> bind(["/data/my.pt", "here.pt"], environment)
    >>> environment
    {'APPTAINER_BIND': '/scratch,/data'}
    """
    here, folders = Path.cwd(), {}
    for path in (Path(file).absolute() for source in sources for file in files(source)):
        for step in _steps(path):
            if not step.is_relative_to(here):
                folders[str(step.parent)] = step
    for folder, step in folders.items():
        if set(folder) & set(",:"):
            raise InputError(f"{KEY}: containers cannot be given the folder of {str(step)!r}; copy the file here.")
    if folders:
        given = [environment["APPTAINER_BIND"]] if environment.get("APPTAINER_BIND") else []
        environment["APPTAINER_BIND"] = ",".join(dict.fromkeys([*given, *folders]))


def _steps(path: Path) -> list[Path]:
    """Give a path, and where its links lead one after the other."""
    steps = [path]
    while steps[-1].is_symlink() and len(steps) < _MOST_LINKS:
        steps.append(Path(os.path.normpath(steps[-1].parent / steps[-1].readlink())))
    return [*steps, path.resolve()]


def title(source: str, weights: str | None = None) -> str:
    """Give what a page calls a checkpoint: the file's name, or the model's.

    >>> title("runs/my.pt"), title("torchvision:resnet18", "a/resnet18.pth")
    ('my.pt', 'torchvision:resnet18 with resnet18.pth')
    """
    return f"{Path(source).name} with {Path(weights).name}" if weights else Path(source).name


def beside(source: Path) -> list[Skipped]:
    """Files of the training beside a checkpoint, and a second copy of a sharded model, as left out."""
    found = []
    for file in sorted(source.parent.iterdir()):
        if file != source and _TRAINING.fullmatch(file.name):
            found.append(Skipped(file.name, (), "", "a file of the training beside the model"))
        elif source.name == file.name + _INDEX:
            found.append(Skipped(file.name, (), "", "a file beside the shards that the index does not name"))
    return found


def _name(path: str | Path) -> str:
    """``A--best.pt`` of A/best.pt, ``best`` of best.safetensors; with a digest of the path where that would be another's too."""
    relative = os.path.relpath(path)
    *folders, file = Path(relative).parts
    parts = [*folders, file.removesuffix(".safetensors")]
    name = "--".join(parts)
    plain = all(_PLAIN.fullmatch(part) and "--" not in part for part in parts) and len(name) <= _LONGEST
    if plain and parts[0] != "torchvision" and (parts[-1] == file or not parts[-1].endswith((*SUFFIXES, _INDEX))):
        return name
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:8]
    readable = _SPECIAL.sub("_", "--".join(part for part in parts[-2:] if part != ".."))[-_LONGEST:].lstrip(".-")
    return f"{readable or 'checkpoint'}-{digest}"
