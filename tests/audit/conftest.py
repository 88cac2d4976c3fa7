import pytest
import torch

from tests.audit.helpers import OLD, read


@pytest.fixture(params=[{}, OLD], ids=["zip", "old"])
def saved(request, tmp_path):
    """Save as torch does now, or did before torch 1.6, and read it again."""

    def through(held, **more):
        torch.save(held, tmp_path / "a.pt", **request.param)
        return read(tmp_path / "a.pt", **more)

    return through
