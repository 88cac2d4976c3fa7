"""Decide which runs share a job, so that Python and torch start once for several small networks."""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgdtails.config.types import Model

SMALL = 400_000  # weights between hidden layers that one job takes on: about a second of each analysis
MOST = 8  # runs of a job on a CPU: the others are for the other cores
MOST_TRAINED = 4  # of those that train side by side there
ON_A_GPU = 64  # runs of a training job: a GPU steps a dozen in the time of one
ANALYSES = ("tails", "laws", "compression", "prune", "perturbation", "bounds", "dependence", "errors")
AFTER = {
    "train": ("average", *ANALYSES),
    "average": ANALYSES,
    "tails": ("bounds", "errors"),
}  # what is made from a stage's files


def size(model: "Model") -> int | None:
    """Count the weights between the hidden layers of a model.

    Parameters
    ----------
    model
        An entry of config key ``models``.

    Returns
    -------
    int or None
        None of a factory's network.

    Examples
    --------
    >>> size({"fcn": [128, 128, 128]})
    32768
    """
    if "fcn" in model:
        widths, area = model["fcn"], 1
    elif "cnn" in model:
        widths, area = [width for width in model["cnn"] if isinstance(width, int)], 9
    else:
        return None
    return area * sum(first * second for first, second in pairwise(widths))


def runs_per_job(given: int | str, model: "Model", *, gpu: bool) -> int:
    """Decide how many runs of a model a training job takes.

    Parameters
    ----------
    given
        Config key ``runs_per_job``: a number, or ``auto``.
    model
        An entry of config key ``models``.
    gpu
        True if jobs train on a GPU.

    Examples
    --------
    >>> runs_per_job("auto", {"fcn": [128, 128]}, gpu=True)
    64
    """
    if isinstance(given, int):
        return given
    return ON_A_GPU if gpu else min(MOST_TRAINED, analyses_per_job(model))


def analyses_per_job(model: "Model") -> int:
    """Decide how many trained networks of a model one job analyses: one, unless they are small.

    Parameters
    ----------
    model
        An entry of config key ``models``.

    Examples
    --------
    >>> analyses_per_job({"fcn": [8]}), analyses_per_job({"fcn": [2048, 2048]})
    (8, 1)
    """
    weights = size(model)
    return 1 if weights is None else max(1, min(MOST, SMALL // max(weights, 1)))


def split(names: Iterable[str], groups: Mapping[str, tuple[Hashable, str, int]]) -> dict[str, list[str]]:
    """Divide networks into batches that share a job.

    Parameters
    ----------
    names
        Runs, or initial networks.
    groups
        For each of them: what the networks of a batch must have in common, a text for the batch's name, and the most
        networks of a batch. The batches of one group depend on no other group.

    Returns
    -------
    dict
        The networks of each batch, in their order, by the batch's name.

    Examples
    --------
    >>> split("abc", dict.fromkeys("abc", ("fcn", "net", 2)))
    {'net_0': ['a', 'b'], 'net_1': ['c']}
    """
    members: dict[tuple[Hashable, str, int], list[str]] = {}
    for name in names:
        members.setdefault(groups[name], []).append(name)
    found: dict[str, list[str]] = {}
    named: Counter[str] = Counter()  # two groups may have one text, and go on counting
    for (_, text, most), alike in members.items():
        for start in range(0, len(alike), most):
            found[f"{text}_{named[text]}"] = alike[start : start + most]
            named[text] += 1
    return found


@dataclass(frozen=True)
class Network:
    """A run, or an initial network, of a job: its name, and its files by the names that its rule gives them."""

    name: str
    input: SimpleNamespace
    output: SimpleNamespace


def networks(smk: Any) -> list[Network]:
    """List the networks that a job is about, one or several.

    Parameters
    ----------
    smk
        The job's ``snakemake`` object. A file that all networks share is an input of each.

    Returns
    -------
    list of Network
        In the order of the job's outputs.
    """
    outputs = {name: _listed(files) for name, files in smk.output.items()}
    number = len(next(iter(outputs.values())))
    inputs = {name: _listed(files) for name, files in smk.input.items()}
    inputs = {name: files * number if len(files) == 1 else files for name, files in inputs.items()}
    return [
        Network(
            Path(next(iter(outputs.values()))[index]).parent.name,
            *(SimpleNamespace(**{name: files[index] for name, files in each.items()}) for each in (inputs, outputs)),
        )
        for index in range(number)
    ]


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


def made_by(said: Mapping[str, Any]) -> tuple[str, str]:
    """Return the settings and the code digest of a file as its rule gives them, from what the file says of itself.

    Examples
    --------
    >>> made_by({"settings": {"seed": 0}, "code": "0123"})
    ('{"seed": 0}', '0123')
    """
    return json.dumps(said.get("settings"), sort_keys=True), said.get("code", "")


def finish(smk: Any, stage: str, *more: str) -> None:
    """Note that a job's networks are through a stage.

    Parameters
    ----------
    smk
        The job's ``snakemake`` object.
    stage
        Such as ``train`` or ``tails``.
    *more
        What the stage depends on besides the job's settings and code.
    """
    found = networks(smk)
    folder = Path(next(iter(vars(found[0].output).values()))).parents[1]
    name = f"initial_{stage}" if folder.name == "initial" and stage != "initial" else stage
    Done(folder.parent).add(name, [smk.params.settings, smk.params.code, *more], [each.name for each in found])


class Done:
    """The empty files in a study's folder ``.done`` that say which runs, or initial networks, are through a stage.

    They are sorted by what the stage depends on: settings, code, and data. They decide only which runs share a job; Snakemake
    itself decides which jobs run.
    """

    def __init__(self, study: Path) -> None:
        self._folder = study / ".done"
        self._listed: dict[Path, set[str]] = {}

    def _of(self, stage: str, depends: Sequence[str]) -> Path:
        return self._folder / f"{stage}-{hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]}"

    def has(self, stage: str, depends: Sequence[str], run: str) -> bool:
        """Tell if a run is through a stage that depends on these texts; the folder is read once."""
        folder = self._of(stage, depends)
        if folder not in self._listed:
            self._listed[folder] = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return run in self._listed[folder]

    def add(self, stage: str, depends: Sequence[str], runs: Iterable[str]) -> None:
        """Note that runs are through a stage, and that what is made from its files is to be made again."""
        runs, folder = list(runs), self._of(stage, depends)
        outdated = (stage, *AFTER.get(stage, ()))
        old = [path for path in self._folder.glob("*") if path.name.rpartition("-")[0] in outdated]
        for path in old:
            for run in runs:
                (path / run).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for run in runs:
            (folder / run).touch()
