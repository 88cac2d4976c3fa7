"""What a result depends on: a digest of the code that made it."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path


def code_digest(files: Iterable[Path], root: Path) -> str:
    """Digest of Python files and everything they import below ``root``: syntax trees without comments, docstrings and positions.

    So an edit that cannot change a result does not change the digest. Imports inside functions count too.
    """
    seen: dict[Path, str] = {}
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen[file], imported = _parse(file, root.resolve())
            waiting.extend(imported)
    parts = sorted(f"{file.relative_to(root.resolve())} {tree}" for file, tree in seen.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def module_files(name: str, root: Path) -> Iterator[Path]:
    """The files of module ``name`` and of the packages that it is in, below ``root``, if they are there; none of an empty name."""
    base = root
    for part in filter(None, name.split(".")):
        base = base / part
        files = (base.parent / f"{part}.py", base / "__init__.py")
        yield from [file for file in files if file.is_file()][:1]


@cache
def _parse(file: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(file.read_bytes(), filename=str(file))
    package = file.relative_to(root).parts[:-1]
    imported = {found for name in _imported_names(tree, package) for found in module_files(name, root)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imported)


def _imported_names(tree: ast.AST, package: Sequence[str]) -> Iterator[str]:
    """Names of modules, or of what is in them, that a module of a package imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [".".join(filter(None, (module, alias.name))) for alias in node.names]
        else:
            continue
        yield from names
