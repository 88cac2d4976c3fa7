"""Names of models and datasets as figures and reports write them. Imports nothing heavy."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEY = "label"  # of entries of models and of datasets.sources; nothing but figures and the report depends on it
_DATASETS = {"mnist": "MNIST", "cifar10": "CIFAR10"}
_ACRONYM = re.compile(r"(fcn|cnn|mlp)\d*")
_NUMBER = r"[\d.]+(?:e[-+]\d+)?"
# As the run table writes variants.
_VARIANT = re.compile(rf"(?:m({_NUMBER}))?(?:-?wd({_NUMBER}))?(?:-?n({_NUMBER})a({_NUMBER})(?:-(\w+))?)?")


def without_label(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of ``models`` or ``datasets.sources`` without its label, which no result depends on.

    Parameters
    ----------
    entry
        The entry.

    Examples
    --------
    >>> without_label({"fcn": [8], "label": "small"})
    {'fcn': [8]}
    """
    return {key: value for key, value in entry.items() if key != KEY}


def of_model(name: str, model: Mapping[str, Any]) -> str:
    """Return the label of a model: its own, or its name and, where all hidden layers are equally wide, that width.

    Parameters
    ----------
    name
        Its name in config key ``models``.
    model
        Its entry there.

    Examples
    --------
    >>> of_model("fcn4", {"fcn": [256] * 4}), of_model("cnn", {"cnn": [16, "M", 32]})
    ('FCN4, width 256', 'CNN')
    """
    widths = set(model.get("fcn", ()))
    return str(model.get(KEY) or "") or with_width(name, widths.pop() if len(widths) == 1 else None)


def with_width(name: str, width: int | None) -> str:
    """Write a model's name, and a width where there is one.

    Parameters
    ----------
    name
        Its name in config key ``models``.
    width
        Units of a hidden layer.

    Examples
    --------
    >>> with_width("fcn6", 2048), with_width("fcn6_w64", 64), with_width("own", None)
    ('FCN6, width 2048', 'FCN6, width 64', 'own')
    """
    name = name.removesuffix(f"_w{width}")  # as names of models that differ by their width often end
    spelled = name.upper() if _ACRONYM.fullmatch(name) else name
    return spelled if width is None else f"{spelled}, width {width}"


def of_study(config: Mapping[str, Any], runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Collect the labels of the models and datasets of runs, as ``Labels`` takes them.

    Parameters
    ----------
    config
        A whole config.
    runs
        Rows of the run table.

    Examples
    --------
    >>> config = {"models": {"fcn4": {"fcn": [8] * 4}}, "datasets": {"sources": {"digits": {"label": "8 x 8 digits"}}}}
    >>> of_study(config, [{"model": "fcn4", "dataset": "digits"}])
    {'models': {'fcn4': 'FCN4, width 8'}, 'datasets': {'digits': '8 x 8 digits'}}
    """
    rows = list(runs)
    models, sources = config["models"], config["datasets"]["sources"]
    datasets = Labels({}, {name: sources[name]["label"] for name in sources if "label" in sources[name]})
    return {
        "models": {name: of_model(name, models[name]) for name in sorted({row["model"] for row in rows})},
        "datasets": {name: datasets.dataset(name) for name in sorted({row["dataset"] for row in rows})},
    }


def of_variant(variant: str) -> str:
    """Spell a variant of SGD out; one that is not known stays as it is.

    Examples
    --------
    >>> of_variant("m0.9-wd1e-05"), of_variant("n0.01a1.8-neuron")
    ('momentum 0.9, weight decay 1e-05', 'neuron noise 0.01 of index 1.8')
    """
    found = _VARIANT.fullmatch(variant)
    if not found:
        return variant
    momentum, decay, noise, alpha, kind = found.groups()
    words = {"momentum": momentum, "weight decay": decay, f"{kind} noise" if kind else "noise": noise}
    spelled = ", ".join(f"{name} {value}" for name, value in words.items() if value)
    return f"{spelled} of index {alpha}" if noise else spelled


@dataclass(frozen=True)
class Labels:
    """Labels by name; a name without one is written as it is, or as its acronym.

    Parameters
    ----------
    models, datasets : mapping of str to str
        Labels by the names in config keys ``models`` and ``datasets.sources``.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)

    def model(self, name: str) -> str:
        """Return the label of a model.

        Examples
        --------
        >>> Labels({"own": "ResNet-18"}).model("own"), Labels().model("fcn4")
        ('ResNet-18', 'FCN4')
        """
        return self.models.get(name) or with_width(name, None)

    def dataset(self, name: str) -> str:
        """Return the label of a dataset.

        Examples
        --------
        >>> Labels().dataset("mnist"), Labels().dataset("digits")
        ('MNIST', 'digits')
        """
        return self.datasets.get(name) or _DATASETS.get(name, name)

    def title(self, row: Mapping[str, Any]) -> str:
        """Name the panel of a row: its model, dataset and variant of SGD.

        Examples
        --------
        >>> Labels().title({"model": "fcn4", "dataset": "digits", "variant": "m0.9"})
        'FCN4, digits, momentum 0.9'
        """
        return ", ".join(
            filter(None, (self.model(row["model"]), self.dataset(row["dataset"]), of_variant(row["variant"] or "")))
        )
