"""Reduce a Python file to what can change a result: the rest of its syntax tree, and the names that it uses of other files.

Left out are words for people, annotations, what prints, and names of modules (docs/adding.md says it in full). What is not
known to be harmless stays in.
"""

import ast
import copy
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sgdtails.digests import source_names
from sgdtails.digests.source_names import Names
from sgdtails.digests.source_words import Sentences

ALL = frozenset({"*"})  # names that others look up: any
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Tree(NamedTuple):
    """What counts of a file.

    ``own`` is the digest of its reduced tree. ``used`` are the files that the tree refers to by number, in order; ``imported`` are
    the other files that it imports. ``names`` are those that it defines, ``asked`` those that it uses of other files, ``tops`` the
    first parts of what it imports, found or not.
    """

    own: str
    used: tuple[Path, ...]
    imported: tuple[Path, ...]
    names: frozenset[str]
    asked: frozenset[tuple[Path, str]]
    empty: bool
    tops: frozenset[str]


@cache
def read(source: bytes, file: Path, root: Path, left_out: frozenset[str], kept: frozenset[str]) -> Tree:
    """Reduce a file to what can change a result.

    Parameters
    ----------
    source
        Its content.
    file
        Its path.
    root
        The repository's folder.
    left_out
        Modules that count in no digest.
    kept
        Names of the file that others look up.
    """
    speller = _Speller(ast.parse(source, filename=str(file)), file, root, left_out, kept)
    words, numbers = speller.text()
    lazy = speller.names.lazy(kept)
    asked = {(word[1], word[2]) for word in speller.references} | lazy
    if "*" in kept:  # what it imports may be looked up in it
        asked |= speller.names.offered
    imported = {*speller.names.imported, *source_names.packages(file, root, left_out), *(other for other, _ in lazy)}
    more = sorted(imported - {file, *numbers})
    return Tree(
        own=hashlib.sha256(" ".join(words).encode("utf-8", "surrogatepass")).hexdigest(),
        used=tuple(numbers),
        imported=tuple(more),
        names=frozenset(speller.names.module),
        asked=frozenset(asked),
        empty=not words,
        tops=frozenset(speller.names.tops),
    )


class _Speller:
    """Spells syntax trees as words: strings, ("private", name), or ("file", path, first name used of it)."""

    def __init__(
        self, tree: ast.Module, file: Path, root: Path, left_out: frozenset[str], kept: frozenset[str]
    ) -> None:
        self._body = list(_running(tree.body))
        self.names = Names(self._body, file, root, left_out)
        self._words: list[Any] = []
        self.references: list[Any] = []
        self._free = set() if "*" in kept else self.names.hidden - kept
        self._renamed = self._free & self.names.renamable
        self._sentences = Sentences(self.names)
        self._columns = self.names.defines_or_imports("schema")

    def text(self) -> tuple[list[str], dict[Path, int]]:
        """Return the words that are left, and the other files by their numbers in them."""
        parts: list[list[Any]] = []
        for node in self._body:
            self._words = []
            self._statement(node)
            parts.append(self._words)
        needed = self._needed(parts)
        numbers: dict[Path, int] = {}
        private: dict[str, int] = {}
        words = []
        for word in (word for index in needed for word in parts[index]):
            if isinstance(word, str):
                words.append(word)
            elif word[0] == "private":
                known = word[1] not in self._renamed
                words.append(word[1] if known else f"private:{private.setdefault(word[1], len(private))}")
            else:
                self.references.append(word)
                words.append(f"file:{numbers.setdefault(word[1], len(numbers))}")
        return words, numbers

    def _needed(self, parts: list[list[Any]]) -> list[int]:
        spare = {
            index: name for index, node in enumerate(self._body) if (name := source_names.spare(node)) in self._free
        }
        used: set[str] = set()
        waiting = [index for index in range(len(parts)) if index not in spare]
        found = set(waiting)
        while waiting:
            used |= {word[1] for word in parts[waiting.pop()] if isinstance(word, tuple) and word[0] == "private"}
            more = [index for index, name in spare.items() if name in used and index not in found]
            waiting += more
            found.update(more)
        return sorted(found)

    # Statements

    def _statement(self, node: ast.AST) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Expr(value=ast.Call() as call):
                self._call_statement(call)
            case ast.Raise(exc=exc):  # its cause is for tracebacks
                self._words.append("Raise")
                if isinstance(exc, ast.Call):
                    self._call(exc, raised=True)
                elif exc:
                    self._spell(exc)
                self._words.append(")")
            case ast.Assert(test=test):
                self._words.append("Assert")
                self._spell(test)
                self._words.append(")")
            case ast.AnnAssign(target=target, value=ast.AST() as value) if not self.names.in_class:
                self._fields("Assign", {"targets": [target], "value": value})
            case _:
                self._spell(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Spell an import only if its names appear as they are; others count where they are used, or as imported files."""
        for bound, target in self.names.aliases(node):
            counts = self.names.settle(target)[0] or self.names.is_used(bound)
            if bound == "*" or self.names.look_up(bound) != target or not counts:
                self._words.append(f"import {'' if bound == target else bound}")
                self._dotted(target)

    def _call_statement(self, call: ast.Call) -> None:
        """Spell a call whose result nobody takes, unless it only prints or calls a module that counts in no digest."""
        where = self.names.dotted(call.func)
        if self._sentences.printed(call, where):
            for part in self._sentences.acting(call):
                self._spell(part)
        elif not (where and self.names.is_left_out(where) and not call.args and not call.keywords):
            self._fields("Expr", {"value": call})

    # Calls

    def _call(self, call: ast.Call, *, raised: bool = False) -> None:
        where = self.names.dotted(call.func)
        ours = bool(where and self.names.is_left_out(where))
        if raised or ours or where == "sys.exit":
            given = [] if raised and ours else [*call.args, *call.keywords]
            text = [part for part in given if self._sentences.is_text(_value(part))]
            left = [part for part in given if part not in text]
            acting = [] if raised else [inner for part in text for inner in self._sentences.acting(part)]
            self._fields("Call", {"func": call.func, "args": [*left, *acting]})
        else:
            self._fields("Call", {name: getattr(call, name) for name in call._fields})

    # Expressions, and all else

    def _spell(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                if where := self.names.dotted(node, imported=True):
                    self._dotted(where)
                elif isinstance(node, ast.Name):
                    self._words += ["Name", self._own(name)]
                    if around := self.names.around_class(name):
                        self._dotted(around)
                else:
                    self._fields("Attribute", {"value": node.value, "attr": name})
            case ast.Call():
                self._call(node)
            case ast.Tuple() if self._columns and (column := self._column(node)):
                self._fields("Column", {"elts": column})
            case ast.JoinedStr(values=values):  # versions of Python differ in empty parts
                self._fields("JoinedStr", {"values": [v for v in values if getattr(v, "value", None) != ""]})
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._words += [type(node).__name__, *map(self._own, names)]
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self._definition(node)
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._expression(node)
            case _:
                self._fields(type(node).__name__, {name: getattr(node, name, None) for name in node._fields})

    def _definition(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Spell a definition; decorators, bases and default arguments belong to the scope around it."""
        self._words += [type(node).__name__, self._own(node.name)]
        outside = {name: getattr(node, name, None) for name in ("decorator_list", "bases", "keywords")}
        inside = {name: getattr(node, name, None) for name in node._fields if name not in ("name", *outside)}
        if isinstance(node, _FUNCTIONS):
            annotated = source_names.decorated(node)  # a decorator might look at annotations
            inside["args"], defaults = _parted(node.args, annotated=annotated)
            inside["returns"] = node.returns if annotated else None
            outside |= defaults
        self._fields("", outside)
        with self.names.inside(node):
            self._fields("", inside)

    def _expression(self, node: ast.AST) -> None:
        """Spell a lambda or a comprehension; the first iterable of the latter belongs to the scope around it."""
        inside = {name: getattr(node, name) for name in node._fields}
        if isinstance(node, ast.Lambda):
            inside["args"], outside = _parted(node.args)
        else:
            first = copy.copy(inside["generators"][0])
            outside, first.iter = {"iter": first.iter}, None
            inside["generators"] = [first, *inside["generators"][1:]]
        self._fields(type(node).__name__, outside)
        with self.names.inside(node):
            self._fields("", inside)

    def _fields(self, kind: str, fields: dict[str, Any]) -> None:
        """Empty fields are left out: newer versions of Python have more of them. ``ast.dump`` takes twice as long."""
        self._words.append(kind)
        for name, value in fields.items():
            parts = value if isinstance(value, list) else [value]
            if name in ("body", "orelse", "finalbody") and isinstance(value, list):
                parts = list(_running(value))
            if value is None or not parts or isinstance(value, ast.Load | ast.Store):
                continue
            self._words.append(name)
            for part in parts:
                if isinstance(part, ast.stmt):
                    self._statement(part)
                elif isinstance(part, ast.AST):
                    self._spell(part)
                else:
                    self._words.append(repr(part))
        self._words.append(")")

    def _dotted(self, where: str) -> None:
        """Spell what an imported name and the attributes after it mean, however the file is called and was imported."""
        file, rest = self.names.settle(where)
        if self.names.is_left_out(where):
            self._words += ["elsewhere", ".".join(rest)]
        elif file:
            self._words += [("file", file, rest[0] if rest else "*"), ".".join(rest)]
        else:
            self._words += ["library", where]

    def _own(self, name: str) -> Any:
        """Return a name as it is, or a stand-in for the file's own private name."""
        if not name.startswith("_"):
            return name
        if self.names.is_own(name):
            return ("private", name)
        if self.names.in_class:  # where it may mean the file's before it means the class's
            self._free.discard(name)
            self._renamed.discard(name)
        return name

    def _column(self, node: ast.Tuple) -> list[ast.expr] | None:
        """Name and type, if a tuple is a column's (name, type, unit, meaning)."""
        parts: list[ast.expr] = []
        for part in node.elts:
            literal = isinstance(part, ast.Starred) and isinstance(part.value, ast.Tuple)
            parts += part.value.elts if literal else [part]  # type: ignore[attr-defined]
        if len(parts) != 4 or any(isinstance(part, ast.Starred) for part in parts):
            return None
        name, type_, unit, meaning = parts
        is_text = self._sentences.is_text
        column = is_text(name) and is_text(meaning) and not isinstance(type_, ast.Constant | ast.JoinedStr)
        return [name, type_] if column and (is_text(unit) or isinstance(unit, ast.Name)) else None


def _running(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that do something: no docstrings, no ``pass``, nothing for type checkers only."""
    for node in body:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
                pass
            case _:
                yield node


def _value(argument: ast.AST) -> ast.AST:
    return argument.value if isinstance(argument, ast.keyword) else argument


def _parted(arguments: ast.arguments, *, annotated: bool = False) -> tuple[ast.arguments, dict[str, Any]]:
    """Arguments without defaults, and without annotations if need be; and the defaults."""

    def bare(parts: list[ast.arg]) -> list[ast.arg]:
        return parts if annotated else [ast.arg(arg=part.arg) for part in parts]

    found = copy.copy(arguments)
    found.posonlyargs, found.args, found.kwonlyargs = map(bare, (found.posonlyargs, found.args, found.kwonlyargs))
    if not annotated:
        found.vararg, found.kwarg = (part and ast.arg(arg=part.arg) for part in (found.vararg, found.kwarg))
    found.defaults, found.kw_defaults = [], []
    return found, {"defaults": arguments.defaults, "kw_defaults": arguments.kw_defaults}
