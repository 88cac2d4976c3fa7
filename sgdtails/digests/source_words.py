"""Find the words for people in a Python file: sentences, and the calls that print them."""

import ast
import re
from collections.abc import Iterator

from sgdtails.digests.source_names import Names, children

_STREAM = r"sys\.(stdout|stderr|__stdout__|__stderr__)"
_PRINTING = re.compile(
    r"print|say|(logging|_?log|_?logger|LOG|LOGGER)\.(debug|info|warning|error|exception|critical|log)"
    rf"|warnings\.(warn|warn_explicit)|{_STREAM}\.(write|flush)|traceback\.print_exc|(.+\.)?_?progress\.report"
)
# Calls that a sentence may hold without doing anything else: of functions, and of methods of text.
_FORMATTING = re.compile(
    "abs|bool|dict|enumerate|filter|float|format|int|isinstance|len|list|map|max|min|range|repr|reversed|round|set|sorted"
    "|str|sum|tuple|type|zip"
)
_OF_TEXT = re.compile(
    "capitalize|decode|format|join|ljust|lower|lstrip|partition|removeprefix|removesuffix|replace|rjust|rpartition|rstrip"
    "|split|strip|title|upper"
)
_EFFECTS = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


class Sentences:
    """Tells the sentences of a file."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._makers: set[str] = set()  # functions of the file that return nothing but text
        for _ in range(3):  # one that returns what another one does, and so on
            self._makers = {
                name
                for name, values in names.returned.items()
                if values and all(value and self.is_text(value) for value in values)
            }

    def is_text(self, node: ast.AST) -> bool:
        """Tell if an expression is text, put together or not; a name is not, whatever it holds."""
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return True
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.is_text(left) or self.is_text(right)
            case ast.BinOp(left=left, op=ast.Mod()):
                return self.is_text(left)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_text(body) and self.is_text(orelse)
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return bool(_OF_TEXT.fullmatch(name)) and self.is_text(value)
            case ast.Call(func=ast.Name(id=name)):
                return name in self._makers and self._names.is_own(name)
        return False

    def printed(self, call: ast.Call, where: str | None) -> bool:
        """Tell if a call of what ``where`` names prints on the terminal or into the log, and does nothing else."""
        if not where or not _PRINTING.fullmatch(where) or (where == "print" and self._names.is_bound(where)):
            return False
        if where == "say" and (self._names.is_own(where) or not call.args or not self.is_text(call.args[0])):
            return False  # it is no callback that prints
        streams = [self._names.dotted(word.value) or "" for word in call.keywords if word.arg == "file"]
        return all(re.fullmatch(_STREAM, stream) for stream in streams)

    def acting(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the parts of a sentence's expression that may do something besides making text."""
        for part in children(node):
            if isinstance(part, _EFFECTS) or (isinstance(part, ast.Call) and not self._formats(part.func)):
                yield part
            else:
                yield from self.acting(part)

    def _formats(self, function: ast.expr) -> bool:
        match function:
            case ast.Name(id=name):
                return bool(_FORMATTING.fullmatch(name)) and not self._names.is_bound(name)
            case ast.Attribute(attr=name):
                return bool(_OF_TEXT.fullmatch(name))
        return False
