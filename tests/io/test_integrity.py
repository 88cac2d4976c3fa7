import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from sgdtails.io import integrity, manifest, parquet, storage
from tests.conftest import ROOT


@pytest.fixture
def study(tmp_path):
    """One file of each kind, and the list of them."""
    folder = tmp_path / "results/study"
    storage.save_arrays(folder / "data/digits.safetensors", {"images": np.ones((100, 8))}, {})
    parquet.store(pa.table({"x": [1, 2]}), folder / "runs/a/tails.parquet", provenance={})
    parquet.store(pa.table({"x": [3]}), folder / "calibration/layer_2x1.parquet", provenance={})
    for name in ("tables/claims.md", "figures/fig01.pdf", "figures/fig01.png", "report.html"):
        with storage.atomic(folder / name) as temporary:
            temporary.write_bytes(name.encode())
    assert manifest.write(folder, [str(path.relative_to(folder)) for path in results(folder)], []) == ""
    return folder


def results(study):
    """Its files, without hidden ones and those set aside."""
    found = [path for path in sorted(study.rglob("*")) if path.is_file()]
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(study).parts)]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(study, *, weights=True):
    return [path.name for path, _ in integrity.damaged(results(study), weights=weights)]


def verified(study, capsys):
    """Exit status and lines of ``make verify``."""
    status = integrity.main(study.parent)
    return status, capsys.readouterr().out.splitlines()


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
    before = contents(study)
    assert list(integrity.repair(study, results(study))) == []
    assert verified(study, capsys) == (0, ["7 files checked, 0 problems."])
    assert contents(study) == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_found_and_moved_aside_with_one_sentence(study, name, damage):
    (path,) = study.rglob(name)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[5] ^= 4
    else:
        del data[-1:]
    path.write_bytes(data)
    assert names(study, weights=False) == names(study) == [name]
    (said,) = integrity.repair(study, results(study))
    kept = study / ".damaged" / path.relative_to(study)
    assert said.startswith(f"{path} is not ")
    assert said.endswith(f"it is moved to {kept}, and made again if it is needed.")
    assert not path.exists()
    assert kept.read_bytes() == data
    assert names(study) == []


def test_what_was_moved_aside_before_stays(study):
    path = study / "figures/fig01.png"
    for number in range(3):
        path.write_bytes(b"%d" % number)
        assert len(list(integrity.repair(study, [path]))) == 1
    kept = sorted((study / ".damaged/figures").iterdir())
    assert [file.name for file in kept] == ["fig01.png", "fig01.png.1", "fig01.png.2"]
    assert [file.read_bytes() for file in kept] == [b"0", b"1", b"2"]


def test_weights_of_an_earlier_version_are_kept_and_said_to_be_of_one(study):
    path = study / "runs/a/last.safetensors"
    save_file({"w": np.ones(3)}, path, {"sgdtails": json.dumps({"order": ["w"], "run": "a", "status": "converged"})})
    before = path.read_bytes()
    (said,) = integrity.repair(study, [path])
    kept = study / ".damaged/runs/a/last.safetensors"
    assert "was written by an early version 0.1.0 of this software" in said
    assert said.endswith(f"it is kept for that version as {kept}, and made again if it is needed.")
    assert kept.read_bytes() == before


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_cannot_be_read_is_not_damaged(study, name, code, monkeypatch, capsys):
    (path,) = study.rglob(name)
    before = contents(study)
    opened, real = [], {"open": open, "os.open": os.open}

    def failing(file, *arguments, **options):
        if str(file) == str(path):
            opened.append(file)
            raise OSError(code, os.strerror(code), str(file))
        return real["open"](file, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", failing)
        patched.setattr("io.open", failing)  # pathlib's
        with pytest.raises(OSError, match=os.strerror(code)) as error:
            list(integrity.repair(study, results(study)))
        assert error.value.filename == str(path)
        status, lines = verified(study, capsys)
    assert opened
    assert (status, lines[1:]) == (1, ["7 files checked, 1 problems."])
    assert lines[0] == f"{path} cannot be looked at ({os.strerror(code)}); grant access, or see to its disk."
    assert contents(study) == before


def test_too_many_open_files_are_no_damage(study):
    """For real: weights are opened by a library that calls each such error a missing file."""
    (path,) = study.rglob("*.safetensors")
    script = f"""
import os, resource
from pathlib import Path
from sgdtails.io import integrity
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    print(list(integrity.repair(Path({str(study)!r}), [Path({str(path)!r})])))
except OSError as error:
    print(error.errno, error.filename)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EMFILE} {path}\n"
    assert path.exists()


def test_a_bit_in_the_midst_of_weights_is_found_where_all_is_read(study, capsys):
    (path,) = study.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert names(study, weights=False) == []
    status, lines = verified(study, capsys)
    assert (status, lines[1:]) == (1, ["7 files checked, 1 problems."])
    assert path.exists()


@pytest.mark.parametrize("lost", [None, b"", b"\xff\xfe", b"0" * 64 + b"  another.md\n"])
def test_without_a_digest_figures_are_made_again_and_tables_get_one(study, lost):
    for checksum in study.rglob("*.sha256"):
        if lost is None:
            checksum.unlink()
        else:
            checksum.write_bytes(lost)
    assert len(list(integrity.repair(study, results(study)))) == 4
    (table,) = study.rglob("tails.parquet")
    assert storage.read_checksum(table)
    assert results(study) == sorted([*study.rglob("*.parquet"), *study.rglob("*.safetensors")])


def test_a_table_of_another_program_does_not_become_a_result(study):
    path = study / "tables/runs.parquet"
    pq.write_table(pa.table({"run": ["mine"]}), path)
    before = path.read_bytes()
    (said,) = integrity.repair(study, [path])
    assert "is a table of another program" in said
    assert (study / ".damaged/tables/runs.parquet").read_bytes() == before
    assert not storage.checksum_file(path).exists()


@pytest.mark.parametrize(
    "names",
    [
        ["data/digits.safetensors"],
        ["runs/a/tails.parquet"],
        ["figures/fig01.pdf", "figures/fig01.png"],
        ["report.html"],
    ],
)
def test_missing_files_are_reported(study, names, capsys):
    for name in names:
        (study / name).unlink()
    status, lines = verified(study, capsys)
    assert status == 1
    assert [line.partition(" is missing; ")[0] for line in lines[:-1]] == [str(study / name) for name in names]
    assert lines[-1] == f"{7 - len(names)} files checked, {len(names)} problems."


def test_no_results(tmp_path, capsys):
    for results in (tmp_path / "results", tmp_path):
        assert integrity.main(results) == 1
        assert str(results) in capsys.readouterr().out


def test_a_file_in_place_of_the_results_folder(tmp_path, capsys):
    (tmp_path / "results").touch()
    assert integrity.main(tmp_path / "results") == 1
    assert "cannot be looked at (Not a directory)" in capsys.readouterr().out


def test_a_study_without_a_list_is_not_called_whole(study, capsys):
    (study / manifest.NAME).unlink()
    status, lines = verified(study, capsys)
    assert status == 1
    assert "has no list of its files" in lines[0]
    assert lines[1:] == ["7 files checked, 1 problems."]


@pytest.mark.parametrize("data", [b"", b"a user's own\n"])
def test_a_list_that_is_damaged_or_not_ours(study, data, capsys):
    path = study / manifest.NAME
    path.write_bytes(data)
    if data:
        storage.checksum_file(path).unlink()
    status, lines = verified(study, capsys)
    assert status == 1
    assert str(path) in lines[0]
    said = manifest.write(study, ["report.html"], [])
    kept = study / ".damaged" / manifest.NAME
    assert said.endswith(f"it is moved to {kept}.")
    assert kept.read_bytes() == data
    assert manifest.read(study) == {"report.html"}
    assert manifest.write(study, ["report.html"], []) == ""


def test_the_list_grows_and_forgets_only_what_no_rule_makes_any_more(study):
    before = manifest.read(study)
    for name in ("report.html", "runs/a/tails.parquet"):
        (study / name).unlink()
    manifest.write(study, ["figures/fig02.png", "logs/train/a.log"], ["report.html"])
    assert manifest.read(study) == before - {"runs/a/tails.parquet"} | {"figures/fig02.png"}


WEIGHTS = ["initial/m-d-s0/weights.safetensors", *(f"runs/a/{k}.safetensors" for k in ("converged", "last", "average"))]


@pytest.fixture
def weights(study):
    """A study's weights, on its list, and what is written beside them."""
    before = set(study.rglob("*"))
    for name in WEIGHTS:
        storage.save_arrays(study / name, {"w": np.ones(3)}, {})
    assert {path.name for path in set(study.rglob("*")) - before if path.is_file()} == {
        Path(name).name for name in WEIGHTS
    }  # no digest beside them, which would stay when they go
    manifest.write(study, WEIGHTS, WEIGHTS)
    return WEIGHTS


def test_weights_removed_on_purpose_are_not_missing(study, weights, capsys):
    gone = weights[1:3]
    manifest.forget(study, gone)  # as a start does before it removes them
    (study / gone[0]).unlink()
    assert verified(study, capsys) == (0, ["10 files checked, 0 problems."])  # though it was killed before its end
    assert manifest.write(study, weights, weights, passing=gone) == ""
    (study / gone[1]).unlink()
    assert verified(study, capsys) == (0, ["9 files checked, 0 problems."])
    assert list(integrity.repair(study, [study / name for name in weights])) == []
    (study / weights[3]).unlink()  # not on purpose
    status, lines = verified(study, capsys)
    assert status == 1
    assert lines[0].startswith(f"{study / weights[3]} is missing")


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_about_to_go_are_read_while_they_are_there(study, weights, name, capsys):
    manifest.write(study, weights, weights, passing=weights)
    assert verified(study, capsys)[0] == 0
    path = study / name
    path.write_bytes(b"\0" * 10 + path.read_bytes()[10:])  # nothing says any more that it was ours
    assert verified(study, capsys)[0] == 1


def test_nothing_is_forgotten_of_a_list_that_is_damaged_or_names_none_of_them(study, capsys):
    path = study / manifest.NAME
    before = path.stat()
    manifest.forget(study, WEIGHTS)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_bytes(b"")
    manifest.forget(study, ["report.html"])
    assert path.read_bytes() == b""
    path.unlink()
    manifest.forget(study, ["report.html"])
    assert not path.exists()


def test_links_are_followed_and_what_they_miss_is_reported(study, tmp_path, capsys):
    shutil.move(study / "runs/a", tmp_path / "elsewhere")
    (study / "runs/a").symlink_to(tmp_path / "elsewhere")
    (study / "runs/loop").symlink_to(study / "runs")
    assert verified(study, capsys) == (0, ["7 files checked, 0 problems."])
    path = tmp_path / "elsewhere/tails.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert verified(study, capsys)[0] == 1
    assert len(list(integrity.repair(study, [study / "runs/a/tails.parquet"]))) == 1
    assert (study / ".damaged/runs/a/tails.parquet").exists()
    shutil.rmtree(tmp_path / "elsewhere")
    status, lines = verified(study, capsys)
    assert status == 1
    assert [line.partition(" is ")[0] for line in lines[:-1]] == [
        str(study / "runs/a/tails.parquet"),
        str(study / "runs/a"),
    ]


def test_a_study_that_is_a_link_to_what_is_not_there_is_reported(study, capsys):
    (study.parent / "gone").symlink_to(study.parent / "unmounted")
    status, lines = verified(study, capsys)
    assert (status, lines) == (
        1,
        [f"{study.parent / 'gone'} is a link to what is not there.", "7 files checked, 1 problems."],
    )


def test_a_missing_folder_of_studies_is_reported(tmp_path, capsys):
    assert integrity.main(tmp_path / "none") == 1
    assert capsys.readouterr().out.startswith(f"there is no folder {tmp_path / 'none'}; give")


def test_a_folder_that_cannot_be_listed_is_reported(study, monkeypatch, capsys):
    real = os.scandir

    def failing(path):
        if Path(path).name == "figures":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    status, lines = verified(study, capsys)
    assert status == 1
    assert lines[0] == f"{study / 'figures'} cannot be looked at (Permission denied); grant access, or see to its disk."


def test_files_of_a_users_are_not_looked_at(study, capsys):
    planted = ["figures/mine.png", "tables/notes.md", "runs/a/own.safetensors", "figures/sub/x.pdf", "data/own.parquet"]
    for name in planted:
        (study / name).parent.mkdir(exist_ok=True)
        (study / name).write_bytes(b"mine")
    (study / "figures/.mine.png.sha256").write_bytes(b"mine too")
    assert verified(study, capsys) == (0, ["7 files checked, 0 problems."])


def test_audits_lie_beside_studies(study, tmp_path, capsys):
    folder = tmp_path / "results/audit/mine"
    parquet.store(pa.table({"x": [1, 2]}), folder / "audit.parquet", provenance={})
    (folder / "logs").mkdir()
    (folder / "logs/audit.tsv").write_text("no result")
    (folder / "notes.md").write_text("a user's")
    manifest.write(folder, ["audit.parquet"], [])
    assert verified(study, capsys) == (0, ["8 files checked, 0 problems."])
    (folder / "audit.parquet").write_bytes(b"PAR1")
    assert verified(study, capsys)[0] == 1
    (folder / "audit.parquet").unlink()
    assert verified(study, capsys)[0] == 1


def test_code_and_settings_are_read_from_results(tmp_path):
    code = {"code": "c", "settings": {"run": {"step_size": 0.1}, "list": [1, 2.5e-3, None]}}
    made = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "c.parquet"
    storage.save_arrays(made[0], {"w": np.ones(2)}, {"run": "a", **code})
    storage.save_arrays(made[1], {"w": np.ones(2)}, {"classes": [1]}, made_by=code)
    parquet.store(pa.table({"x": [1]}), made[2], provenance=code)
    for path in made:
        assert integrity.made_by([tmp_path / "absent.parquet", tmp_path / "fig.png", path]) == code
        path.write_bytes(b"damaged")
        assert integrity.made_by([path]) == {}


def test_what_made_a_dataset_is_not_in_its_digest(tmp_path):
    for name in "ab":
        storage.save_arrays(tmp_path / name, {"w": np.ones(2)}, {}, made_by={"code": name})
    assert storage.digest(tmp_path / "a") == storage.digest(tmp_path / "b")


def test_a_lock_is_seen(tmp_path):
    assert not integrity.locked(tmp_path)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.input.lock").touch()
    assert integrity.locked(tmp_path)
