"""Two checkpoints of one network, such as a base and what was fine-tuned from it, layer by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.layer import compressibility, estimates
from sgdtails.audit.page.blocks import Cell, Name, Page, Section, Table, number, percent
from sgdtails.audit.page.sections import interval
from sgdtails.audit.weights.matrices import Matrix, matrices
from sgdtails.errors import InputError

_ENDS = ("alpha", "alpha_low", "alpha_high")
_MEASURED = (
    *(f"{prefix}{end}" for prefix in ("base_", "tuned_", "change_") for end in _ENDS),
    *("change_norm", "change_cosine", "change_reading", "change_why", "change_effective_rank_share"),
)
TERMS = (
    ("change", "Norm of the difference of both weights over that of the base."),
    ("direction", "Cosine of the angle between the difference and the base: -1 shrinks the layer, 0 turns it, 1 stretches it."),
    ("α̂ of the change", "Tail index of the rows of the difference: below 2, few rows or weights hold most of what was learnt."),
    ("rank", "Effective rank of the difference over full rank; a random matrix has about 0.8 where it is square, a low-rank adapter next to 0."),
)  # fmt: skip


def rows(
    base: Mapping[str, Any], tuned: Mapping[str, Any], *, seed: int, entries: int, exclude: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer of two states.

    Parameters
    ----------
    base, tuned : mapping of str to numpy.ndarray or torch.Tensor
        Arrays by name. Layers are paired by their names.
    seed : int
        Seed of orders and signs.
    entries : int
        Most weights of a layer that estimates are made from.
    exclude : sequence of str
        Patterns of names of arrays that are no layers.

    Yields
    ------
    dict
        Rows of table ``audit_comparison``, less the checkpoints: ``status`` says whether a layer has changed, is unchanged, is not
        finite, has another shape, or is in one state only.

    Raises
    ------
    InputError
        If the states have no layer of one name and shape.

    Examples
    --------
    >>> weights = np.random.default_rng(0).standard_normal((64, 32))
    >>> (row,) = rows({"a.weight": weights}, {"a.weight": 0.9 * weights}, seed=0, entries=2**20)
    >>> row["status"], round(row["change_norm"], 3), round(row["change_cosine"], 3)
    ('changed', 0.1, -1.0)
    """
    ours, theirs = ({matrix.name: matrix for matrix in matrices(state, exclude)[0]} for state in (base, tuned))
    if not any(name in theirs and _shape(theirs[name]) == _shape(matrix) for name, matrix in ours.items()):
        raise InputError("the two checkpoints have no layer of one name and shape; give two of the same network.")
    for layer, name in enumerate(dict.fromkeys([*ours, *theirs])):
        one, other = ours.get(name), theirs.get(name)
        shape = _shape(one or other)
        row = {"layer": layer, "layer_name": name, "shape": " x ".join(map(str, shape)), **dict.fromkeys(_MEASURED)}
        if one is None or other is None:
            yield row | {"status": "in the second only" if one is None else "in the first only"}
        elif shape != _shape(other):
            yield row | {"status": f"other shape: {' x '.join(map(str, _shape(other)))}"}
        elif one.reason is not None or other.reason is not None:
            yield row | {"status": one.reason or other.reason}
        else:
            yield row | _compared(_numbers(one), _numbers(other), [seed, layer], entries)


def _shape(matrix: Matrix | None) -> tuple[int, ...]:
    assert matrix is not None
    return matrix.shape


def _numbers(matrix: Matrix) -> NDArray[np.float32]:
    return estimates.as_numpy(matrix.tensor, slice(None))


def _compared(
    base: NDArray[np.float32], tuned: NDArray[np.float32], seed: Sequence[int], entries: int
) -> dict[str, Any]:
    found = {"base_": estimates.of_tensor(base, seed, entries, labelled=False)}
    found["tuned_"] = estimates.of_tensor(tuned, seed, entries, labelled=False)
    row: dict[str, Any] = {}
    for prefix, each in found.items():
        if each is None:
            return {"status": "not finite"}
        row |= {f"{prefix}{end}": each.columns.get(end) for end in _ENDS}
    change = tuned - base
    size, whole = (float(np.linalg.norm(x.reshape(-1).astype(np.float64))) for x in (change, base))
    if size == 0:
        return row | {"status": "unchanged", "change_norm": 0.0}
    row["status"] = "changed"
    if whole > 0:
        product = float(np.einsum("i,i->", change.reshape(-1), base.reshape(-1), dtype=np.float64))
        row |= {"change_norm": size / whole, "change_cosine": product / size / whole}
    of_change = estimates.of_tensor(change, seed, entries)
    if of_change is not None:
        row |= {f"change_{name}": of_change.columns.get(name) for name in (*_ENDS, "reading", "why")}
    values, used = compressibility.singular_values(change, np.random.default_rng([*seed, 3]))
    row["change_effective_rank_share"] = compressibility.spectrum(values, used).get("effective_rank_share")
    return row


def page(base: str, tuned: str, found: Sequence[Mapping[str, Any]]) -> Page:
    """Put together the page of a comparison.

    Parameters
    ----------
    base, tuned : str
        What the two are called.
    found : sequence of dict
        What ``rows`` yields.

    Returns
    -------
    Page
        The answer, a table of layers, and what its columns mean.

    Examples
    --------
    >>> weights = np.random.default_rng(0).standard_normal((64, 32))
    >>> found = list(rows({"a.weight": weights}, {"a.weight": weights}, seed=0, entries=2**20))
    >>> "".join(page("base", "tuned", found).answer[0])
    'base and tuned: of 1 layers 0 have changed, 1 are unchanged and 0 cannot be compared.'
    """
    changed = [row for row in found if row["status"] == "changed"]
    same = sum(row["status"] == "unchanged" for row in found)
    counted = f": of {len(found)} layers {len(changed)} have changed, {same} are unchanged and {len(found) - len(changed) - same} cannot be compared."
    answer: list[Sequence[str]] = [[Name(base), " and ", Name(tuned), counted]]
    known = sorted((row for row in changed if row["change_norm"] is not None), key=lambda row: -row["change_norm"])
    if known:
        middle = float(np.median([row["change_norm"] for row in known]))
        most = known[0]
        answer.append([f"In the median layer the change is {percent(middle)} of the norm, most in ", Name(most["layer_name"]), f" ({percent(most['change_norm'])})."])  # fmt: skip
        heavy = sum(row["change_reading"] == "stable-like" for row in known)
        answer.append([f"The change is stable-like in {heavy} of {len(known)} layers."])
    table = Table("layers", "One line per layer", _COLUMNS, [_cells(row) for row in found])
    return Page(["Comparison of ", Name(base), " and ", Name(tuned)], answer, [Section("Layers", table=table), Section("How to read this page", terms=TERMS)])  # fmt: skip


_COLUMNS = (
    *(("layer", True), ("name", False), ("shape", False), ("status", False), ("change", True), ("direction", True)),
    *(("α̂ of the first", True), ("of the second", True), ("of the change", True), ("label of the change, and why", False)),
    ("rank of the change", True),
)  # fmt: skip


def _cells(row: Mapping[str, Any]) -> list[Cell]:
    label = row["change_reading"]
    mark = (label or "").removesuffix("-like")
    indices = (Cell([interval(row, prefix)], row[f"{prefix}alpha"]) for prefix in ("base_", "tuned_", "change_"))
    rank = row["change_effective_rank_share"]
    return [
        Cell([str(row["layer"])], row["layer"]),
        Cell([Name(row["layer_name"])]),
        Cell([row["shape"].replace(" x ", " × ")], math.prod(map(int, row["shape"].split(" x ")))),
        Cell([row["status"]]),
        Cell([percent(row["change_norm"])], row["change_norm"]),
        Cell([number(row["change_cosine"])], row["change_cosine"]),
        *indices,
        Cell([label, f": {row['change_why']}"] if label else [""], mark=mark),
        Cell([number(rank)], rank),
    ]
