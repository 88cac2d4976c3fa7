"""Run a notebook's code cells without Jupyter; ``python -m tests.notebook examples/api.ipynb`` stores their outputs."""

import ast
import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib


def run(notebook: dict[str, Any], folder: Path) -> list[list[dict[str, Any]]]:
    """Run the code cells one after the other with ``folder`` as working directory, as Jupyter does; return the outputs of each."""
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        return [_outputs("".join(cell["source"]), names) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a cell prints, the figures that it leaves open in pyplot, and the value of its last expression."""
    from matplotlib import pyplot

    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        value = eval(compile(last, "<cell>", "eval"), names) if last else None
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        data: dict[str, Any] = {"text/plain": _lines(repr(value))}
        html = value._repr_html_() if hasattr(value, "_repr_html_") else None
        data |= {"text/html": _lines(html)} if html else {}
        data |= {"image/png": _png(value)} if hasattr(value, "savefig") else {}
        found.append({"output_type": "execute_result", "metadata": {}, "data": data})
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        data = {"image/png": _png(figure), "text/plain": _lines(repr(figure))}
        found.append({"output_type": "display_data", "metadata": {}, "data": data})
    pyplot.close("all")
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=72, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()


def store(path: Path) -> None:
    """Write a notebook's outputs into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(cells, run(notebook, path.parent), strict=True), start=1):
        for output in outputs:
            output |= {"execution_count": number} if output["output_type"] == "execute_result" else {}
        cell |= {"outputs": outputs, "execution_count": number}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + os.linesep, encoding="utf-8")


if __name__ == "__main__":
    store(Path(sys.argv[1]))
