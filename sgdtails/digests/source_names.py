"""The meaning of names in a Python file: imported, defined by the file, or local to a function."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_PLAIN = frozenset({"cache", "classmethod", "contextmanager", "property", "staticmethod"})  # decorators
_LAZY = ("__getattr__", "__dir__")  # through which a package offers names that lie elsewhere
# With these a name is looked up by a string, or becomes one.
_BY_STRING = frozenset({"eval", "exec", "vars", "locals", "dir", "globals"})
_AS_STRING = frozenset({"__name__", "__qualname__", "__dict__"})


class Names:
    """The names of a file, seen from the scope that is being read (``inside``)."""

    def __init__(self, body: Sequence[ast.stmt], file: Path, root: Path, left_out: frozenset[str]) -> None:
        self._body, self._root, self._left_out = body, root, left_out
        self._package = file.relative_to(root).parts[:-1] if file.is_relative_to(root) else ()
        self._files: dict[str, Path | None] = {}
        self._nodes = [list(walk(statement)) for statement in body]
        self.module = self._bound(body)
        self._scopes: list[tuple[Mapping[str, str | None], bool]] = [(self.module, False)]

    # Scopes

    @contextmanager
    def inside(self, node: ast.AST) -> Iterator[None]:
        """Enter the scope of a function, a class or a comprehension. Functions do not see what a class around them defines."""
        scopes = self._scopes
        is_class = isinstance(node, ast.ClassDef)
        self._scopes = [scope for scope in scopes if not scope[1]]
        self._scopes.append((self._bound_in(node), is_class))
        yield
        self._scopes = scopes

    @property
    def in_class(self) -> bool:
        """True while the scope is a class's own."""
        return self._scopes[-1][1]

    def around_class(self, name: str) -> str | None:
        """Return what a name was imported as around a class that defines it too: the class's body may mean either."""
        scope, is_class = self._scopes[-1]
        found = [outer[name] for outer, _ in reversed(self._scopes[:-1]) if name in outer]
        return found[0] if is_class and name in scope and found else None

    def look_up(self, name: str) -> str | None:
        """Return the dotted name of what a name was imported as; None if it is anything else."""
        return next((scope[name] for scope, _ in reversed(self._scopes) if name in scope), None)

    def is_bound(self, name: str) -> bool:
        """Tell if a name is anything else than Python's own."""
        return any(name in scope for scope, _ in self._scopes)

    def is_own(self, name: str) -> bool:
        """Tell if the file itself defines a name, and no function around its use does."""
        bound = next((scope for scope, _ in reversed(self._scopes) if name in scope), None)
        return bound is self.module and self.module[name] is None

    def dotted(self, node: ast.AST, *, imported: bool = False) -> str | None:
        """Return ``library.part.name`` for a chain of attributes of a name, as it was imported, or None.

        Parameters
        ----------
        node
            An expression.
        imported
            True to return None also for names that were not imported.
        """
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        target = self.look_up(node.id)
        if target is None and imported:
            return None
        return ".".join([target or node.id, *reversed(attributes)])

    # Imports

    def aliases(self, node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
        """Pair the names that an import binds with the dotted names of what they mean."""
        if isinstance(node, ast.Import):
            return [
                (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
                for alias in node.names
            ]
        above = self._package[: len(self._package) + 1 - node.level] if node.level else ()
        module = ".".join([*above, *([node.module] if node.module else [])])
        return [
            (alias.asname or alias.name, ".".join(filter(None, [module, alias.name.rstrip("*")])))
            for alias in node.names
        ]

    @cached_property
    def imported(self) -> set[Path]:
        """Files of the repository that the file imports, within functions too."""
        files = {self.settle(target)[0] for target in self._targets if not self.is_left_out(target)}
        return {file for file in files if file}

    @property
    def offered(self) -> set[tuple[Path, str]]:
        """Pair files of the repository with names that the file imports from them."""
        settled = [self.settle(target) for target in self.module.values() if target and not self.is_left_out(target)]
        return {(file, rest[0]) for file, rest in settled if file and rest}

    @property
    def tops(self) -> set[str]:
        """The first parts of what the file imports, libraries too."""
        return {target.partition(".")[0] for target in self._targets}

    @property
    def _flat(self) -> Iterator[ast.AST]:
        return (node for parts in self._nodes for node in parts)

    @cached_property
    def _targets(self) -> set[str]:
        found = set()
        for node in self._flat:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {target for _, target in self.aliases(node)}
        return found

    def lazy(self, names: frozenset[str]) -> set[tuple[Path, str]]:
        """Pair files with names that a function ``__getattr__`` may take from them.

        They are the files that strings name: for a name that is a key of a dictionary its value, else all.
        """
        if "__getattr__" not in names & self.module.keys():
            return set()
        asked = names - self.module.keys()
        keys = {
            key.value: value
            for node in self._flat
            if isinstance(node, ast.Dict)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and key.value in asked
        }
        strings = {
            node.value
            for node in (self._flat if asked - keys.keys() else keys.values())
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value
        }
        settled = [self.settle(text) for text in strings if not self.is_left_out(text)]
        return {(file, name) for file, rest in settled if file and not rest for name in asked}

    @cached_property
    def _used(self) -> set[str]:
        return {part.id for part in self._flat if isinstance(part, ast.Name)}

    def is_used(self, name: str) -> bool:
        """Tell if the file uses a name."""
        return name in self._used

    @cached_property
    def hidden(self) -> set[str]:
        """Names of the file with a leading underscore that nothing looks up by a string; none if that cannot be told."""
        strings = set()
        for top, nodes in zip(self._body, self._nodes, strict=True):
            if isinstance(top, _FUNCTIONS) and top.name in _LAZY:
                continue
            asked = {id(node.comparators[0]) for node in nodes if isinstance(node, ast.Compare)}  # "x" in globals()
            for node in nodes:
                match node:
                    case ast.Call(func=ast.Name(id=name)) if name in _BY_STRING and id(node) not in asked:
                        return set()
                    case ast.Attribute(attr=name) if name in _AS_STRING:
                        return set()
                    case ast.Constant(value=str(text)):
                        strings.add(text)
        return {name for name in self.module if name.startswith("_") and name not in strings}

    @property
    def renamable(self) -> set[str]:
        """Of those, the ones that might have any other name: a decorator may make a key of what it decorates."""
        keys = {node.name for node in self._body if isinstance(node, _DEFINITIONS) and decorated(node)}
        return {name for name in self.hidden if not name.startswith("__")} - keys

    @property
    def returned(self) -> dict[str, list[ast.expr | None]]:
        """What the file's functions return, by name."""
        return {
            top.name: [part.value for part in nodes if isinstance(part, ast.Return)]
            for top, nodes in zip(self._body, self._nodes, strict=True)
            if isinstance(top, _FUNCTIONS)
        }

    def defines_or_imports(self, name: str) -> bool:
        """Tell if the file has a function of this name, its own or one of another file of the repository."""
        if target := self.module.get(name):
            return self.settle(target)[0] is not None
        return any(isinstance(node, _FUNCTIONS) and node.name == name for node in self._body)

    def settle(self, where: str) -> tuple[Path | None, list[str]]:
        """Find the file of the repository that a dotted name leads into, if any, and the rest of the name."""
        parts = where.split(".")
        for count in range(len(parts), 0, -1):
            if file := self._file(".".join(parts[:count])):
                return file, parts[count:]
        return None, parts

    def is_left_out(self, where: str) -> bool:
        """Tell if what a dotted name means lies in a module that counts in no digest."""
        file, rest = self.settle(where)
        parts = where.split(".")
        return file is not None and ".".join(parts[: len(parts) - len(rest)]) in self._left_out

    def _file(self, module: str) -> Path | None:
        if module not in self._files:
            inside, _, name = module.rpartition(".")
            top = module.partition(".")[0]
            there = not inside or self._has(top)
            self._files[module] = file_of(module, self._root) if there and name else None
        return self._files[module]

    def _has(self, top: str) -> bool:
        if f"{top}." not in self._files:  # a library's folder is looked for once
            folder = self._root / top
            self._files[f"{top}."] = folder if folder.is_dir() else None
        return self._files[f"{top}."] is not None

    # What a scope binds

    def _bound_in(self, node: ast.AST) -> dict[str, str | None]:
        match node:
            case ast.Lambda(args=arguments, body=body):
                found = self._bound([body])
            case (
                ast.FunctionDef(args=arguments, body=statements) | ast.AsyncFunctionDef(args=arguments, body=statements)
            ):
                found = self._bound(statements)
            case ast.ClassDef(body=statements):
                return self._bound(statements)
            case _:
                targets = [part.target for part in getattr(node, "generators", [])]
                return self._bound(targets)
        return found | {part.arg: None for part in walk(arguments) if isinstance(part, ast.arg)}

    def _bound(self, nodes: Iterable[ast.AST]) -> dict[str, str | None]:
        """Names by the dotted names that they are imports of; None for what is assigned or defined, or both."""
        found: dict[str, str | None] = {}
        elsewhere: set[str] = set()
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            bound: list[tuple[str | None, str | None]] = []
            inner: Iterable[ast.AST] = children(node)
            match node:
                case ast.Import() | ast.ImportFrom():
                    bound = list(self.aliases(node))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    bound, inner = [(name, None)], ()
                case ast.Lambda():
                    inner = ()
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    inner = [part for part in walk(node) if isinstance(part, ast.NamedExpr)]
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    bound = [(name, None)]
                case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
                    bound = [(name, None)]
                case ast.MatchMapping(rest=name):
                    bound = [(name, None)]
                case ast.Global(names=names) | ast.Nonlocal(names=names):
                    elsewhere.update(names)
            for name, target in bound:
                if name:
                    found[name] = target if found.get(name, target) == target else None
            waiting.extend(inner)
        return {name: target for name, target in found.items() if name not in elsewhere}


def file_of(module: str, root: Path) -> Path | None:
    """Find the file of a module, or of a package, below ``root``; None if it is not there."""
    base = root.joinpath(*module.split("."))
    files = (base / "__init__.py", base.with_name(f"{base.name}.py"))  # Python, too, prefers a package
    return next((file for file in files if file.is_file()), None)


def packages(file: Path, root: Path, left_out: frozenset[str]) -> list[Path]:
    """List the ``__init__`` files of the packages that a file lies in: they run before it."""
    inside = [parent for parent in file.parents if parent != root and parent.is_relative_to(root)]
    counted = [folder for folder in inside if ".".join(folder.relative_to(root).parts) not in left_out]
    return [init for folder in counted if (init := folder / "__init__.py") != file and init.is_file()]


def children(node: ast.AST) -> list[ast.AST]:
    """List the parts of a node as ``ast.iter_child_nodes`` does, in half its time."""
    found: list[ast.AST] = []
    for name in node._fields:
        if name != "ctx":
            value = getattr(node, name, None)
            if isinstance(value, list):
                found += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all that is in it, in no particular order.

    Examples
    --------
    >>> sum(isinstance(part, ast.Name) for part in walk(ast.parse("a + b * a")))
    3
    """
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children(found)


def decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Tell if a definition has a decorator that might look at its name or its annotations."""
    plain = [part for part in node.decorator_list if isinstance(part, ast.Name) and part.id in _PLAIN]
    return len(plain) < len(node.decorator_list)


def spare(node: ast.stmt) -> str | None:
    """Return the name that a statement gives to a function or a literal, if the name starts with an underscore.

    None for a statement that does more than define it.

    Examples
    --------
    >>> spare(ast.parse("_BATCH = 1000").body[0])
    '_BATCH'
    """
    match node:
        case ast.FunctionDef(name=name, decorator_list=[]):
            found = name
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            try:
                ast.literal_eval(value or "")
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                return None
            found = name
        case _:
            return None
    return found if found.startswith("_") else None
