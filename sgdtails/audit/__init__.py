"""What a checkpoint's weights say by themselves.

The package is a function too: ``sgdtails.audit("my.safetensors")`` and ``sgdtails.audit(model.state_dict())`` give an
``Audit``, which a notebook shows as a page.
"""

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgdtails.audit.result import Audit


class _Callable(types.ModuleType):
    """A package that can be called."""

    def __call__(self, checkpoint: Any, **settings: Any) -> "Audit":
        """Audit a checkpoint: see ``sgdtails.audit.result.audit``."""
        from sgdtails.audit import result

        return result.audit(checkpoint, **settings)


sys.modules[__name__].__class__ = _Callable
