"""A config as a whole, once it is merged: what its user meant, what does not go together, and what claims can name."""

from collections.abc import Mapping
from typing import Any

from sgdtails.errors import InputError

Config = Mapping[str, Any]
_STEEPEST = 30  # p/alpha: of 5e7 entries of a stable law the largest, to the power p, is still below 1e308


def whole_models(models: Any, defaults: Config) -> Any:
    """Entries of ``models`` as their user wrote them: of one that is of another kind than the default of this name, nothing of the default.

    A ``--configfile`` is merged key by key: ``fcn4: {cnn: [...]}`` would be both an fcn, by default, and a cnn.
    """
    if not isinstance(models, Mapping):
        return models
    return {name: _without(entry, defaults.get(name, {})) for name, entry in models.items()}


def _without(entry: Any, default: Config) -> Any:
    if not isinstance(entry, Mapping) or not {"fcn", "cnn", "factory"} & (entry.keys() - default.keys()):
        return entry
    return {key: value for key, value in entry.items() if default.get(key) != value}


def check_together(config: Config) -> None:
    """InputError for values that are each sound, but not beside each other; the schema has passed them."""
    stop, band, alpha = config["stop"], config["theorems"]["band"], config["synthetic"]["alpha"]
    if stop["gate"] > stop["budget"]:
        raise InputError(
            f"config key stop.gate is {stop['gate']}, more than stop.budget, {stop['budget']}: "
            "no run would be looked at before its end; make it smaller."
        )
    if band[0] >= band[1]:
        raise InputError(f"config key theorems.band is {band}; give the lower quantile first, such as [0.05, 0.95].")
    if alpha[0] > alpha[1]:
        raise InputError(f"config key synthetic.alpha is {alpha}; give the smaller tail index first.")
    p, lowest = max(config["theorems"]["p"]), min(config["theorems"]["alpha"])
    if p > _STEEPEST * lowest:
        raise InputError(
            f"config key theorems: p = {p:g} at alpha = {lowest:g} leaves the range of float64; "
            f"keep p at most {_STEEPEST} times alpha."
        )


def computed(config: Config) -> dict[str, list[Any]]:
    """What claims can name because of this config, beside the workflow's own names, by the key that names it in a claim."""
    return {
        "estimator": sorted(config["tails"]["own"]),
        "method": sorted(config["pruning"]["own"]),
        "weights": [config["pruning"]["weights"]],
        "p": config["compression"]["p"],
        "epsilon": config["compression"]["epsilon"],
        "kappa": config["errors"]["kappa"],
    }
