"""Tail indices: estimators, intervals, random orders, classes, nulls.

The names of ``mmo`` are names of this package too; it is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.tail_index.mmo"), name)
