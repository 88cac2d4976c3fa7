from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtails.audit.checkpoint import Checkpoint
from tests.audit.helpers import OLD, read


@pytest.fixture(params=[{}, OLD], ids=["zip", "old"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Checkpoint]:
    """Save as torch does now, or did before torch 1.6, and read it again."""

    def through(held: Any, **more: Any) -> Checkpoint:
        torch.save(held, tmp_path / "a.pt", **request.param)
        return read(tmp_path / "a.pt", **more)

    return through
