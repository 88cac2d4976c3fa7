"""Networks: shapes, initial laws, the built-in ones and the user's own.

The names of ``building`` are names of this package too; it is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.models.building"), name)
