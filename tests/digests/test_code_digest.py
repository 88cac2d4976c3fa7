import ast
import importlib
import os
import sys
import types

import pytest

from sgdtails.digests import code_digest, source_names, source_trees
from sgdtails.errors import InputError
from sgdtails.runtime import jobs
from tests.conftest import ROOT


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "lib").mkdir()
    for name, text in {
        "script.py": "from lib import a\nimport lib.part.c\n\ndef main():\n    'Doc.'\n    from lib.late import x\n",
        "lib/__init__.py": "",
        "lib/a.py": "import numpy\nimport lib.b as other\nVALUE = 1  # one\n",
        "lib/b.py": '"""Doc."""\nVALUE = 2\n',
        "lib/late.py": "x = 3\n",
        "lib/part/__init__.py": "",
        "lib/part/c.py": "from .d import x\nfrom .. import e\nfrom ..f import x\n",
        "lib/part/d.py": "x = 5\n",
        "lib/e.py": "x = 6\n",
        "lib/f.py": "x = 7\n",
        "lib/unused.py": "x = 4\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(tree):
    return code_digest.of_files([tree / "script.py"], [], tree)


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("script.py", "'Doc.'", "'Other words.'", False),
        ("lib/a.py", "VALUE = 1  # one", "# two\n\nVALUE = (1)", False),
        ("lib/b.py", "Doc", "Docs", False),
        ("lib/unused.py", "4", "5", False),
        ("lib/a.py", "VALUE = 1", "VALUE = 2", True),
        ("lib/b.py", "VALUE = 2", "VALUE = 3", True),
        ("lib/late.py", "3", "4", True),
        ("lib/part/d.py", "5", "6", True),
        ("lib/e.py", "6", "7", True),
        ("lib/f.py", "7", "8", True),
        ("script.py", "main", "Main", True),
    ],
)
def test_only_edits_that_can_change_a_result_change_the_digest(tree, name, old, new, changes):
    before = digest(tree)
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new))
    assert (digest(tree) != before) == changes


def test_the_packages_of_a_module_count(tree):
    assert source_names.file_of("lib.part.c", tree) == tree / "lib/part/c.py"
    assert source_names.file_of("lib.part", tree) == tree / "lib/part/__init__.py"
    assert source_names.file_of("numpy.linalg", tree) is None
    before = digest(tree)
    (tree / "lib/part/__init__.py").write_text('"""Doc."""\n')
    assert digest(tree) == before
    (tree / "lib/part/__init__.py").write_text("import os\nos.environ['X'] = '1'\n")
    assert digest(tree) != before


def closure(script):
    """Modules that count, by room and name."""
    files = code_digest.trees([ROOT / "workflow/scripts" / script], ROOT)
    return {"/".join(file.relative_to(ROOT).with_suffix("").parts[1:]) for file in files}


def test_tails_do_not_depend_on_training_or_plotting():
    names = closure("tails.py")
    assert {"tail_index/mmo", "layers", "io/tables"} <= names
    assert not {name for name in names if name.startswith(("training/", "figures/", "models/", "data/"))}


def test_no_guard_lock_or_progress_counts_in_what_training_depends_on():
    left_out = set()
    for name in code_digest.LEFT_OUT:
        assert source_names.file_of(name, ROOT), name
        left_out.add(name.removeprefix("sgdtails.").replace(".", "/"))
    for script in ("train.py", "average.py"):
        names = closure(script)
        assert {"training/trainer", "io/storage", "training/engines/sgd", "models/building"} <= names
        assert not names & left_out


def test_a_newer_python_gives_the_same_digest(tree):
    """It has more fields, empty ones where the code does not use what is new."""
    source = (tree / "script.py").read_text()
    words: list[list[str]] = []
    for fields in ((), ("type_params", "default_value")):
        parsed = ast.parse(source)
        for node in ast.walk(parsed):
            node._fields = (*node._fields, *fields)
            node.type_params, node.default_value = [], None
        speller = source_trees._Speller(parsed, tree / "script.py", tree, frozenset(), frozenset())
        words.append(speller.text()[0])
    assert words[0] == words[1]
    assert "FunctionDef" in words[0]


def test_a_job_knows_the_code_that_was_planned_with(tree):
    environment = {}
    planned = code_digest.of_rule("script.py", ["", "lib.unused"], tree, environment)
    assert planned.split()[1:] == ["script.py", "lib.unused"]
    code_digest.check(planned, tree)
    (tree / "lib/unused.py").write_text("x = 4  # a comment")
    code_digest.check(planned, tree)
    (tree / "lib/unused.py").write_text("x = 5")
    with pytest.raises(InputError, match=r"the code of script.py in .* was edited, or another version checked out"):
        code_digest.check(planned, tree)
    # Whoever reads the Snakefile anew meanwhile has the driver's digest; another driver, that of the edited code.
    assert code_digest.of_rule("script.py", ["lib.unused"], tree, environment) == planned
    assert code_digest.of_rule("script.py", [], tree, environment) != planned
    assert code_digest.of_rule("script.py", ["lib.unused"], tree, {}) != planned
    (tree / "lib/unused.py").write_text("x = (")
    with pytest.raises(InputError, match="cannot be read"):
        code_digest.check(planned, tree)


def test_modules_that_a_job_imports_late_are_looked_at(tree, monkeypatch):
    planned = code_digest.of_rule("script.py", ["lib.unused"], tree, {})
    monkeypatch.syspath_prepend(tree)
    monkeypatch.setattr(sys, "meta_path", [jobs._Unedited(planned, tree), *sys.meta_path])
    importlib.import_module("lib.late")
    (tree / "lib/e.py").write_text("x = 8\n")
    try:
        with pytest.raises(InputError, match="was edited"):
            importlib.import_module("lib.e")
        importlib.import_module("this")  # no module of the repository
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lib"]:
            del sys.modules[name]


@pytest.mark.parametrize("edited", [False, True])
def test_a_job_refuses_other_code_than_was_planned_with(tmp_path, monkeypatch, edited):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    digest, _, names = code_digest.of_rule("workflow/scripts/runs.py", [], ROOT, {}).partition(" ")
    params = types.SimpleNamespace(code=f"{'0' * 16 if edited else digest} {names}")
    done = []
    job = types.SimpleNamespace(log=[str(tmp_path / "log")], params=params, scriptdir=str(ROOT / "workflow/scripts"))
    if edited:
        with pytest.raises(SystemExit, match="1"):
            jobs.run(done.append, job)
        assert (
            (tmp_path / "log").read_text().startswith(f"sgdtails: the code of workflow/scripts/runs.py in {ROOT} was")
        )
    else:
        jobs.run(done.append, job)
    assert bool(done) != edited


def test_a_job_refuses_another_clone_of_the_library(tmp_path, monkeypatch):
    """Also one of the same contents, which may be edited a moment later."""
    (tmp_path / "sgdtails").mkdir()
    job = types.SimpleNamespace(
        log=[str(tmp_path / "log")],
        params=types.SimpleNamespace(code=code_digest.of_rule("workflow/scripts/runs.py", [], ROOT, {})),
        scriptdir=str(tmp_path / "workflow/scripts"),
    )
    with pytest.raises(SystemExit, match="1"):
        jobs.run(pytest.fail, job)
    said = (tmp_path / "log").read_text()
    assert said.startswith(f"sgdtails: Python finds {ROOT}/sgdtails before the repository's own {tmp_path}/sgdtails;")
    assert "PYTHONPATH" in said
    # In a container the repository lies elsewhere than the driver says; its contents count.
    monkeypatch.setattr(jobs, "_MOUNTED", str(ROOT.parent))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    done = []
    jobs.run(done.append, job)
    assert done == [job]


def test_the_repository_comes_first_and_once(tmp_path):
    environment = {}
    code_digest.put_first(tmp_path, environment)
    assert environment == {"PYTHONPATH": str(tmp_path)}
    environment = {"PYTHONPATH": os.pathsep.join(["/other", str(tmp_path), ""])}
    code_digest.put_first(tmp_path, environment)
    assert environment == {"PYTHONPATH": os.pathsep.join([str(tmp_path), "/other"])}


def test_a_module_beside_a_config_counts_with_what_it_imports_from_there(tree, tmp_path, monkeypatch):
    """One of the repository's comes first, and a folder that holds neither changes no digest."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    own, environment = tmp_path / "own", {}
    own.mkdir()
    (own / "helper.py").write_text("x = 1\n")
    (own / "mine.py").write_text("import helper\ndef f(): return helper.x\n")
    script = next(tree.rglob("*.py")).relative_to(tree).as_posix()

    def found(*modules):
        environment.pop(code_digest.GIVEN, None)
        return code_digest.of_rule(script, modules, tree, environment).partition(" ")[0]

    unknown = found("mine")
    code_digest.beside([own, tree, own], tree, environment)
    assert sys.path[-1] == str(own)
    assert environment[code_digest.BESIDE] == str(own)
    first = found("mine")
    assert first != unknown == found()
    (own / "mine.py").write_text("import helper  # a comment\ndef f(): return helper.x\n")
    assert found("mine") == first
    (own / "helper.py").write_text("x = 2\n")
    assert found("mine") != first


@pytest.mark.parametrize(
    ("use", "changed"),
    [
        ("import lib.unused\ndef f(): return lib.unused.x\n", True),
        ("def f():\n    from lib import unused\n    return unused.x\n", True),
        ("from lib.lazy import x\n", True),
        ("import lib.lazy\ndef f(): return lib.lazy.unused\n", True),  # by a dictionary
        ("import lib.lazy\ndef f(): return lib.lazy.other\n", False),
        ("from . import unused\n", False),  # that folder's own, which is not there
    ],
)
def test_what_a_module_beside_a_config_uses_of_the_repository_counts(tree, tmp_path, monkeypatch, use, changed):
    monkeypatch.setattr(sys, "path", [*sys.path])
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(use)
    (tree / "lib/lazy.py").write_text(
        "import importlib\n_NAMES = {'unused': 'lib.unused', 'other': 'lib.late'}\n"
        "def __getattr__(name):\n    return getattr(importlib.import_module(_NAMES.get(name, 'lib.unused')), name)\n"
    )
    script = "lib/part/d.py"

    def found():
        environment = {}
        code_digest.beside([own], tree, environment)
        return code_digest.of_rule(script, ["mine"], tree, environment)

    before = found()
    assert found() == before
    (tree / "lib/unused.py").write_text("x = 5\n")
    assert (found() != before) == changed
    (tree / "lib/unused.py").write_text("x = 4  # as before\n")
    assert found() == before


def test_a_link_beside_a_config_counts_with_all_its_names(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere.py"
    own.mkdir()
    elsewhere.write_text("def _hidden(): return 1\n")
    (own / "mine.py").symlink_to(elsewhere)

    def found():
        environment = {}
        code_digest.beside([own], tree, environment)
        return code_digest.of_rule("lib/part/d.py", ["mine"], tree, environment)

    before = found()
    elsewhere.write_text("def _hidden(): return 2\n")
    assert found() != before
