"""What a result depends on: a digest of the code that made it, and whether a job runs that code."""

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError

GIVEN = "SGDTAILS_CODE"  # environment variable: what the driver has planned with, for jobs that read the Snakefile anew
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def put_first(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let jobs find this repository before any other clone that PYTHONPATH names."""
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(root)]
    environment["PYTHONPATH"] = os.pathsep.join([str(root), *others])


def code(script: str, modules: Iterable[str], root: Path, environment: MutableMapping[str, str] = os.environ) -> str:
    """``<digest> <script> <module> ...``: the digest of a script below ``root``, of modules by name, and what they import there.

    The environment keeps it: a job that reads the Snakefile anew, as on a cluster, gets the digest that the driver planned with.
    """
    names = " ".join([script, *sorted(set(modules) - {""})])
    given = environment.get(GIVEN, "")
    for planned in given.split(";"):
        if planned.partition(" ")[2] == names:
            return planned
    found = f"{code_digest(_files(names.split(), root), root)} {names}"
    environment[GIVEN] = f"{given}{found};"
    return found


def check(planned: str, root: Path) -> None:
    """InputError if the code below ``root`` is no longer that of which ``code`` gave ``planned``."""
    names = planned.split()[1:]
    try:
        found = code_digest(_files(names, root), root)
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"the code of {names[0]} in {root} was edited while the study ran, and cannot be read ({error}); start again."
        ) from error
    if found != planned.partition(" ")[0]:
        raise InputError(
            f"the code of {names[0]} in {root} was edited, or another version checked out, since the study was started: "
            "this job would mislabel its results; start again, or put the code back."
        )


def _files(names: Sequence[str], root: Path) -> list[Path]:
    return [root / names[0], *(file for name in names[1:] for file in module_files(name, root))]


def code_digest(files: Iterable[Path], root: Path) -> str:
    """Digest of Python files and everything they import below ``root``: syntax trees without comments, docstrings and positions.

    So an edit that cannot change a result does not change the digest. Imports inside functions count too. All versions of
    Python that run this code give the same digest: a container's may be another than the driver's.
    """
    seen: dict[Path, str] = {}
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen[file], imported = _parse(file.read_bytes(), file, root.resolve())
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
def _parse(source: bytes, file: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    words: list[str] = []
    names: list[str] = []
    _spell(ast.parse(source, filename=str(file)), file.relative_to(root).parts[:-1], words, names)
    imported = {found for name in names for found in module_files(name, root)}
    return hashlib.sha256(" ".join(words).encode("utf-8", "surrogatepass")).hexdigest(), tuple(imported)


def _spell(node: ast.AST, package: Sequence[str], words: list[str], names: list[str]) -> None:
    """Append the words of a syntax tree to ``words``, and the names that it imports to ``names``.

    Fields that are empty are left out: newer versions of Python have more of them. ``ast.dump`` takes twice as long.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        names += _imported_names(node, package)
    words.append(type(node).__name__)
    for field in node._fields:
        value: Any = getattr(node, field, None)
        if field == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        if value is None or value == []:
            continue
        words.append(field)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                _spell(part, package, words, names)
            else:
                words.append(repr(part))
    words.append(")")


def _imported_names(node: ast.Import | ast.ImportFrom, package: Sequence[str]) -> list[str]:
    """Names of modules, or of what is in them, that a statement in a module of a package imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    above = package[: len(package) + 1 - node.level] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    return [".".join(filter(None, (module, alias.name))) for alias in node.names]
