"""Tables that studies share: a job of the rule's script copies what is there, and computes what is not."""

import errno
import hashlib
import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from sgdtails.io import integrity, manifest, parquet, shared, storage
from sgdtails.runtime import container
from sgdtails.theory import bounds
from tests.conftest import Files, script

SETTINGS = {"epsilon": [0.1], "points": 3}
COMPUTED: list[int] = []  # the values of kappa of each simulation that was computed


def rows(**settings):
    """The rows of table theory, and a note that they were computed."""
    COMPUTED.append(settings["points"])
    yield from bounds.theory_rows(**settings)


def rows_again(**settings):
    yield from rows(**settings)


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """Make the table of a study; return its file, and how many values of kappa were computed for it."""
    monkeypatch.chdir(tmp_path)
    main = script("simulate").main

    def make(study, function=rows, code="0", **settings):
        COMPUTED.clear()
        path = Path(f"results/{study}/tables/theory.parquet")
        given = {"table": "theory", "functions": [f"{__name__}.{function.__name__}"], "code": code}
        params = Files(settings=json.dumps(SETTINGS | settings), **given)
        main(Files(params=params, output=[str(path)]))
        return path, sum(COMPUTED)

    return make


def kept():
    (path,) = Path("results/.simulations").glob("[!.]*.parquet")
    return path


def seal(path):
    return path.with_name(f".{path.name}.sha256")


def test_a_second_study_copies_the_same_bytes_with_their_checksum(simulate, capsys):
    first, computed = simulate("first")
    assert (computed, capsys.readouterr().out) == (3, "")
    second, computed = simulate("second")
    assert (computed, capsys.readouterr().out) == (0, f"Copied from {kept()}, which has the same settings and code.\n")
    assert second.read_bytes() == first.read_bytes() == kept().read_bytes()
    assert seal(second).read_text() == f"{hashlib.sha256(first.read_bytes()).hexdigest()}  theory.parquet\n"
    assert [row["kappa"] for row in parquet.read(second).to_pylist()] == [0, 0.5, 1]
    assert integrity.made_by([second]) == {"code": "0", "settings": SETTINGS}
    assert second.stat().st_ino != first.stat().st_ino  # what damages one leaves the other


@pytest.mark.parametrize("other", [{"points": 5}, {"epsilon": [0.2]}, {"code": "1"}, {"function": rows_again}])
def test_other_settings_code_or_functions_share_nothing(simulate, other):
    simulate("first")
    _, computed = simulate("second", **other)
    assert computed == other.get("points", 3)
    assert len(list(Path("results/.simulations").glob("[!.]*.parquet"))) == 2
    assert simulate("third")[1] == simulate("fourth", **other)[1] == 0


def test_other_libraries_or_another_image_share_nothing(simulate, monkeypatch):
    path, _ = simulate("first")
    made_by = parquet.record(parquet.read(path).schema)
    assert set(made_by) == {"code", "settings", "image", "libraries"}
    assert set(made_by["libraries"]) == set(container.software()["libraries"])  # all that differs in a file counts
    with monkeypatch.context() as patch:
        patch.setattr(container, "digest", lambda: "an image")
        assert simulate("second")[1] == 3
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version(name) + "+" * (name == "scipy"))
    assert simulate("third")[1] == 3


@pytest.mark.parametrize("damage", ["flipped", "cut", "unsealed", "a folder", "removed", "all removed"])
def test_a_damaged_or_missing_shared_file_is_made_again(simulate, damage, capsys):
    first, _ = simulate("first")
    path = kept()
    data = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "unsealed":  # as if its process was killed
        seal(path).unlink()
    elif damage == "all removed":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    if damage == "a folder":
        path.mkdir()
    second, computed = simulate("second")
    assert computed == 3
    said = capsys.readouterr().out
    assert (f"{path} is damaged; the table is computed again." in said) == (damage in ("flipped", "cut", "a folder"))
    assert second.read_bytes() == first.read_bytes() == data
    if damage == "a folder":  # somebody else's
        assert "other studies compute this table themselves." in said
        path.rmdir()
    else:
        assert kept().read_bytes() == data
        assert simulate("third")[1] == 0


def test_a_study_needs_no_folder_to_share_in(simulate, capsys):
    Path("results").mkdir()
    Path("results/.simulations").write_text("a user's")
    for study in ("first", "second"):
        path, computed = simulate(study)
        assert computed == 3
        assert storage.read(path)
        said = capsys.readouterr().out
        assert "; the table is computed again." in said
        assert "; other studies compute this table themselves." in said
    assert Path("results/.simulations").read_text() == "a user's"


def test_a_file_that_cannot_be_read_is_computed_again(simulate, monkeypatch, capsys):
    simulate("first")
    real, path = storage.read, kept()

    def failing(file):
        if Path(file) == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file)

    monkeypatch.setattr(storage, "read", failing)
    assert simulate("second")[1] == 3
    assert capsys.readouterr().out == f"{path} cannot be read (Permission denied); the table is computed again.\n"


def test_verify_reads_shared_files_and_takes_them_for_no_study(simulate, capsys):
    simulate("first")
    manifest.write(Path("results/first"), ["tables/theory.parquet"], [])
    results = Path("results")
    (results / ".simulations/own.parquet").write_bytes(b"a user's")
    assert manifest.studies(results) == ([results / "first"], [])
    assert integrity.main(results) == 0
    assert capsys.readouterr().out == "2 files checked, 0 problems.\n"
    (path,) = shared.files(results)
    path.write_bytes(path.read_bytes()[:-1])
    assert integrity.main(results) == 1
    problem = f"{path} is not what was written; delete it and run again."
    assert capsys.readouterr().out == f"{problem}\n2 files checked, 1 problems.\n"
