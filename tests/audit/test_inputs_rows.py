"""What the tables and the page say of layers without numbers, and of what was left out."""

import pytest
import torch

from sgdtails.audit import checkpoint_audits
from sgdtails.errors import InputError
from sgdtails.io import tables


def test_layers_without_numbers_are_rows_and_arrays_without_layers_are_listed(tmp_path):
    """Cases 7, 8 and 17: no traceback, a reason for each; every array is in one of the two tables."""
    state = {
        "empty.weight": torch.zeros(0, 3, 3, 3),
        "meta.weight": torch.empty(80, 70, device="meta"),
        "q.lora_A.weight": torch.randn(8, 80),
        "q.lora_B.weight": torch.zeros(70, 8),
        "fc.weight": torch.randn(80, 70),
        "fc.bias": torch.zeros(80),
        "attn_mask": torch.zeros(9, 9),
    }
    torch.save({"state_dict": state}, tmp_path / "my.pt")
    page = checkpoint_audits.audit("my", str(tmp_path / "my.pt"), tmp_path / "audits")
    rows = {row["layer_name"]: row for row in tables.read(tmp_path / "audits/my/audit.parquet").to_pylist()}
    assert list(rows) == ["empty", "meta", "q[lora]", "fc"]
    reasons = {name: row["reason"] for name, row in rows.items()}
    assert reasons["empty"] == "empty: it has no numbers"
    assert reasons["meta"].startswith("no numbers: it is on the meta device")
    assert reasons["q[lora]"].startswith("zero: ")
    assert {row["alpha"] is None for name, row in rows.items() if name != "fc"} == {True}
    assert rows["fc"]["alpha"] is not None
    assert rows["empty"]["shape"] == "0 x 3 x 3 x 3"
    left = tables.read(tmp_path / "audits/my/skipped.parquet").to_pylist()
    assert [(row["checkpoint"], row["name"], row["shape"], row["reason"]) for row in left] == [
        ("my", "fc.bias", "80", "a bias"),
        ("my", "attn_mask", "9 x 9", "a mask"),
    ]
    assert "1 as a bias" in page
    assert "1 as a mask" in page


def test_a_file_without_layers_leaves_nothing_behind(tmp_path):
    torch.save({"fc.bias": torch.zeros(80)}, tmp_path / "my.pt")
    with pytest.raises(InputError, match=r"holds no matrices among its 1 array \(1 left out as a bias\)"):
        checkpoint_audits.audit("my", str(tmp_path / "my.pt"), tmp_path / "audits")
    assert [path.name for path in tmp_path.iterdir()] == ["my.pt"]
