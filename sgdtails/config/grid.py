"""Config and run table: checked once, while the Snakefile is parsed. Imports nothing heavy."""

import csv
import itertools
import math
import os
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sgdtails.config import inputs, planning
from sgdtails.config.prunable_layers import CONVOLUTIONAL, LINEAR
from sgdtails.config.run_ids import run_id
from sgdtails.errors import InputError, unknown

Run = dict[str, Any]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")
MOST_RUNS = 100_000  # Snakemake plans a dozen jobs for each
_LARGEST = 2**63 - 1  # what Parquet and torch have room for
_STEP_SIZES = (1e-30, 1e30)  # float32 has no room for more
_NOISE_ALPHA = 0.1  # below, draws of the noise leave the range of float64
_REQUIRED = {"dataset": str, "model": str, "batch_size": int, "step_size": float, "seed": int}
_PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "noise_scale": 0.0, "noise_alpha": 2.0}  # columns that may be left out
_COLUMNS = _REQUIRED | dict.fromkeys(_PLAIN, float)


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """InputError for the first thing in the config that the schema refuses, unknown keys at any level included.

    And for values that do not go together.
    """
    from jsonschema import Draft202012Validator, validators

    inputs.plain(config, "the config")
    # JSON calls 200.0 an integer, which Python's ranges are not
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = validators.extend(Draft202012Validator, type_checker=whole)(schema)
    if error := next(validator.iter_errors(config), None):
        raise _explained(error)
    planning.check_together(config)


def _explained(error: Any) -> InputError:
    key = ".".join(map(str, error.absolute_path))
    where = f"config key {key}" if key else "the config"
    if error.validator == "additionalProperties":
        valid = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in valid)
        return unknown("key", name, where, valid)
    if "propertyNames" in error.absolute_schema_path:
        return InputError(f"{where}: the name {error.instance!r} must be letters, digits and underscores.")
    if error.validator == "oneOf":
        return InputError(
            f"{where} needs exactly one of: {', '.join(part['required'][0] for part in error.schema['oneOf'])}."
        )
    if "dependentSchemas" in error.absolute_schema_path:
        other = error.absolute_schema_path[error.absolute_schema_path.index("dependentSchemas") + 1]
        return InputError(f"{where} does not go together with {other}; remove one of them.")
    if error.validator == "not":
        return InputError(f"{where} is {error.instance!r}, which is taken; choose another name.")
    if error.validator == "enum":
        return unknown("value", error.instance, where, map(str, error.validator_value))
    if error.validator == "contains":
        needed = error.validator_value["const"]
        return InputError(f"{where} lacks {needed}, which figures and claims are made from; add it.")
    if error.validator == "anyOf":
        return InputError(f"{where} is {error.instance!r:.100}; config/config.yaml says what it may be.")
    hint = (
        " (YAML reads 1e-3 as text; write 1.0e-3; and within the braces of --config everything is text: use a file)"
        if error.validator == "type" and isinstance(error.instance, str)
        else ""
    )
    said = textwrap.shorten(error.message, 300)
    return InputError(f"{where}: {said}{hint}; see config/config.yaml for what it means.")


def read_runs(
    runs: str | list[Mapping[str, Any]], *, datasets: Iterable[str], models: Iterable[str], base: Path = Path()
) -> dict[str, Run]:
    """The run table by run id, from the path of a CSV file or from YAML blocks whose lists are multiplied out.

    A path is looked up in the working directory, then in ``base``.
    InputError for an unknown column, dataset or model, a number out of range, or a run listed twice.
    """
    rows = _from_csv(runs, base) if isinstance(runs, str) else _from_blocks(runs)
    datasets, models = list(datasets), list(models)
    table: dict[str, Run] = {}
    first: dict[str, str] = {}
    spelt: dict[tuple[str, str], str] = {}
    for where, raw in rows:
        run = _parsed(raw, where)
        for kind, valid in (("dataset", datasets), ("model", models)):
            if run[kind] not in valid:
                raise unknown(kind, run[kind], where, valid)
            other = spelt.setdefault((kind, run[kind].lower()), run[kind])
            if other != run[kind]:  # titles are in capitals, and some disks know no case
                raise InputError(f"{where}: {kind} {run[kind]} differs from {other} in case only; rename one of them.")
        name = run_id(run)
        if name in table:
            raise InputError(
                f"{where}: run {name} is already listed at {first[name]}; remove one, or give it another seed."
            )
        table[name], first[name] = run, where
        if len(table) > MOST_RUNS:
            raise InputError(f"{where}: this is more than {MOST_RUNS:,} runs; split them into several studies.")
    if not table:
        raise InputError(
            f"the run table {runs if isinstance(runs, str) else '(config key runs)'} has no rows; add one run per row."
        )
    return table


def width_and_depth(model: Mapping[str, Any]) -> dict[str, Any]:
    """Kind of an entry of config key ``models``, width of its widest hidden layer and number of hidden layers; None of a factory's."""
    layers = model.get("fcn") or [layer for layer in model.get("cnn", ()) if layer != "M"]
    kind = next((kind for kind in ("fcn", "cnn") if kind in model), "factory")
    return {"kind": kind, "width": max(layers, default=None), "depth": len(layers) or None}


def pruning_methods(model: Mapping[str, Any], pruning: Mapping[str, Any]) -> tuple[str, ...]:
    """The pruning methods for an entry of ``models``: those that have ratios in ``pruning``.

    Nodes and rows are of linear layers, kernels, filters and channels of convolutions; an own model may have both.
    """
    structured = LINEAR if "fcn" in model else CONVOLUTIONAL if "cnn" in model else (*LINEAR, *CONVOLUTIONAL)
    methods = ("layer_magnitude", "global_magnitude", "singular_value", *structured)
    return tuple(method for method in methods if pruning[method]["ratios"])


def check_scheme(pruning: Mapping[str, Any]) -> None:
    """InputError if figures are to show networks pruned by relative error, and none are."""
    if pruning["scheme"] == "error" and not pruning["adaptive"]["epsilon"]:
        raise InputError(
            "config key pruning.scheme is error, but pruning.adaptive.epsilon is empty; give relative errors there, or draw by ratio."
        )


def _variant(run: Mapping[str, Any]) -> str:
    """In what a run's updates are not those of plain SGD, such as ``m0.9-wd0.0001-n0.01a1.8``; empty where they are."""
    noise = f"n{run['noise_scale']:.12g}a{run['noise_alpha']:.12g}"
    parts = {
        f"m{run['momentum']:.12g}": "momentum",
        f"wd{run['weight_decay']:.12g}": "weight_decay",
        noise: "noise_scale",
    }
    return "-".join(text for text, column in parts.items() if run[column])


def beside(path: str, base: Path) -> Path:
    """A path in the working directory if something is there, else in ``base``, the Snakefile's folder."""
    # os.path.exists is false for any path that cannot be, where Path's own raises
    return Path(path) if os.path.exists(path) else base / path  # noqa: PTH110


def _from_csv(runs: str, base: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    path = beside(runs, base)
    inputs.regular(path, "config key runs", largest=inputs.LARGEST_TEXT_FILE)
    rows: list[tuple[str, Mapping[str, Any]]] = []
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


def _from_blocks(blocks: list[Mapping[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for number, block in enumerate(blocks):
        where = f"config key runs, block {number + 1}"
        _check_columns(block, where)
        values = [value if isinstance(value, list) else [value] for value in block.values()]
        if math.prod(map(len, values)) > MOST_RUNS:
            raise InputError(f"{where} has more than {MOST_RUNS:,} runs; shorten its lists.")
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


def _parsed(raw: Mapping[str, Any], where: str) -> Run:
    run: Run = {}
    for column, kind in _COLUMNS.items():
        if column in _PLAIN and raw.get(column, "") == "":
            run[column] = _PLAIN[column]
            continue
        try:
            run[column] = _converted(raw[column], kind)
        except (TypeError, ValueError, OverflowError):
            wanted = {int: "a whole number of at most 64 bits", float: "a number", str: "text"}[kind]
            raise InputError(f"{where}: {column} is {raw[column]!r:.100}; it must be {wanted}.") from None
    if not 0 < run["step_size"] < float("inf"):
        raise InputError(f"{where}: step_size is {run['step_size']}; it must be a positive number.")
    if not _STEP_SIZES[0] <= run["step_size"] <= _STEP_SIZES[1]:
        raise InputError(
            f"{where}: step_size is {run['step_size']}; single precision has room for {_STEP_SIZES[0]:g} to {_STEP_SIZES[1]:g}."
        )
    run["step_size"] = float(f"{run['step_size']:.12g}")  # as in the run's id, from which jobs read it
    if run["batch_size"] < 1:
        raise InputError(f"{where}: batch_size is {run['batch_size']}; it must be at least 1.")
    if run["seed"] < 0:
        raise InputError(f"{where}: seed is {run['seed']}; it must be 0 or more.")
    for column in ("dataset", "model"):
        if not NAME.fullmatch(run[column]):
            raise InputError(
                f"{where}: {column} is {run[column]!r:.100}; it must be at most 64 letters, digits and underscores."
            )
    return _with_variant(run, where)


def _with_variant(run: Run, where: str) -> Run:
    """Check what may be left out; ``noise_alpha`` is 2 where there is no noise, so that such runs have one name."""
    ranges = {
        "momentum": (0 <= run["momentum"] < 1, "at least 0 and below 1"),
        "weight_decay": _factor(run["weight_decay"]),
        "noise_scale": _factor(run["noise_scale"]),
        "noise_alpha": (_NOISE_ALPHA <= run["noise_alpha"] <= 2, f"at least {_NOISE_ALPHA:g} and at most 2"),
    }
    for column, (sound, wanted) in ranges.items():
        if not sound:
            raise InputError(f"{where}: {column} is {run[column]:g}; it must be {wanted}.")
    run |= {"noise_alpha": run["noise_alpha"] if run["noise_scale"] else _PLAIN["noise_alpha"]}
    return run | {"variant": _variant(run)}


def _factor(value: float) -> tuple[bool, str]:
    """Whether single precision has room for a factor, and what it has room for."""
    return value == 0 or _STEP_SIZES[0] <= value <= _STEP_SIZES[1], "0, or from {:g} to {:g}".format(*_STEP_SIZES)


def _converted(value: Any, kind: type) -> Any:
    """A cell of a run table; TypeError, ValueError or OverflowError if it is not of this kind."""
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        raise TypeError
    converted = kind(value)
    if kind is int and (abs(converted) > _LARGEST or (isinstance(value, float) and value != converted)):
        raise ValueError
    return converted
