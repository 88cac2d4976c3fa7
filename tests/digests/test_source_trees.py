"""Which edits change a rule's digest: those that can change a number, and no others."""

import ast
import re
import shutil

import pytest

from sgdtails.digests import code_digest
from tests.conftest import ROOT

MODULE = '''"""Doc."""
import logging
import sys
import warnings
from collections.abc import Sequence
from lib import progress, tools
from lib.errors import InputError, unknown
from lib.columns import REAL, schema
_HALF = 0.5
_WHY = "it is negative"
_logger = logging.getLogger("lib")
NAME = ("name", REAL, "m", "its name")
SCHEMA = schema(NAME, (*("width", REAL, "px"), "how wide"), *((f"{a}_x", REAL, u, f"x of {a}") for a, u in (("p", "1"),)))

class Sum:
    """Of numbers."""
    def __init__(self, progress, start=0):
        self._progress, self._total = progress, start
    def add(self, x: float):
        self._progress.report("sum", 3, NLL=x)
        self._total += _half(x)

def _half(x):
    return tools.scaled(x, _HALF)

def _refusal(x):
    return f"cannot take {x}"

def total(values: Sequence[float], mode="mean"):
    # one by one
    found = Sum(progress.Progress(10))
    if mode not in ("mean", "sum"):
        raise unknown("mode", mode, "here", ("mean", "sum"))
    for x in values:
        if x < 0:
            raise ValueError(f"{x} is wrong: " + _WHY) from None
        if x > 9:
            raise InputError(_refusal(x))
        print(f"adding {x:.2f}", file=sys.stderr, flush=True)
        warnings.warn("adding", stacklevel=2)
        _logger.info("adding %s", x)
        sys.stderr.write("adding\\n")
        assert x == x, "not a number"
        found.add(x)
    if found._total > 99:
        sys.exit("too large")
    return {"mean": found._total / len(values), "sum": found._total}[mode]
'''
FILES = {
    "script.py": "from lib.sums import total\nresult = total([1, 2])\n",
    "lib/__init__.py": "from lib import errors\nerrors.arrange()\n",
    "lib/sums.py": MODULE,
    "lib/tools.py": "def scaled(x, factor=1):\n    return x * factor\ndef shifted(x, factor=1):\n    return x + factor\n",
    "lib/columns.py": "REAL, COUNT = float, int\ndef schema(*columns):\n    return [column[:2] for column in columns]\n",
    "lib/progress.py": "class Progress:\n    pass\n",
    "lib/errors.py": "class InputError(ValueError):\n    pass\n",
}
LEFT_OUT = frozenset({"lib.progress", "lib.errors"})


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(tree, *modules):
    return code_digest.of_files([tree / "script.py"], modules, tree, LEFT_OUT)


def replaced(text, old, new):
    found = text.replace(old, new)
    assert found != text, old
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""', ""),
        ('"""Of numbers."""', '"""Of all."""'),
        ("# one by one", "# together"),
        ("    def add(self, x: float):", "    def add(self, x: int) -> None:"),
        ("values: Sequence[float]", "values: Sequence[int]"),
        ("_HALF = 0.5", "_HALF: float = 0.5"),
        ('"m", "its name"', '"km", "what it is called"'),
        ('"px"), "how wide"', '"1"), f"how {1} wide"'),
        ('f"x of {a}"', 'f"{a} of x"'),
        ("is wrong: ", "is not right: "),
        ("{x} is wrong: ", "wrong: "),
        (" from None", ""),
        ("it is negative", "it is below 0"),
        ("cannot take", "does not take"),
        ("raise InputError(_refusal(x))", 'raise InputError(f"no {x}")'),
        ('"mode", mode, "here"', '"way", mode, "there"'),
        ("adding {x:.2f}", "{x:.3f} comes"),
        ('        print(f"adding {x:.2f}", file=sys.stderr, flush=True)\n', ""),
        ('"adding", stacklevel=2', '"adds"'),
        ('"adding %s", x', '"adds"'),
        ('write("adding', 'write("adds'),
        ('"not a number"', '"nan"'),
        ('"too large"', '"much too large"'),
        ('"sum", 3, NLL=x', '"sum", 3, x=x'),
        ("_half", "_in_two"),
        ("_HALF", "_MIDDLE"),
        ("_logger", "_log"),
        ("from lib import progress, tools", "from lib import tools, progress"),
        ("from lib import progress, tools", "from lib import progress\nimport lib.tools as tools"),
        ("import logging", "import logging as logging"),
    ],
)
def test_wording_changes_no_digest(tree, old, new):
    before = digest(tree)
    (tree / "lib/sums.py").write_text(replaced(MODULE, old, new))
    assert digest(tree) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_HALF = 0.5", "_HALF = 0.25"),
        ("len(values)", "len(values) - 1"),
        ("+= _half", "-= _half"),
        ("x > 9", "x >= 9"),
        ("tools.scaled", "tools.shifted"),
        ("_half(x)\n\n", "x\n\n"),
        ('("name", REAL', '("title", REAL'),
        ('("name", REAL', '("name", COUNT'),
        ('*("width", REAL', '*("height", REAL'),
        ('f"{a}_x"', 'f"{a}_y"'),
        ('("mean", "sum"):', '("mean", "sum", "most"):'),
        ('{"mean": found', '{"sum": found'),
        ('mode="mean"', 'mode="sum"'),
        ("start=0", "start=1"),
        ("return {", "global _HALF\n    return {"),
        ("raise ValueError", "raise KeyError"),
        ("raise InputError", "raise KeyError"),
        ("{x:.2f}", "{(x := x + 1)}"),
        ("{x:.2f}", "{next(values)}"),
        ("file=sys.stderr", "file=values"),
        ("found.add(x)", "found.add(x, x)"),
        ("        found.add(x)\n", ""),
    ],
)
def test_what_can_change_a_number_changes_the_digest(tree, old, new):
    before = digest(tree)
    (tree / "lib/sums.py").write_text(replaced(MODULE, old, new))
    assert digest(tree) != before


def test_a_moved_file_changes_no_digest_but_the_use_of_another_does(tree):
    before = digest(tree)
    (tree / "lib/room").mkdir()
    (tree / "lib/room/__init__.py").write_text('"""Tools."""\n')
    (tree / "lib/tools.py").rename(tree / "lib/room/kit.py")
    for new in (
        "from lib import progress\nfrom lib.room import kit as tools",
        "from lib.room import kit\nfrom . import progress",
    ):
        text = replaced(MODULE, "from lib import progress, tools", new)
        (tree / "lib/sums.py").write_text(text if "as tools" in new else text.replace("tools.", "kit."))
        assert digest(tree) == before
    (tree / "lib/room/kit.py").write_text(FILES["lib/tools.py"].replace("*", "/"))
    assert digest(tree) != before


def test_the_same_two_files_in_each_others_place_are_another_program(tree):
    (tree / "lib/one.py").write_text("def value():\n    return 1\n")
    (tree / "lib/two.py").write_text("def value():\n    return 2\n")
    (tree / "script.py").write_text("from lib import one, two\nresult = one.value() - two.value()\n")
    before = digest(tree)
    (tree / "lib/one.py").rename(tree / "lib/three.py")
    (tree / "lib/two.py").rename(tree / "lib/one.py")
    (tree / "lib/three.py").rename(tree / "lib/two.py")
    assert digest(tree) != before
    (tree / "script.py").write_text("from lib import one, two\nresult = two.value() - one.value()\n")
    assert digest(tree) == before


@pytest.mark.parametrize(
    ("script", "keeps"),
    [
        ("from lib import kinds\nx = kinds.a", True),
        ("from lib import kinds\nx = kinds._one()", False),
        ("from lib.kinds import _one\nx = _one()", False),
        ("from lib.kinds import *\nx = a", False),
        ("from lib import kinds\nx = getattr(kinds, '_' + 'one')()", False),
    ],
)
def test_private_names_that_others_look_up_count(tree, script, keeps):
    """Two functions exchange their names."""
    text = "def _one():\n    return 1\ndef _two():\n    return 2\na = _one() - _two()\n"
    (tree / "script.py").write_text(script)
    (tree / "lib/kinds.py").write_text(text)
    before, named = digest(tree), digest(tree, tree / "lib/kinds.py")
    exchanged = {"_one": "_two", "_two": "_one"}
    (tree / "lib/kinds.py").write_text(re.sub("_one|_two", lambda name: exchanged[name[0]], text))
    assert (digest(tree) == before) == keeps
    assert digest(tree, tree / "lib/kinds.py") != named  # a function that the config names may be any of them


@pytest.mark.parametrize(
    "more",
    [
        "names = {_one.__name__: 1}",
        "x = globals()[name]",
        "x = eval(name)",
        "@register\ndef _one(): pass",
        "x = ['_one']",
    ],
)
def test_private_names_that_become_strings_count(tree, more):
    text = f"import sys\n{more}\ndef _one():\n    return 1\na = _one()\n"
    (tree / "script.py").write_text(text)
    before = digest(tree)
    (tree / "script.py").write_text(re.sub(r"\b_one\b", "_two", text))
    assert digest(tree) != before


@pytest.mark.parametrize(
    "use",
    [
        "def f(_x=_x): return _x",
        "f = lambda _x=_x: _x",
        "f = [_x for _x in _x]",
        "f = {_x: _x for _x in _x}",
        "class F:\n    _x = _x",
        "@_x\ndef f(_x): return _x",
        "class F(_x):\n    _x = 1",
        "def f():\n    return [_x for y in z]",
        "def f():\n    global _x\n    _x += 1",
        "class F:\n    def _x(self):\n        return _x",
    ],
)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("_x = 1", "_x = 2"),
        ("from math import pi as _x", "from math import tau as _x"),
        ("_x, _y = 1, 2", "_y, _x = 1, 2"),
    ],
)
def test_what_a_name_means_counts_wherever_it_has_another_meaning_too(tree, use, one, other):
    found = set()
    for meaning in (one, other):
        (tree / "script.py").write_text(f"{meaning}\n{use}\n")
        found.add(digest(tree))
    assert len(found) == 2


def test_names_that_a_package_only_offers_do_not_count(tree):
    before = digest(tree)
    lazy = (
        FILES["lib/__init__.py"]
        + "_WHERE = {'total': 'sums'}\n__version__ = '1'\ndef __getattr__(name):\n    return _WHERE[name]\n"
    )
    (tree / "lib/__init__.py").write_text(lazy)
    assert digest(tree) == before
    (tree / "script.py").write_text("import lib\nfrom lib import sums\nresult = lib.total([1, 2])\n")
    before = digest(tree)
    (tree / "lib/__init__.py").write_text(lazy.replace("'sums'", "'tools'"))
    assert digest(tree) != before


# The repository itself

SCRIPTS = sorted(path.name for path in (ROOT / "workflow/scripts").glob("*.py"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for part in ("sgdtails", "workflow/scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def module(root, name):
    """The file of a module of the library."""
    (found,) = (root / "sgdtails").rglob(f"{name}.py")
    return found


def digests(root, left_out=code_digest.LEFT_OUT):
    return {name: code_digest.of_files([root / "workflow/scripts" / name], [], root, left_out) for name in SCRIPTS}


def test_one_sentence_after_another_is_reworded_and_nothing_runs_again(copy):
    before = digests(copy)
    assert len(set(before.values())) == len(before)
    for name, old, new in [
        ("jobs", "this is an error of the program", "this is a fault of the program"),
        ("gpu_locks", "waiting for a GPU", "waiting until a GPU is free"),
        ("progress", "it/s", "steps/s"),
        ("run_schemas", "wall time of training", "time of training"),
        ("run_schemas", '"nat"', '"nats"'),
        ("trust_schemas", "slope of mean log norm", "the slope of the mean log norm"),
        ("devices", "it uses {found}.", "so {found} are used."),
        ("resume", "cannot be read back as it was written", "reads back as something else"),
        ("storage", "or it is damaged", "or it has been damaged"),
        ("data/contents", "to see whether they have changed", "for changes"),
        ("convergence", "One run's convergence check on its training set.", "Checks the convergence of one run."),
        ("convergence", "_REPRESENTABLE", "_IN_RANGE"),
        ("storage", "_replacing", "_in_place_of"),
    ]:
        path = module(copy, name)
        text = path.read_text()
        path.write_text(replaced(text, old, new))
        assert digests(copy) == before, (name, old)
        path.write_text(text)


def test_an_edit_of_a_number_runs_again_what_depends_on_it(copy):
    before = digests(copy)
    for name, old, new, some, others in [
        (
            "convergence",
            "_REPRESENTABLE = 1e30",
            "_REPRESENTABLE = 1e29",
            {"train.py", "average.py"},
            {"tails.py", "figure.py"},
        ),
        (
            "run_schemas",
            '("iterations", COUNT',
            '("iterations", REAL',
            set(SCRIPTS) - {"dataset.py", "initial.py", "report.py"},
            set(),
        ),
        ("study_schemas", '("depth", COUNT', '("layers", COUNT', {"runs.py", "tails.py"}, {"train.py", "average.py"}),
        ("mmo", "CLIP = 2.0", "CLIP = 1.9", {"tails.py", "figure.py"}, {"train.py", "dataset.py"}),
    ]:
        path = module(copy, name)
        text = path.read_text()
        path.write_text(replaced(text, old, new))
        changed = {script for script, found in digests(copy).items() if found != before[script]}
        path.write_text(text)
        assert some <= changed, name
        assert not others & changed, name


class _Moved(ast.NodeTransformer):
    """Imports of modules that all lie in one room now, under other names; ``names`` gives these by the old dotted ones."""

    def __init__(self, names):
        self._names = names

    def visit_ImportFrom(self, node):
        if node.module in self._names:
            node.module = f"sgdtails.room.{self._names[node.module]}"
        elif f"{node.module}.{node.names[0].name}" in self._names:
            for alias in node.names:
                alias.asname = alias.asname or alias.name
                alias.name = self._names[f"{node.module}.{alias.name}"]
            node.module = "sgdtails.room"
        return node


def test_all_modules_can_move(copy, tmp_path):
    files = [path for path in (copy / "sgdtails").rglob("*.py") if path.name != "__init__.py"]
    dotted = {path: ".".join(path.relative_to(copy).with_suffix("").parts) for path in files}
    names = {name: name.replace(".", "_") for name in dotted.values()}
    for path in [*sorted(files), *sorted((copy / "workflow/scripts").glob("*.py"))]:
        moved = _Moved(names).visit(ast.parse(path.read_text()))
        new = f"sgdtails/room/{names[dotted[path]]}.py" if path in dotted else path.relative_to(copy)
        target = tmp_path / new
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(ast.unparse(moved))
    for package in ("sgdtails", "sgdtails/room"):
        (tmp_path / package / "__init__.py").write_text("")
    left_out = frozenset(f"sgdtails.room.{names[name]}" for name in code_digest.LEFT_OUT if name in names)
    assert digests(tmp_path, left_out) == digests(copy)
