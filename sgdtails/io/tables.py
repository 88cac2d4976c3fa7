"""The study's tables by name, and selections that several readers share, such as converged runs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sgdtails.config import run_ids
from sgdtails.io import parquet
from sgdtails.schemas.run_schemas import AVERAGES, PANEL
from sgdtails.schemas.study_schemas import SCHEMAS

read = parquet.read
Row = dict[str, Any]  # values by column
Initial = Mapping[str, pa.Table]  # tables of initial networks, by their names


def write(name: str, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write rows as a table of a study.

    Parameters
    ----------
    name
        The table's name.
    rows
        Values by column.
    path
        The file.
    provenance
        What the table depends on.

    Raises
    ------
    ValueError
        A row's keys are not exactly the declared columns.
    """
    parquet.write(SCHEMAS[name], rows, path, provenance=provenance)


def by_initial(parts: Iterable[str | Path]) -> dict[str, pa.Table]:
    """Read tables of initial networks, by the names of the folders that their files lie in."""
    return {Path(part).parent.name: read(part) for part in parts}


def concatenate(
    name: str,
    parts: Iterable[str | Path],
    path: str | Path,
    *,
    initial: Initial = MappingProxyType({}),
    provenance: Mapping[str, Any],
) -> None:
    """Write the tables of runs, one after the other, as one table.

    Parameters
    ----------
    name
        The table's name.
    parts
        The files of runs.
    path
        The file to write.
    initial
        Tables of initial networks: their rows come before those of each run that starts from them, as rows of the run.
    provenance
        What the table depends on.
    """
    schema = SCHEMAS[name]
    each = (table for part in parts for table in _with_initial(part, initial))
    found = [table.select(schema.names).cast(schema) for table in each]
    parquet.store(pa.concat_tables(found) if found else schema.empty_table(), path, provenance=provenance)


def _with_initial(part: str | Path, initial: Initial) -> Iterator[pa.Table]:
    """Yield the rows of a run's initial network, if they are known, and the run's own."""
    run = Path(part).parent.name
    if initial and (start := initial.get(run_ids.initial_id(run))) is not None:
        column = start.schema.get_field_index("run")
        yield start.set_column(column, start.schema.field("run"), pa.array([run] * len(start), pa.string()))
    yield read(part)


def joined_runs(training: Iterable[str | Path], averaging: Iterable[str | Path]) -> list[Row]:
    """Join the rows of training and averaging by run.

    Parameters
    ----------
    training, averaging
        The files of runs.

    Returns
    -------
    list of Row
        A run whose weights left the finite numbers while they were averaged has diverged too.
    """
    averages = {row["run"]: row for part in averaging for row in read(part).to_pylist()}
    rows = []
    for row in (row for part in training for row in read(part).to_pylist()):
        average = averages[row["run"]]
        status = "diverged" if average["status"] == "diverged" else row["status"]
        measured = {name: average[name] for name, *_ in AVERAGES}
        rows.append(row | measured | {"status": status, "seconds": row["seconds"] + average["seconds"]})
    return rows


_ACCURACIES = {
    "converged": "test_accuracy",
    "last": "last_test_accuracy",
    "average": "average_test_accuracy",
}


def accuracy_of(run: Mapping[str, Any], weights: str) -> Any:
    """Return the test accuracy of the weights that config key ``pruning.weights`` names; None without such weights.

    Parameters
    ----------
    run
        A row of table ``runs``.
    weights
        ``converged``, ``last`` or ``average``.

    Examples
    --------
    >>> accuracy_of({"last_test_accuracy": 0.9}, "last")
    0.9
    """
    return run[_ACCURACIES[weights]]


def with_status(parts: Iterable[str | Path], runs: pa.Table, *, initial: Initial = MappingProxyType({})) -> list[Row]:
    """Read rows of table ``pruning`` from the files of runs, with the status of their runs.

    Parameters
    ----------
    parts
        The files of runs.
    runs
        Table ``runs``.
    initial
        As in ``concatenate``.
    """
    status = {row["run"]: row["status"] for row in runs.select(["run", "status"]).to_pylist()}
    each = (table for part in parts for table in _with_initial(part, initial))
    return [row | {"status": status[row["run"]]} for table in each for row in table.to_pylist()]


def panel(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns that say to which panel a row belongs: dataset, model and variant of SGD.

    Examples
    --------
    >>> panel({"dataset": "mnist", "model": "fcn4", "variant": "", "seed": 0})
    {'dataset': 'mnist', 'model': 'fcn4', 'variant': ''}
    """
    return {name: row[name] for name, *_ in PANEL}


def panels(rows: Iterable[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Group rows by their panels, in the order of first appearance."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(panel(row).values()), []).append(row)
    return groups


def panel_title(row: Mapping[str, Any], *columns: str) -> str:
    """Name the panel of a row.

    Parameters
    ----------
    row
        With the columns of a panel.
    *columns
        The parts of the name; all by default.

    Examples
    --------
    >>> panel_title({"dataset": "digits", "model": "fcn4", "variant": "m0.9"})
    'FCN4, DIGITS, m0.9'
    """
    title = {"model": row["model"].upper(), "dataset": row["dataset"].upper(), "variant": row["variant"]}
    return ", ".join(filter(None, (title[name] for name in columns or title)))


def published(tails: pa.Table, weights: str = "average", estimator: str = "mmo_multivariate") -> pa.Table:
    """Select the aggregates of ``tails`` that have a published value, one per layer.

    Parameters
    ----------
    tails
        Table ``tails``.
    weights
        Which weights of a run.
    estimator
        Name of an estimator.
    """
    wanted = (pc.field("weights") == weights) & (pc.field("estimator") == estimator)
    return tails.filter(wanted & pc.field("alpha_published").is_valid())


def converged(runs: pa.Table) -> list[Row]:
    """List the rows of converged runs that have a tail index, ``alpha``."""
    return [row for row in runs.to_pylist() if row["status"] == "converged" and row["alpha"] is not None]


def ordered(values: Mapping[str, float | None]) -> list[str]:
    """Return texts in the order of their numbers, or as they come where one of them has none.

    Parameters
    ----------
    values : mapping of str to float
        Numbers by their texts.

    Returns
    -------
    list of str
        The texts.

    Examples
    --------
    >>> ordered({"128": 128.0, "64": 64.0})
    ['64', '128']
    """
    numbers: Collection[Any] = values.values()
    return list(values) if None in numbers else sorted(values, key=values.__getitem__)  # type: ignore[arg-type]


def as_number(text: str) -> float | None:
    """Return the number that a text stands for, or None.

    Parameters
    ----------
    text : str
        A value of a table as text.

    Returns
    -------
    float or None
        The number.

    Examples
    --------
    >>> as_number("0.25"), as_number("adam")
    (0.25, None)
    """
    try:
        return float(text)
    except ValueError:
        return None
