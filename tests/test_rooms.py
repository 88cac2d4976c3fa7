"""The rooms of the library: which may import which, and that none grows too large."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

LIBRARY = ROOT / "sgdtails"
# Each may import what stands before it. Modules beside the rooms have a line of their own.
ORDER = (
    *(
        "errors",
        "arrays",
        "labels",
        "schemas",
        "digests",
        "runtime",
        "config",
        "models",
        "io",
        "layers",
        "data",
        "stable",
    ),
    *("tail_index", "training", "pruning", "theory", "claims", "figures", "audit", "report", "cli", "__main__"),
)
FILES = sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(LIBRARY).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """The rooms that a file imports when it runs; what only type checkers read does not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sgdtails":
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_go_one_way(path):
    own = ORDER.index(room(path))
    assert [name for name in imported(path) if ORDER.index(name) > own] == []


def test_every_room_says_what_it_is_and_stays_small():
    folders = [folder for folder in LIBRARY.rglob("*") if folder.is_dir() and any(folder.glob("*.py"))]
    assert len(folders) >= len(ORDER) - 6
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
        assert len(list(folder.glob("[!_]*.py"))) <= 15, folder
    assert {path.stem for path in LIBRARY.glob("*.py")} <= {
        "__init__",
        "__main__",
        "arrays",
        "cli",
        "errors",
        "labels",
        "layers",
    }


def test_what_the_snakefile_reads_needs_no_numbers():
    """Parsing it starts every job of a cluster: numpy takes a tenth of a second, torch two."""
    heavy = {"numpy", "torch", "pandas", "scipy", "pyarrow"}
    for path in FILES:
        if room(path) in ("config", "digests", "labels"):
            tree = ast.parse(path.read_text())
            top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
            names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
            assert not {name.partition(".")[0] for name in names} & heavy, path
