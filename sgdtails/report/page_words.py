"""What a study's page calls panels and effects, whose names in tables are for programs."""

from collections.abc import Iterable, Mapping
from typing import Any

from sgdtails.claims.markdown import number
from sgdtails.io.tables import panel_title
from sgdtails.labels import Labels

Row = Mapping[str, Any]
_EFFECTS = {  # names of effects in table claims as sentences have them; others are words already
    "spearman_rho": "Spearman's rho",
    "mean_spearman_rho": "mean of Spearman's rho",
    "partial_spearman_rho": "partial Spearman's rho",
    "kendall_tau": "Kendall's tau",
    "granulated_kendall_tau": "granulated Kendall's tau",
    "kolmogorov_distance": "Kolmogorov's distance",
    "mean_alpha_minus_2": "mean α̂ less 2",
    "change_over_standard_error": "change over its standard error",
}


def effect(row: Row, link: str = "") -> str:
    """Write a claim's effect, with its name; nothing where there is none.

    Parameters
    ----------
    row : mapping
        A row of table ``claims``.
    link : str
        What is between name and number.

    Returns
    -------
    str
        Such as the example's.

    Examples
    --------
    >>> effect({"effect_name": "mean_difference", "effect": -0.0123}, " is")
    'mean difference is -0.0123'
    """
    if row["effect"] is None:
        return ""
    name = row["effect_name"]
    return f"{_EFFECTS.get(name, name.replace('_', ' '))}{link} {number(row['effect'])}"


def panel_titles(rows: Iterable[Row], of: Iterable[Row], names: Labels) -> dict[str, str]:
    """Collect what people call the panels of table ``claims``, whose names there are in capitals.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of table ``claims``.
    of : iterable of mapping
        The runs: rows of table ``runs`` or ``training``.
    names : Labels
        What models and datasets are called.

    Returns
    -------
    dict of str to str
        Titles by panel. Some claims are about all runs of one kind of network, of any width and depth.

    Examples
    --------
    >>> runs = [{"model": "fcn4", "kind": "fcn", "dataset": "digits", "variant": ""}]
    >>> panel_titles([{"panel": "FCN4, DIGITS"}, {"panel": "DIGITS, FCN, b = 50"}], runs, Labels())
    {'FCN4, DIGITS': 'FCN4, digits', 'DIGITS, FCN, b = 50': 'digits, every FCN, b = 50'}
    """
    runs = list(of)
    known = {panel_title(run): names.title(run) for run in runs}
    words = {run["kind"].upper(): f"every {run['kind'].upper()}" for run in runs if run.get("kind")}
    words |= {run["model"].upper(): names.model(run["model"]) for run in runs}
    words |= {run["dataset"].upper(): names.dataset(run["dataset"]) for run in runs}
    parts = {row["panel"]: row["panel"].replace("eta = ", "η = ").split(", ") for row in rows}
    return {name: known.get(name) or ", ".join(words.get(part, part) for part in parts[name]) for name in parts}
