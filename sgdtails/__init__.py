"""Heavy tails, pruning and SGD: the library behind the workflow. It never imports snakemake.

Public names are imported when they are first used: ``import sgdtails`` alone imports neither numpy nor torch. docs/api.md
describes them.
"""

import importlib
import typing

from sgdtails.runtime import container

container.isolate()  # before anything else is imported

__version__ = "0.2.0"  # pyproject.toml reads it here; CITATION.cff says the same

_MODULES = ("audit", "layers", "models", "pruning", "stable", "tail_index")
_NAMES: typing.Final = {
    "InputError": "sgdtails.errors",
    "Study": "sgdtails.report.results",
    "TailEstimate": "sgdtails.audit.estimation",
    "load": "sgdtails.report.results",
    "prune": "sgdtails.pruning.state_dicts",
}
__all__ = [
    "InputError",
    "Study",
    "TailEstimate",
    "audit",
    "layers",
    "load",
    "models",
    "prune",
    "pruning",
    "stable",
    "tail_index",
]

if typing.TYPE_CHECKING:
    from sgdtails.audit.estimation import TailEstimate
    from sgdtails.errors import InputError
    from sgdtails.pruning.state_dicts import prune
    from sgdtails.report.results import Study, load


def __getattr__(name: str) -> object:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
