"""One job without Snakemake: ``python -m tests.faults.job script.py description.json`` with its input, output, params and so on."""

import json
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Named(list[Any]):
    """A list whose items have names too, as Snakemake's inputs and outputs."""

    def items(self) -> Iterable[tuple[str, Any]]:
        return self.__dict__.items()

    def get(self, name: str, default: Any) -> Any:
        return self.__dict__.get(name, default)

    def __init__(self, items: dict[str, Any] | list[str]) -> None:
        super().__init__(items.values() if isinstance(items, dict) else items)
        if isinstance(items, dict):
            self.__dict__.update(items)


def main(script: str, description: str) -> None:
    values = json.loads(Path(description).read_text())
    lists = {key: Named(values[key]) for key in ("input", "output", "log")}
    params = SimpleNamespace(**values["params"])
    job = SimpleNamespace(
        **lists, params=params, config=values["config"], wildcards=SimpleNamespace(**values["wildcards"])
    )
    runpy.run_path(script, {"snakemake": job})


if __name__ == "__main__":
    main(*sys.argv[1:])
