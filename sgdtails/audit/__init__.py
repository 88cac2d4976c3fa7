"""What a checkpoint's weights say by themselves.

The names of ``layer_audit`` are names of this package too; it is imported when one of them is first used.
"""

import importlib


def __getattr__(name: str) -> object:
    return getattr(importlib.import_module("sgdtails.audit.layer_audit"), name)
