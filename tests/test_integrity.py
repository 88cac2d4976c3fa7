import json

import numpy as np
import pyarrow as pa
import pytest

from sgdtails import integrity, parquet, storage


@pytest.fixture
def study(tmp_path):
    """One file of each kind."""
    folder = tmp_path / "results/study"
    storage.save_arrays(folder / "data/digits.safetensors", {"images": np.ones((100, 8))}, {})
    parquet.store(pa.table({"x": [1, 2]}), folder / "runs/a/tails.parquet", provenance={})
    parquet.store(pa.table({"x": [3]}), folder / "calibration/layer_2x1.parquet", provenance={})
    for name in ("tables/claims.md", "figures/fig01.pdf", "figures/fig01.png", "report.html"):
        with storage.atomic(folder / name) as temporary:
            temporary.write_bytes(name.encode())
    return folder


def names(study, *, weights=True):
    return [path.name for path, _ in integrity.damaged(study, weights=weights)]


NAMES = [
    "digits.safetensors",
    "tails.parquet",
    "layer_2x1.parquet",
    "claims.md",
    "fig01.pdf",
    "fig01.png",
    "report.html",
]


def test_whole_results_are_left_as_they_are(study, capsys):
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    assert list(integrity.repair(study)) == []
    assert integrity.main(study.parent) == 0
    assert capsys.readouterr().out == "7 files checked, 0 damaged.\n"
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_found_and_removed_with_one_sentence(study, name, damage):
    (path,) = study.rglob(name)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[5] ^= 4
    else:
        del data[-1:]
    path.write_bytes(data)
    assert names(study, weights=False) == names(study) == [name]
    (said,) = integrity.repair(study)
    assert said.startswith(f"{path} is not ")
    assert said.endswith("it is removed, and made again if it is needed.")
    assert not path.exists()
    assert names(study) == []


def test_audits_lie_beside_studies(tmp_path):
    folder = tmp_path / "results/audit/mine"
    parquet.store(pa.table({"x": [1, 2]}), folder / "audit.parquet", provenance={})
    (folder / "logs").mkdir()
    (folder / "logs/audit.tsv").write_text("no result")
    assert names(folder.parent) == []
    (folder / "audit.parquet").write_bytes(b"PAR1")
    assert names(folder.parent) == ["audit.parquet"]
    assert len(list(integrity.repair(folder.parent))) == 1
    assert not (folder / "audit.parquet").exists()


def test_a_bit_in_the_midst_of_weights_is_found_where_all_is_read(study, capsys):
    (path,) = study.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert names(study, weights=False) == []
    assert integrity.main(study.parent) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["7 files checked, 1 damaged."]
    assert path.exists()


@pytest.mark.parametrize("lost", [None, b"", b"\xff\xfe", b"0" * 64 + b"  another.md\n"])
def test_without_a_digest_figures_are_made_again_and_tables_get_one(study, lost):
    for seal in study.rglob("*.sha256"):
        if lost is None:
            seal.unlink()
        else:
            seal.write_bytes(lost)
    assert len(list(integrity.repair(study))) == 3
    (table,) = study.rglob("tails.parquet")
    assert storage.read_seal(table)
    assert not list(study.rglob("fig*.*")) + list(study.rglob("*.md"))


def test_notes_that_cannot_be_read_are_removed_and_marks_stay(tmp_path):
    def validate(note):
        if not isinstance(note, dict):
            raise ValueError

    whole, broken, no_note, mark = (
        tmp_path / name for name in ("metadata/a", "metadata/b", "metadata/@/c", "incomplete/d")
    )
    for path, data in ((whole, b"{}"), (broken, b'{"rule": "\xff'), (no_note, b"3"), (mark, b'{"external')):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
    said = list(integrity.repair_notes(tmp_path, validate))
    assert len(said) == 2
    assert whole.exists()
    assert not broken.exists()
    assert not no_note.exists()
    assert json.loads(mark.read_text()) == {"external_jobid": None}


def test_a_lock_is_seen(tmp_path):
    assert not integrity.locked(tmp_path)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.input.lock").touch()
    assert integrity.locked(tmp_path)
