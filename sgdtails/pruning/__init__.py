"""Compression and pruning: plans, methods, what a pruned network still does and costs.

The names of ``methods`` are names of this package too; it is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.pruning.methods"), name)
