"""Networks: the built-in ones, users' own, and initial laws.

All names of ``building`` are names of this package, too. It is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.models.building"), name)
