"""A study as its config describes it: its runs, and what the results of each depend on. Imports nothing heavy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from sgdtails import labels
from sgdtails.config import (
    config_schema,
    prunable_layers,
    resources,
    run_table,
    source_settings,
    validation,
)
from sgdtails.config.types import Config, Model, Run, Settings, Source
from sgdtails.errors import InputError

_OWN_COLUMNS = {"dataset", "model", "step_size", "seed"}  # of a row: not what runs of one job share as settings of SGD


def read_config(path: Path | None, base: Path | None = None, *, checked: bool = True) -> dict[str, Any]:
    """Read ``config/config.yaml`` with the keys of another file in place of its own, as Snakemake joins them.

    Parameters
    ----------
    path
        The other file, if any.
    base
        The folder that holds ``config/``; by default the one that the package came with.
    checked
        False where the package jsonschema is not installed: then the config is taken as it is.

    Returns
    -------
    dict
        The whole config.

    Raises
    ------
    InputError
        A file cannot be read, or says what the schema refuses.

    Examples
    --------
    >>> read_config(None)["study"]
    'paper'
    """
    config = dict(validation.read_yaml((base or resources.base()) / "config/config.yaml", "config"))
    if path is not None:
        over = validation.read_yaml(path, "--configfile") or {}
        if not isinstance(over, dict):
            kind = type(over).__name__
            raise InputError(f"--configfile: {path} holds a {kind}; give a file of keys, such as study: mine.")
        config = _updated(config, over)
    complete(config, base, checked=checked)
    return config


def _updated(config: Config, over: Config) -> dict[str, Any]:
    """As ``snakemake.utils.update_config`` does: the image has no Snakemake."""
    both = dict(config)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _updated(both[key], value) if nested else value
    return both


def complete(config: dict[str, Any], base: Path | None = None, *, checked: bool = True) -> None:
    """Check a merged config against the schema, and take from its models what the defaults have added to another kind.

    Parameters
    ----------
    config
        Changed in place.
    base
        The folder that holds ``config/``; by default the one that the package came with.
    checked
        False to leave the checks out.

    Raises
    ------
    InputError
        The config says what the schema refuses, or its parts do not go together.
    """
    folder = (base or resources.base()) / "config"
    defaults = validation.read_yaml(folder / "config.yaml", "config")["models"]
    config["models"] = config_schema.whole_models(config["models"], defaults)
    if not checked:
        return
    config_schema.validate(config, validation.read_yaml(folder / "config.schema.yaml", "schema"))
    for name, source in config["datasets"]["sources"].items():
        source_settings.check(name, source)


@dataclass(frozen=True)
class Study:
    """The runs of a config, and the settings that rules and benchmarks hand to scripts.

    Parameters
    ----------
    config
        A whole config, as ``complete`` leaves it.
    runs
        The run table, by run id.
    """

    config: Config
    runs: Mapping[str, Run]

    @classmethod
    def read(cls, config: Config, base: Path) -> "Study":
        """Read the run table of a config.

        Parameters
        ----------
        config
            A whole config.
        base
            Where the path of a run table is looked up if it is not in the working directory.

        Raises
        ------
        InputError
            The run table cannot be used.
        """
        sources, models = config["datasets"]["sources"], config["models"]
        return cls(config, run_table.read_runs(config["runs"], datasets=sources, models=models, base=base))

    @cached_property
    def models(self) -> dict[str, Model]:
        """The models of the study's runs, by name, without their labels: no result depends on these."""
        entries = self.config["models"]
        return {row["model"]: cast("Model", labels.without_label(entries[row["model"]])) for row in self.runs.values()}

    @cached_property
    def labels(self) -> dict[str, dict[str, str]]:
        """What figures and the report call the models and datasets of the study's runs."""
        return labels.of_study(self.config, self.runs.values())

    @property
    def train_sizes(self) -> dict[str, int | None]:
        """How many training images each dataset of the study's runs has, if its source says so."""
        return {
            name: self.source(name).get("train_size") for name in sorted({row["dataset"] for row in self.runs.values()})
        }

    def source(self, name: str) -> Source:
        """Return the entry of a dataset, without its label."""
        return cast("Source", labels.without_label(self.config["datasets"]["sources"][name]))

    @cached_property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The pruning methods that are run, by model."""
        return {name: prunable_layers.methods(model, self.config["pruning"]) for name, model in self.models.items()}

    @cached_property
    def exempt(self) -> dict[str, list[str | int]]:
        """The entries of ``pruning.exempt`` that concern a model, by model. InputError if no model has such a layer."""
        entries, models = self.config["pruning"]["exempt"], self.models
        return {name: prunable_layers.of_model(entries, model, models.values()) for name, model in models.items()}

    def initial(self, row: Run) -> Settings:
        """Return what an initial network depends on, beside its seed."""
        return {"dataset": row["dataset"], "name": row["model"], "model": self.models[row["model"]]}

    def network(self, row: Run, columns: Iterable[str] = ()) -> Settings:
        """Return what a network and its arithmetic depend on: its model, and columns of the run table."""
        values: Mapping[str, Any] = row
        return {
            "run": {column: values[column] for column in ("dataset", "model", *columns)},
            "model": self.models[row["model"]],
            "device": self.config["device"],
            "precision": self.config["precision"],
            "threads": self.config["resources"]["threads"],
        }

    def steps(self, row: Run, stage: str, slots: int | None = None) -> Settings:
        """Return what training or averaging a run depends on, beside step size and seed.

        Parameters
        ----------
        row
            A row of the run table.
        stage
            ``train`` or ``average``.
        slots
            Runs that train side by side; config key ``slots`` by default. On a GPU their number decides which kernels
            compute a step, to the last bit; on a CPU it does not count.
        """
        found = self.network(row, sorted(row.keys() - _OWN_COLUMNS)) | {"stop": self.config["stop"]}
        if stage == "average":
            found["average"] = self.config["average"]
        else:
            found["snapshots"] = self.config["snapshots"]
        if self.config["device"] != "cpu":
            found["slots"] = self.config["slots"] if slots is None else slots
        return found

    def pruning(self, row: Run) -> Settings:
        """Return what pruning a network depends on."""
        how = self.config["pruning"]
        methods = {method: how[method] for method in self.methods[row["model"]]}
        more = {key: how[key] for key in ("evaluate", "own", "adaptive", "centring")}
        if how["attack"]:  # studies without one keep their settings
            more["attack"] = how["attack"]
        return self.network(row) | more | {"methods": methods, "exempt": self.exempt[row["model"]]}

    def analysis(self, name: str, model: str = "", *, initial: bool = False) -> Settings:
        """Return what an analysis of trained, or of initial, weights depends on.

        Parameters
        ----------
        name
            ``tails``, ``laws``, ``compression``, ``dependence``, ``errors``, ``bounds`` or ``perturbation``.
        model
            The network's model: only ``bounds`` and ``perturbation`` depend on it.
        initial
            True of an initial network; config key ``pruning.weights`` then says nothing.
        """
        config, how = self.config, self.config["pruning"]
        kind: Settings = {} if initial else {"weights": how["weights"]}
        if name == "tails":
            return {**kind, **config["tails"]}
        if name == "laws":
            return {**config["laws"], "centring": config["tails"]["centring"]}
        if name == "dependence":
            return {**config["dependence"], "centring": config["tails"]["centring"]}
        if name == "errors":
            return {**kind, **config["errors"], "centring": how["centring"], "index": config["index"]}
        if name == "compression":
            return {**kind, **config["compression"], "centring": how["centring"]}
        place = {"device": config["device"], "threads": config["resources"]["threads"]}
        if name == "bounds":
            return {**kind, **place, "fully_connected": "fcn" in self.models[model], "bounds": config["bounds"]}
        pruned = {"ratios": how["layer_magnitude"]["ratios"], "centring": how["centring"]}
        return {**kind, **place, **config["perturbation"], **pruned, "exempt": self.exempt[model]}
