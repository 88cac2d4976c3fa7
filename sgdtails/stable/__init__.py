"""Symmetric alpha-stable laws: sampling and limits.

The names of ``sampling`` are names of this package too; it is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.stable.sampling"), name)
