"""Compare the tables of two studies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def compare(before: Path, after: Path) -> list[dict[str, Any]]:
    """Compare the tables (.parquet) of two folders; return a row for each table, column or kind of row that has changed.

    ``amount``: rows, or of a changed column the largest difference relative to the larger of both values; of a column of
    other things than numbers the share of rows that differ.
    """
    old, new = ({path.stem: path for path in folder.glob("*.parquet")} for folder in (before, after))
    found: list[dict[str, Any]] = []
    for table in sorted(old.keys() | new.keys()):
        if table in old and table in new:
            pair = pd.read_parquet(old[table]), pd.read_parquet(new[table])
            found += ({"table": table} | row for row in _differences(*pair))
        else:
            found.append({"table": table, "what": "table", "change": "gone" if table in old else "new", "amount": None})
    return found


def _differences(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for change, columns in (
        ("gone", old.columns.difference(new.columns)),
        ("new", new.columns.difference(old.columns)),
    ):
        yield from ({"what": f"column {name}", "change": change, "amount": None} for name in columns)
    shared = [name for name in old.columns if name in new.columns]
    key = key_of(old[shared], new[shared])
    if not key and len(old) != len(new):
        yield {"what": "rows, which nothing tells apart", "change": "changed", "amount": len(new) - len(old)}
        return
    if key:
        both = old[shared].merge(new[shared], on=key, how="outer", suffixes=("", "|new"), indicator="|where")
    else:
        both = pd.concat([old[shared], new[shared].add_suffix("|new")], axis=1).assign(**{"|where": "both"})
    for change, side in (("gone", "left_only"), ("new", "right_only")):
        if count := int((both["|where"] == side).sum()):
            yield {"what": "rows", "change": change, "amount": count}
    both = both[both["|where"] == "both"]
    for name in (name for name in shared if name not in key):
        if amount := difference(both[name], both[f"{name}|new"]):
            yield {"what": f"column {name}", "change": "changed", "amount": amount}


def key_of(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Return the first columns that tell the rows of both tables apart; none if all columns do not."""
    key: list[str] = []
    groups = [1, 1]
    for name in old.columns:
        more = [len(frame[[*key, name]].drop_duplicates()) for frame in (old, new)]
        if more > groups:
            key, groups = [*key, name], more
        if groups == [len(old), len(new)]:
            return key
    return []


def difference(old: pd.Series, new: pd.Series) -> float:
    """Return the ``amount`` of ``compare`` for one column: 0 if nothing differs, infinite if a number is null in one table."""
    if not all(pd.api.types.is_numeric_dtype(column) for column in (old, new)):
        return float((~((old == new) | (old.isna() & new.isna()))).mean()) if len(old) else 0.0
    a, b = old.to_numpy(np.float64, na_value=np.nan), new.to_numpy(np.float64, na_value=np.nan)
    differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    a, b = a[differ], b[differ]
    with np.errstate(invalid="ignore"):
        relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    return float(np.nan_to_num(relative, nan=np.inf).max(initial=0))
