"""A plan of pruning from an audit: which share of each parameter can go, as ``torch.nn.utils.prune`` takes it."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sgdtails.audit.layer.compressibility import MAGNITUDES
from sgdtails.audit.layers import Rows
from sgdtails.pruning import allocation

SPARED = ("embedding",)  # kinds of layers that a plan leaves alone: a token that is rare looks small


def plan(name: str, rows: Rows, *, spread: float = allocation.SPREAD) -> dict[str, Any]:
    """Say which share of each parameter can go at each relative error, and how the same number of entries is allotted by tail index.

    Parameters
    ----------
    name : str
        What the audit is called.
    rows : dict
        Rows of its tables.
    spread : float
        Of ratios by tail index: see ``pruning.allocation.by_alpha``.

    Returns
    -------
    dict
        ``by_error`` and ``by_alpha``, each with a list of ``module``, ``name`` and ``amount`` for each relative error as text: the arguments of
        ``torch.nn.utils.prune.l1_unstructured``. ``left_out`` names layers that are not in it, with a reason.

    Examples
    --------
    >>> row = {"layer": 0, "layer_name": "fc", "parameter": "fc.weight", "parameters": 8, "kind": "linear", "alpha": 1.5}
    >>> kappa = {"layer": 0, "structure": "magnitudes", "epsilon": 0.1, "kappa": 0.75}
    >>> plan("mine", {"audit": [row], "audit_compression": [kappa]})["by_error"]["0.1"]
    [{'module': 'fc', 'name': 'weight', 'amount': 0.25}]
    """
    kappas = {
        (row["layer"], row["epsilon"]): row["kappa"]
        for row in rows["audit_compression"]
        if row["structure"] == MAGNITUDES
    }
    reasons = {row["layer_name"]: _left_out(row, kappas) for row in rows["audit"]}
    layers = [row for row in rows["audit"] if reasons[row["layer_name"]] is None]
    found: dict[str, Any] = {"checkpoint": name, "by_error": {}, "by_alpha": {}, "spread": spread}
    for level in sorted({epsilon for _, epsilon in kappas}):
        ratios = [1 - kappas[row["layer"], level] for row in layers]
        sizes = [row["parameters"] for row in layers]
        share = math.fsum(ratio * size for ratio, size in zip(ratios, sizes, strict=True)) / sum(sizes) if sizes else 0
        allotted = allocation.by_alpha([row["alpha"] for row in layers], sizes, min(share, 1.0), spread=spread)
        found["by_error"][f"{level:g}"] = _amounts(layers, ratios)
        found["by_alpha"][f"{level:g}"] = _amounts(layers, allotted)
    found["left_out"] = {layer: reason for layer, reason in reasons.items() if reason}
    return found


def write(found: Mapping[str, Any]) -> str:
    """Write a plan as JSON, an entry a line.

    >>> write({"by_error": {"0.1": [{"module": "a", "name": "weight", "amount": 0.5}]}}).count(chr(10))
    7
    """
    text = json.dumps(found, indent=1, ensure_ascii=True)
    for name in ("module", "name", "amount"):  # keep what belongs together on one line
        text = text.replace(f'{{\n    "{name}"', f'{{"{name}"').replace(f',\n    "{name}"', f', "{name}"')
    return text.replace("\n   }", "}") + "\n"


def _left_out(row: Mapping[str, Any], kappas: Mapping[tuple[int, float], float]) -> str | None:
    if row["parameter"] is None:
        return "no array of the file is this layer"
    if row["kind"] in SPARED:
        return "an embedding"
    return (
        None
        if any(layer == row["layer"] for layer, _ in kappas)
        else "its weights are all zero, not all finite, or too large"
    )


def _amounts(layers: Sequence[Mapping[str, Any]], ratios: Sequence[float]) -> list[dict[str, Any]]:
    """Shares of parameters: parts of one parameter, such as q, k and v, lose together what they would lose apart.

    The smallest entries of all parts together have no larger norm than as many that are the smallest of each.
    """
    removed: dict[str, float] = defaultdict(float)
    sizes: dict[str, int] = defaultdict(int)
    for row, ratio in zip(layers, ratios, strict=True):
        removed[row["parameter"]] += ratio * row["parameters"]
        sizes[row["parameter"]] += row["parameters"]
    amounts = []
    for key, size in sizes.items():
        module, _, name = key.rpartition(".")
        amounts.append({"module": module, "name": name, "amount": math.floor(removed[key] + 1e-6) / size})
    return amounts
