"""Snakemake's notes on results: those that are lost or damaged are written again from what the results say of themselves."""

import copy
import json

import pytest

from tests.workflow.conftest import TINY

pytestmark = pytest.mark.slow("studies whose records are damaged")

TARGET = "results/tiny/data/digits.safetensors"
DAMAGE = (b'{"rule": "dat', b'{"rule": "\xff"}', b"3")  # cut off, no text, no note


def test_damaged_notes_are_written_again_and_settings_still_count(fresh):
    assert fresh.run(TINY, "--", TARGET).returncode == 0
    (note,) = (path for path in (fresh.folder / ".snakemake/metadata").rglob("*") if path.is_file())
    params = json.loads(note.read_text())["params"]
    for data in (None, *DAMAGE):
        note.unlink() if data is None else note.write_bytes(data)
        assert "dataset" not in fresh.planned(TINY, "--", TARGET)
        assert json.loads(note.read_text())["params"] == params
    note.write_bytes(DAMAGE[0])
    other = copy.deepcopy(TINY) | {"datasets": {"sources": {"digits": {"kind": "digits", "test_fraction": 0.3}}}}
    assert fresh.planned(other, "--", TARGET) == {"dataset": 1}
