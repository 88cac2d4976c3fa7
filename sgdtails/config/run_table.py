"""The run table: read and checked while the Snakefile is parsed. Imports nothing heavy."""

import csv
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from sgdtails.config import resources, validation
from sgdtails.config.run_ids import run_id
from sgdtails.config.types import Run
from sgdtails.errors import InputError, unknown

_LARGEST = 2**63 - 1  # what Parquet and torch have room for
_FACTORS = (1e-30, 1e30)  # float32 has no room for others
_NOISE_ALPHA = 0.1  # below, draws of the noise leave the range of float64
_REQUIRED: dict[str, type] = {"dataset": str, "model": str, "batch_size": int, "step_size": float, "seed": int}
NOISE_KINDS = ("independent", "neuron", "elliptical")  # what the noise of a neuron's weights shares
_NUMBERS = {"momentum": 0.0, "weight_decay": 0.0, "noise_scale": 0.0, "noise_alpha": 2.0}
_PLAIN: dict[str, Any] = {**_NUMBERS, "noise_kind": NOISE_KINDS[0]}  # columns that may be left out
_COLUMNS = _REQUIRED | dict.fromkeys(_NUMBERS, float) | {"noise_kind": str}
_KINDS = {int: "a whole number of at most 64 bits", float: "a number", str: "text"}
Raw = Mapping[str, Any]  # a row as a file or a block has it


def read_runs(
    runs: str | list[Raw], *, datasets: Iterable[str], models: Iterable[str], base: Path = Path()
) -> dict[str, Run]:
    """Read a run table.

    Parameters
    ----------
    runs
        The path of a CSV file, or blocks as in YAML, whose lists are multiplied out.
    datasets, models
        The names that a run may have.
    base
        Where a path is looked up if it is not in the working directory.

    Returns
    -------
    dict
        Rows by run id.

    Raises
    ------
    InputError
        A column, dataset or model is unknown, a number is out of range, or a run is listed twice.

    Examples
    --------
    >>> block = {"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": [0.1, 0.2], "seed": 0}
    >>> list(read_runs([block], datasets=["mnist"], models=["fcn4"]))
    ['fcn4-mnist-b50-lr0.1-s0', 'fcn4-mnist-b50-lr0.2-s0']
    """
    rows = _from_csv(runs, base) if isinstance(runs, str) else _from_blocks(runs)
    datasets, models = list(datasets), list(models)
    table: dict[str, Run] = {}
    first: dict[str, str] = {}
    spelt: dict[tuple[str, str], str] = {}
    for where, raw in rows:
        run = _parsed(raw, where)
        for kind, given, valid in (("dataset", run["dataset"], datasets), ("model", run["model"], models)):
            if given not in valid:
                raise unknown(kind, given, where, valid)
            other = spelt.setdefault((kind, given.lower()), given)
            if other != given:  # titles are in capitals, and some disks know no case
                raise InputError(f"{where}: {kind} {given} differs from {other} in case only; rename one of them.")
        name = run_id(run)
        if name in table:
            raise InputError(
                f"{where}: run {name} is already listed at {first[name]}; remove one, or give it another seed."
            )
        table[name], first[name] = run, where
    if not table:
        raise InputError(
            f"the run table {runs if isinstance(runs, str) else '(config key runs)'} has no rows; add one run per row."
        )
    return table


def _from_csv(runs: str, base: Path) -> Iterable[tuple[str, Raw]]:
    path = resources.beside(runs, base)
    validation.regular(path, "config key runs")
    rows: list[tuple[str, Raw]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(reader.fieldnames or (), str(path))
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise InputError(f"{where} has more values than there are columns; remove what is too much.")
                rows.append((where, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"config key runs: cannot read the run table {path} ({error}); give the path of a CSV file."
        ) from error
    return rows


def _from_blocks(blocks: list[Raw]) -> Iterable[tuple[str, Raw]]:
    for number, block in enumerate(blocks):
        where = f"config key runs, block {number + 1}"
        _check_columns(block, where)
        for column, value in block.items():
            if value == []:
                raise InputError(
                    f"{where}: column {column} is an empty list; give at least one value, or remove the block."
                )
        values = [value if isinstance(value, list) else [value] for value in block.values()]
        for combination in itertools.product(*values):
            yield where, dict(zip(block, combination, strict=True))


def _check_columns(columns: Iterable[str], where: str) -> None:
    columns = list(columns)
    for column in columns:
        if column not in _COLUMNS:
            raise unknown("column", column, where, _COLUMNS)
        if columns.count(column) > 1:
            raise InputError(f"{where}: column {column} is there twice; remove one.")
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        raise InputError(f"{where}: no column {', '.join(missing)}; a run table has {', '.join(_REQUIRED)}.")


def _parsed(raw: Raw, where: str) -> Run:
    """Convert a row's text to numbers, check them, and add the columns that may be left out."""
    found: dict[str, Any] = {}
    for column, kind in _COLUMNS.items():
        if column in _PLAIN and raw.get(column, "") == "":
            found[column] = _PLAIN[column]
            continue
        try:
            found[column] = _converted(raw[column], kind)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: {column} is {raw[column]!r:.100}; it must be {_KINDS[kind]}.") from None
    run = cast(Run, found)
    for column, (sound, wanted) in _ranges(run).items():
        if not sound:
            raise InputError(f"{where}: {column} is {found[column]:g}; it must be {wanted}.")
    if run["noise_kind"] not in NOISE_KINDS:
        raise unknown("noise_kind", run["noise_kind"], where, NOISE_KINDS)
    run["step_size"] = float(f"{run['step_size']:.12g}")  # as in the run's id, from which jobs read it
    if not run["noise_scale"]:  # such runs have one name
        run["noise_alpha"], run["noise_kind"] = _PLAIN["noise_alpha"], _PLAIN["noise_kind"]
    run["variant"] = _variant(run)
    return run


def _ranges(run: Run) -> dict[str, tuple[bool, str]]:
    """For each column that has a range: True if the run's value is in it, and the range in words."""
    low, high = _FACTORS
    factor = f"from {low:g} to {high:g}, which single precision has room for"
    return {
        "step_size": (low <= run["step_size"] <= high, f"a positive number, {factor}"),
        "batch_size": (run["batch_size"] >= 1, "at least 1"),
        "seed": (run["seed"] >= 0, "0 or more"),
        "momentum": (0 <= run["momentum"] < 1, "at least 0 and below 1"),
        "weight_decay": (run["weight_decay"] == 0 or low <= run["weight_decay"] <= high, f"0, or {factor}"),
        "noise_scale": (run["noise_scale"] == 0 or low <= run["noise_scale"] <= high, f"0, or {factor}"),
        "noise_alpha": (_NOISE_ALPHA <= run["noise_alpha"] <= 2, f"at least {_NOISE_ALPHA:g} and at most 2"),
    }


def _variant(run: Run) -> str:
    """In what a run's updates are not those of plain SGD, such as ``m0.9-wd0.0001-n0.01a1.8-neuron``; empty where they are."""
    kind = "" if run["noise_kind"] == _PLAIN["noise_kind"] else f"-{run['noise_kind']}"
    noise = f"n{run['noise_scale']:.12g}a{run['noise_alpha']:.12g}{kind}"
    parts = {
        f"m{run['momentum']:.12g}": run["momentum"],
        f"wd{run['weight_decay']:.12g}": run["weight_decay"],
        noise: run["noise_scale"],
    }
    return "-".join(text for text, value in parts.items() if value)


def _converted(value: Any, kind: type) -> Any:
    """Convert a cell of a run table; TypeError, ValueError or OverflowError if it is not of this kind."""
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        raise TypeError
    converted = kind(value)
    if kind is int and (abs(converted) > _LARGEST or (isinstance(value, float) and value != converted)):
        raise ValueError
    return converted
