"""Which weights a study keeps, and the room on disk that they take, before any of them is there. Imports nothing heavy."""

import json
import math
import shutil
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sgdtails.config import run_ids
from sgdtails.config.architectures import layer_shapes
from sgdtails.config.types import Config, Model, Run, Source
from sgdtails.errors import unknown

KINDS = ("initial", "converged", "last", "average")  # of a run's weights
_HELD = ("initial", "average")  # tables of all runs are made of these: they stay until the last run has ended
_FLOAT = 4  # bytes
_PUBLIC = {"mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10), "digits": ((1, 8, 8), 10)}
_LEAST = ((1, 1, 1), 2)  # image and classes: no network of a model has fewer weights
_LARGEST_HEADER = 10**8  # bytes: safetensors refuses larger ones
_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
Runs = Mapping[str, Run]
Known = tuple[tuple[int, int, int], int]  # an image's channels, height and width; classes


def kept(kind: str, keep: str, pruned: str) -> bool:
    """Whether weights of a ``kind`` of ``KINDS`` stay once all that reads them is made.

    ``keep`` is config key ``weights.keep``, ``pruned`` is ``pruning.weights``. With ``final`` the pruned ones stay, and the
    initial ones, which many runs share. InputError for an unknown kind.

    >>> kept("average", "final", pruned="last")
    False
    """
    if kind not in KINDS:
        raise unknown("kind", kind, "a run's weights", KINDS)
    return keep == "all" or (keep == "final" and kind in ("initial", pruned))


def place(kind: str, name: str) -> str:
    """Where weights of a run lie within its study's folder; the initial ones are shared by all of its seed."""
    if kind == "initial":
        return f"initial/{run_ids.initial_id(name)}/weights.safetensors"
    return f"runs/{name}/{kind}.safetensors"


def passing(config: Config, runs: Iterable[str]) -> set[str]:
    """Within the study's folder, the weights that are removed when all that reads them is made."""
    keep, pruned = config["weights"]["keep"], config["pruning"]["weights"]
    gone = [kind for kind in KINDS if not kept(kind, keep, pruned)]
    return {place(kind, name) for name in runs for kind in gone}


@dataclass(frozen=True)
class Size:
    """Bytes of a study's weights: most at one time, those that stay, those still to be written; and what is free.

    ``at_least``: a dataset's image shape is not known yet. ``unknown``: models whose weights nobody can count, and their runs.
    """

    runs: int
    keep: str
    most: int
    stays: int
    to_come: int
    free: int
    at_least: bool
    unknown: Mapping[str, int]

    @property
    def enough(self) -> bool:
        """Whether what is still to be written fits on the disk."""
        return self.to_come <= self.free

    def __str__(self) -> str:
        """One sentence."""
        least = "at least " * self.at_least
        parts = [f"{least}{readable(self.most)} of weights for {_counted(self.runs)}"]
        if self.stays < self.most:
            parts.append(f"of which {readable(self.stays)} stay")
        said = f"{', '.join(parts)} (weights.keep: {self.keep}), "
        if 0 < self.to_come < self.most:
            said += f"{least}{readable(self.to_come)} of them to come, "
        said += f"{readable(self.free)} free"
        if self.unknown:
            models = ", ".join(f"{model} ({_counted(count)})" for model, count in self.unknown.items())
            said += f"; not counted: own models {models}, whose size is not known before they are built"
        if not self.enough:
            less = ", or keep fewer weights" * (self.keep == "all")
            said += f". That is not enough: make room{less}"
        return said


def measure(config: Config, runs: Runs, study: Path) -> Size:
    """The room that the weights of a study's ``runs``, which go to the folder ``study``, take. OSError without access.

    Checkpoints of runs under way come on top. A run that was averaged has written all that it writes.
    """
    keep, pruned = config["weights"]["keep"], config["pruning"]["weights"]
    lasting = [kind for kind in KINDS if kept(kind, keep, pruned)]
    at_once = [kind for kind in KINDS if kind in (*lasting, *_HELD, pruned)]
    most = stays = to_come = 0
    unknown, vague, seen = Counter[str](), False, set()
    sources = config["datasets"]["sources"]
    images = {
        name: _known(sources[name], study / f"data/{name}.safetensors")
        for name in dict.fromkeys(run["dataset"] for run in runs.values())
    }
    for name, run in runs.items():
        image = images[run["dataset"]]
        size = network_bytes(config["models"][run["model"]], *(image or _LEAST))
        if size is None:
            unknown[run["model"]] += 1
            continue
        vague |= image is None
        initial = place("initial", name)
        first = initial not in seen
        seen.add(initial)
        counted = [kind for kind in at_once if first or kind != "initial"]
        most += size * len(counted)
        stays += size * sum(kind in lasting for kind in counted)
        to_come += size * (len(counted) if not (study / "runs" / name / "averaging.parquet").exists() else 0)
    return Size(len(runs), keep, most, stays, to_come, _free(study), vague, unknown)


def network_bytes(spec: Model, image: tuple[int, int, int], classes: int) -> int | None:
    """Bytes of the weights of an entry of the config's ``models``; None of an own one.

    >>> network_bytes({"fcn": [2048] * 4}, (1, 28, 28), 10)
    56836096
    """
    shapes = layer_shapes(spec, image, classes)
    return None if shapes is None else _FLOAT * sum(map(math.prod, shapes.values()))


def readable(size: int) -> str:
    """Bytes as a person reads them: two digits at least, such as 1.2 TB, 37 GB, 410 MB."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:,.0f} {name}"
    return f"{size} B"


def _counted(runs: int) -> str:
    return f"{runs:,} run{'s' * (runs > 1)}"


def _known(source: Source, prepared: Path) -> Known | None:
    """Image and classes of a dataset: those of a public one, else what its prepared file says; None if there is none yet."""
    return _PUBLIC.get(source["kind"]) or _prepared(prepared)


def _prepared(path: Path) -> Known | None:
    """From the header of a file that ``data.write`` made, without the libraries that read the rest; None if it cannot be."""
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length)) if length < _LARGEST_HEADER else {}
        channels, height, width = header["train_images"]["shape"][1:]
        record = json.loads(json.loads(header["__metadata__"]["sgdtails"])["record"])
        return (channels, height, width), len(record["classes"])
    except (OSError, struct.error, LookupError, TypeError, ValueError):  # whoever trains on it will say what is wrong
        return None


def _free(study: Path) -> int:
    """Bytes that are free where a study's folder is, or will be."""
    there = next(folder for folder in (study, *study.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free
