import pytest

from sgdtails import provenance
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
    return provenance.code_digest([tree / "script.py"], tree)


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
    found = provenance.module_files("lib.part.c", tree)
    assert [str(file.relative_to(tree)) for file in found] == [
        "lib/__init__.py",
        "lib/part/__init__.py",
        "lib/part/c.py",
    ]
    assert list(provenance.module_files("", tree)) == list(provenance.module_files("numpy.linalg", tree)) == []


def test_tails_do_not_depend_on_training_or_plotting():
    script = ROOT / "workflow/scripts/tails.py"
    provenance.code_digest([script], ROOT)
    seen, waiting = set(), [script]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += provenance._parse(file.read_bytes(), file, ROOT)[1]
    names = {file.stem for file in seen}
    assert {"tail_index", "layers", "tables"} <= names
    assert not names & {"training", "plotting", "models", "data", "averaging"}
