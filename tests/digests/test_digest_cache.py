"""Digests that are kept: the same as computed ones, for as long as no code changes."""

import json
import os

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


def digest_elsewhere(root):
    """The digest in a process that starts now."""
    source_trees.read.cache_clear()
    digest_cache._SEEN.clear()
    return digest(root)


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


@pytest.mark.parametrize(
    ("imported", "name"),
    [
        ("other", "other.py"),
        ("other", "other/__init__.py"),
        ("other.sub.part", "other/sub/part.py"),
        ("there", "there/__init__.py"),
        ("there.part", "there/part.py"),
        ("sgdtails.other", "sgdtails/other.py"),
    ],
)
def test_a_new_module_that_an_import_finds_is_another_digest(root, imported, name):
    (root / "there").mkdir()
    (root / "there/before.py").write_text("")
    (root / "sgdtails/b.py").write_text(f"import {imported} as found\nVALUE = found.VALUE\n")
    first = digest(root)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("VALUE = 3\n")
    digest(root)  # of a process that has read b.py before: it keeps nothing that is wrong
    assert digest_elsewhere(root) != first


def test_a_package_comes_before_a_module_of_its_name(root):
    """Python imports the package."""
    first = digest(root)
    (root / "sgdtails/b").mkdir()
    (root / "sgdtails/b/__init__.py").write_text("VALUE = 3\n")
    assert digest(root) != first


@pytest.mark.parametrize("letter", "abcdefgh")
def test_a_link_that_leads_nowhere_hides_no_edit(root, letter):
    """Emacs makes one beside a file that is being edited. Folders list their files in any order."""
    (root / f"sgdtails/.#{letter}.py").symlink_to("me@host.1:2")
    first = digest(root)
    (root / "sgdtails/b.py").write_text("VALUE = 22\n")
    assert digest_elsewhere(root) != first


def test_an_edit_that_keeps_size_time_and_inode_is_seen(root):
    first, file = digest(root), root / "sgdtails/b.py"
    about = file.stat()
    file.write_text("VALUE = 2\n")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert digest(root) != first


def test_what_cannot_be_a_module_is_no_error(root):
    first = digest(root)
    (root / "sgdtails/circle").symlink_to(".")
    (root / "sgdtails/itself.py").symlink_to("itself.py")
    (root / "sgdtails/folder.py").mkdir()
    os.mkfifo(root / "sgdtails/pipe.py")
    (root / os.fsdecode(b"sgdtails/\xff.py")).touch()
    assert digest(root) == first


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


def test_code_that_changes_and_is_put_back_meanwhile_is_not_kept(root):
    """As by git stash: what was read in between is not of this state."""
    before = digest_cache.state(root)
    for text in ("VALUE = 2\n", "VALUE = 1\n"):
        (root / "sgdtails/b.py").write_text(text)
    digest_cache.keep(root, before, SCRIPT, "0" * 16)
    assert kept(root) == {}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"3", b"[3]", b"{", b"\xff"),
        pytest.param(b"[" * 100_000, id="deep"),
        *(b'{"%s": %s}' % (SCRIPT.encode(), value) for value in (b"5", b"[1]", b'"one two"', b"1234567812345678")),
    ],
)
def test_a_damaged_file_is_as_none(root, content):
    first = digest(root)
    digest_cache._file(root, digest_cache.state(root)).write_bytes(content)
    assert digest(root) == first
    assert kept(root) == {SCRIPT: first}


def test_a_folder_that_cannot_be_written_is_no_error(root):
    (root / ".snakemake").write_text("a file")
    assert digest(root) == digest(root)
