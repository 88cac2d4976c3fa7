"""Config key ``compare``: paired differences between runs that differ by one column of the run table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sgdtails.claims import definitions, quantities, statistics
from sgdtails.claims.evidence import Settings
from sgdtails.claims.study import Run, Study
from sgdtails.errors import InputError, unknown
from sgdtails.io import tables
from sgdtails.tail_index.network_index import Index, effective_step_size

Comparison = Mapping[str, Any]
Points = list[dict[str, Any]]
_TEXTS = ("dataset", "model", "variant", "noise_kind", "kind")
_COLUMNS = (*definitions.COLUMNS, *_TEXTS)
_MEASURED = definitions.COLUMNS[definitions.COLUMNS.index("iterations") :]
_SETTINGS = [name for name in _COLUMNS if name not in _MEASURED]  # known before training


def known_columns(
    runs: Mapping[str, Run], shapes: Mapping[str, Mapping[str, Any]], train_sizes: Mapping[str, int | None]
) -> list[Run]:
    """Return what rows of table ``runs`` will say of runs before any of them is trained.

    Parameters
    ----------
    runs : mapping of str to dict
        The run table, by run.
    shapes : mapping of str to mapping
        Kind, width and depth by model.
    train_sizes : mapping of str to int
        Number of training images by dataset.

    Returns
    -------
    list of dict
        Rows.
    """
    return [
        {"run": name}
        | dict(row)
        | dict(shapes[row["model"]])
        | {"effective_step_size": effective_step_size(row), "train_size": train_sizes.get(row["dataset"])}
        for name, row in runs.items()
    ]


def check(compare: Sequence[Comparison], computed: definitions.Choices, runs: Sequence[Run]) -> None:
    """Check config key ``compare`` against the run table.

    Parameters
    ----------
    compare : sequence of mapping
        Comparisons, in the form that the config's schema describes.
    computed : mapping of str to collection
        What the study computes, from ``planning.computed``.
    runs : sequence of dict
        Rows from ``known_columns``.

    Raises
    ------
    InputError
        For an unknown column or quantity, and for two runs that nothing tells apart.
    """
    seen = set()
    for number, entry in enumerate(compare):
        where = f"config key compare, entry {number + 1}"
        named = [(key, entry[key]) for key in ("x", "colour") if entry.get(key) is not None]
        for key, name in (*named, *(("pair", name) for name in _paired_by(entry))):
            if name not in _COLUMNS:
                raise unknown("column", name, f"{key} of {where}", _COLUMNS, listed=_SETTINGS)
        if isinstance(entry["y"], str):
            if entry["y"] not in definitions.COLUMNS:
                raise unknown("column", entry["y"], f"y of {where}", definitions.COLUMNS, listed=_MEASURED)
        else:
            definitions.check_quantity(entry["y"], f"y of {where}", definitions.names(computed))
        if _title(entry) in seen:
            raise InputError(f"{where} says the same as one before it: {_title(entry)}; remove one of them.")
        seen.add(_title(entry))
        columns = (entry["x"], *_telling(entry))
        if runs and all(name in runs[0] for name in columns):
            _check_pairs(runs, entry, where)


def _check_pairs(runs: Sequence[Run], entry: Comparison, where: str) -> None:
    """Raise InputError where two runs are equal in all that tells points apart."""
    first: dict[tuple[str, ...], str] = {}
    for run in runs:
        if run[entry["x"]] is None:
            continue
        key = tuple(_text(run[name]) for name in (entry["x"], *_telling(entry)))
        if key in first:
            raise InputError(
                f"{where}: runs {first[key]} and {run['run']} are equal in {', '.join((entry['x'], *_telling(entry)))}; add to "
                "pair what tells them apart, such as [model, batch_size, seed]."
            )
        first[key] = run["run"]


def _paired_by(entry: Comparison) -> tuple[str, ...]:
    pair = entry.get("pair", "seed")
    return (pair,) if isinstance(pair, str) else tuple(pair)


def _telling(entry: Comparison) -> tuple[str, ...]:
    """Name the columns in which runs of a pair are equal."""
    colour = entry.get("colour")
    return (*((colour,) if colour else ()), *_paired_by(entry))


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _quantity(entry: Comparison) -> Mapping[str, Any]:
    return {"of": "column", "column": entry["y"]} if isinstance(entry["y"], str) else entry["y"]


def _words(study: Study, quantity: Mapping[str, Any]) -> str:
    """Put a quantity into words; the columns that are tail indices say how they are defined, as figure 1 does."""
    indices = {"alpha": study.index, "mean_alpha": Index(value="alpha"), "mean_alpha_published": Index()}
    index = indices.get(quantity.get("column", ""))
    return index.label if index else quantities.words(study, quantity)


def _title(entry: Comparison) -> str:
    y = entry["y"] if isinstance(entry["y"], str) else ", ".join(f"{key} {value}" for key, value in entry["y"].items())
    by = f", {entry['colour']} apart" if entry.get("colour") else ""
    return f"{y.removeprefix('of ')} by {entry['x']}{by}"


def points(compare: Sequence[Comparison], study: Study) -> Iterator[dict[str, Any]]:
    """Measure what is compared, in every converged run that has it.

    Parameters
    ----------
    compare : sequence of mapping
        Comparisons of the config.
    study : Study
        Tables of the study.

    Yields
    ------
    dict
        Rows of table ``compared``.
    """
    runs = [run for run in study.runs.to_pylist() if run["status"] == "converged"]
    for entry in compare:
        _check_pairs(runs, entry, f"config key compare, {_title(entry)}")
        colour, quantity = entry.get("colour"), _quantity(entry)
        for run in runs:
            x, y = run[entry["x"]], quantities.measure(study, run, quantity)
            if x is None or y is None or not np.isfinite(y):
                continue
            yield {
                "comparison": _title(entry),
                "run": run["run"],
                "dataset": run["dataset"],
                "model": run["model"],
                "variant": run["variant"],
                "x_name": entry["x"],
                "x": None if isinstance(x, str) else float(x),
                "x_text": _text(x),
                "y_name": _words(study, quantity),
                "y": float(y),
                "colour_name": colour,
                "colour": _text(run[colour]) if colour else None,
                "pair": ", ".join(f"{name} {_text(run[name])}" for name in _paired_by(entry)),
            }


def differences(
    compare: Sequence[Comparison], study: Study, rows: Points, settings: Settings
) -> Iterator[dict[str, Any]]:
    """Take differences between paired runs: of every value of x from the first one, for each colour and all together.

    Parameters
    ----------
    compare : sequence of mapping
        Comparisons of the config.
    study : Study
        Tables of the study.
    rows : list of dict
        Rows of table ``compared``.
    settings : Settings
        How claims are tested: permutations, resamples and their seed.

    Yields
    ------
    dict
        Rows of table ``comparisons``: at least one for each comparison. A colour without any pair in the run table has none.
    """
    for entry in compare:
        names = {
            "comparison": _title(entry),
            "x_name": entry["x"],
            "y_name": _words(study, _quantity(entry)),
            "colour_name": entry.get("colour"),
        }
        measured = {row["run"]: row["y"] for row in rows if row["comparison"] == names["comparison"]}
        runs = [run for run in study.runs.to_pylist() if run[entry["x"]] is not None]
        for row in _differences(entry, runs, measured, settings):
            yield names | row


def _differences(
    entry: Comparison, runs: Sequence[Run], measured: Mapping[str, float], settings: Settings
) -> Iterator[dict[str, Any]]:
    xs = _values(runs, entry["x"])
    if len(xs) < 2:
        missing = f"all runs have {entry['x']} {xs[0]}" if xs else f"no run has a value in column {entry['x']}"
        ends = {"x_from": xs[0] if xs else None, "x_to": None}
        yield _difference([], {}, settings) | ends | {"colour": None, "missing": missing}
        return
    first = next(iter(_values([run for run in runs if run["run"] in measured], entry["x"])), xs[0])
    colours = _values(runs, entry["colour"]) if entry.get("colour") else []
    for colour in [*colours, None]:
        chosen = [run for run in runs if colour is None or _text(run[entry["colour"]]) == colour]
        for x in xs:
            pairs = _pairs(entry, chosen, first, x)
            if x != first and (pairs or colour is None):
                found = _difference(pairs, measured, settings)
                if not pairs:
                    found["missing"] = (
                        f"no two runs with {entry['x']} {first} and {x} are equal in {', '.join(_telling(entry))}"
                    )
                yield {"colour": colour, "x_from": first, "x_to": x} | found


def _values(runs: Iterable[Run], column: str) -> list[str]:
    return tables.ordered(
        {
            _text(run[column]): None if isinstance(run[column], str) else run[column]
            for run in runs
            if run[column] is not None
        }
    )


def _pairs(entry: Comparison, runs: Sequence[Run], first: str, second: str) -> list[tuple[Run, Run]]:
    """Pair runs of two values of x that are equal in all else that is told apart, whether they converged or not."""
    ends = [
        {tuple(_text(run[name]) for name in _telling(entry)): run for run in runs if _text(run[entry["x"]]) == x}
        for x in (first, second)
    ]
    return [(ends[0][key], ends[1][key]) for key in ends[0] if key in ends[1]]


def _difference(pairs: Sequence[tuple[Run, Run]], measured: Mapping[str, float], settings: Settings) -> dict[str, Any]:
    names = [(before["run"], after["run"]) for before, after in pairs]
    found = np.array([measured[b] - measured[a] for a, b in names if a in measured and b in measured])
    low, high, p = None, None, None
    if len(found) > 1:
        draws = settings.draws(len(found))
        low, high = statistics.mean_interval(found, found @ draws.counts / len(found))
        mean, null = statistics.mean_difference(found, draws.signs)
        p = statistics.p_value(null, mean, exact=draws.exact_signs)
    return {
        "pairs": len(found),
        "difference": float(found.mean()) if len(found) else None,
        "low": low,
        "high": high,
        "p": p,
        "missing": _missing([run for pair in pairs for run in pair if run["run"] not in measured]),
    }


def _missing(runs: Sequence[Run]) -> str | None:
    """Say why runs are not compared, such as: 6 runs over budget, 1 diverged."""
    words = {"budget": "over budget", "converged": "without a value"}
    why = Counter(words.get(run["status"], run["status"]) for run in runs).most_common()
    said = ", ".join(f"{count:,} {word}" for word, count in why)
    return said.replace(" ", " run " if why[0][1] == 1 else " runs ", 1) if why else None
