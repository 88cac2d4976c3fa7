"""Which law the weights of one layer follow, without its dead rows."""

from collections.abc import Sequence
from typing import Any

from sgdtails.audit.layer.estimates import Cleaned
from sgdtails.tail_index.laws import layer_laws

# Tests of fit and intervals would take most of the time of a small layer.
_SETTINGS = layer_laws.Settings(replicates=0, intervals=False)
COLUMNS = ("law", "law_best", "law_rival", "law_margin", "law_tail_index")
"""Columns of table ``audit``."""
_OF_LAYER = ("label", "best", "rival", "margin")
_LEFT_OUT = {*_OF_LAYER, "fit_p", "fit_size"}


def of_layer(cleaned: Cleaned, seed: Sequence[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Fit laws to a layer's entries and rows, and name the best.

    Parameters
    ----------
    cleaned : Cleaned
        The layer's sample without dead rows. Zeros in other rows are left out of the entries, and rows then have no laws.
    seed : sequence of int
        Seed of random parts.

    Returns
    -------
    columns : dict
        ``COLUMNS`` of table ``audit``; null where there are no laws.
    rows : list of dict
        Rows of table ``audit_laws``, less checkpoint and layer; one with the reason where there are no laws.

    Examples
    --------
    >>> import numpy as np
    >>> from sgdtails.audit.layer.estimates import clean
    >>> sample = np.random.default_rng(0).laplace(size=(256, 128)).astype(np.float32)
    >>> columns, rows = of_layer(clean(sample, np.zeros(256, bool), [0]), [0])
    >>> columns["law"], columns["law_rival"], len(rows)
    ('laplace', 'normal-inverse-gaussian', 11)
    """
    found = layer_laws.of_layer(cleaned.rows, seed=seed, settings=_SETTINGS)
    columns = dict.fromkeys(COLUMNS) | {
        "law" if name == "label" else f"law_{name}": found[0][name] for name in _OF_LAYER
    }
    if columns["law_best"]:
        best = min((row for row in found if row["bic"] is not None), key=lambda row: row["bic"])
        columns["law_tail_index"] = best["tail_index"]
    return columns, [{key: value for key, value in row.items() if key not in _LEFT_OUT} for row in found]
