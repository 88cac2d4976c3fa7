"""Digests that are kept: the same as computed ones, for as long as no code changes."""

import json

import pytest

from sgdtails.digests import code_digest, digest_cache, source_trees

SCRIPT = "workflow/scripts/a.py"


@pytest.fixture
def root(tmp_path):
    for name, text in {
        SCRIPT: "from sgdtails import b\nVALUE = b.VALUE\n",
        "sgdtails/__init__.py": "",
        "sgdtails/b.py": "VALUE = 1\n",
        "own.py": "from sgdtails import b\nMINE = b.VALUE\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(root, *modules):
    return code_digest.of_rule(SCRIPT, modules, root, {}).partition(" ")[0]


def kept(root):
    """What is kept for the code as it is."""
    file = digest_cache._file(root, digest_cache.state(root))
    return json.loads(file.read_text()) if file.exists() else {}


def test_a_digest_is_computed_once(root, monkeypatch):
    first = digest(root)
    assert kept(root) == {SCRIPT: first}
    monkeypatch.setattr(code_digest, "_of_trees", lambda *_: pytest.fail("computed again"))
    assert digest(root) == first


@pytest.mark.parametrize("name", ["sgdtails/b.py", SCRIPT])
def test_an_edit_of_any_code_is_another_state(root, name):
    first = digest(root)
    (root / name).write_text((root / name).read_text().replace("VALUE = ", "VALUE = 7 + "))
    second = digest(root)
    assert second != first
    assert kept(root) == {SCRIPT: second}


def test_a_new_module_that_an_import_finds_is_another_state(root):
    (root / "sgdtails/b.py").write_text("import other\nVALUE = other.VALUE\n")
    first = digest(root)
    (root / "other.py").write_text("VALUE = 3\n")
    source_trees.read.cache_clear()  # as in another process
    assert digest(root) != first


def test_digests_of_few_states_are_kept(root):
    for number in range(12):
        (root / "sgdtails/b.py").write_text(f"VALUE = {number}\n")
        digest(root)
    assert len(list((root / ".snakemake/sgdtails").iterdir())) == 8
    assert kept(root)


def test_what_has_code_elsewhere_is_not_kept(root):
    """The state of the code does not cover the user's own modules."""
    first = digest(root, "own")
    assert kept(root) == {}
    (root / "own.py").write_text("MINE = 2\n")
    assert digest(root, "own") != first


def test_code_that_changes_meanwhile_is_not_kept(root):
    before = digest_cache.state(root)
    (root / "sgdtails/b.py").write_text("VALUE = 2\n")
    digest_cache.keep(root, before, SCRIPT, "0" * 16)
    assert kept(root) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"[3]", b"{", b"\xff"])
def test_a_damaged_file_is_as_none(root, content):
    first = digest(root)
    digest_cache._file(root, digest_cache.state(root)).write_bytes(content)
    assert digest(root) == first
    assert kept(root) == {SCRIPT: first}


def test_a_folder_that_cannot_be_written_is_no_error(root):
    (root / ".snakemake").write_text("a file")
    assert digest(root) == digest(root)
