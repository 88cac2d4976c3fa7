"""A config to start a study of one's own from. Imports nothing heavy."""

import os
import re
import shlex
from pathlib import Path

from sgdtails.config import resources, validation
from sgdtails.errors import InputError

_NAME = "study: small"


def create(name: str, folder: Path = Path()) -> Path:
    """Write a small config, with comments, for a study of this name.

    Parameters
    ----------
    name
        The study's name: letters, digits, hyphens and underscores.
    folder
        Where the file is written.

    Returns
    -------
    Path
        The file, ``<name>.yaml``: a copy of ``config/small.yaml`` with the study's name.

    Raises
    ------
    InputError
        The name cannot be one, or there is such a file, or a study of this name has results.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create("mine", Path(folder)).read_text().splitlines()[4]
    'study: mine                    # results go to results/mine/'
    """
    import yaml

    schema = validation.read_yaml(resources.base() / "config/config.schema.yaml", "schema")["properties"]["study"]
    path, results = folder / f"{name}.yaml", folder / "results" / name
    if not re.fullmatch(schema["pattern"], name) or len(name) > schema["maxLength"]:
        raise InputError(f"a study cannot be called {name!r}; use letters, digits, - and _, a letter or digit first.")
    if re.search(schema["not"]["pattern"], name):
        raise InputError(f"results/{name} is a folder of the workflow itself; give the study another name.")
    if results.exists():
        raise InputError(f"there are results of a study {name} in {results}; give the new one another name.")
    text = (resources.base() / "config/small.yaml").read_text(encoding="utf-8")
    said = name if yaml.safe_load(name) == name else f'"{name}"'  # 2024 and yes are no text in YAML
    text = text[text.index(_NAME) :].replace(_NAME, f"study: {said}", 1).replace("results/small/", f"results/{name}/")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_HEADER.format(run=_snakemake(path)) + text)
    except FileExistsError:
        raise InputError(f"there is a file {path} already; give the new study another name.") from None
    return path


_HEADER = """\
# A small study to start from: change its runs, then
#   {run}
# config/config.yaml of the workflow explains every key; the keys left out here are as they are there.

"""


def next_commands(path: Path) -> dict[str, str]:
    """Name the commands that a new study is continued with, and what each does.

    Parameters
    ----------
    path
        The study's config.

    Examples
    --------
    >>> list(next_commands(Path("mine.yaml")))[0]
    'make plan CONFIG=mine.yaml'
    """
    run, study = _snakemake(path), path.stem
    if not Path("Makefile").exists() or not Path("Snakefile").exists():
        return {
            f"{run} -n": "what would be run",
            f"{run} -- results/{study}/figures/fig01.png": "figure 1 and what it needs",
            run: "all tables and figures",
        }
    config = shlex.quote(str(path))
    return {
        f"make plan CONFIG={config}": "what would be run, how long it takes, and the room on disk",
        f"make fig01 CONFIG={config}": "figure 1 and what it needs",
        f"make status CONFIG={config}": "the progress, in another terminal",
        run: "all tables and figures",
        f"make report CONFIG={config}": "one page of what is there",
    }


def _snakemake(path: Path) -> str:
    """Write the command that runs a study from the working directory."""
    snakefile = resources.base() / "Snakefile"
    where = [] if Path("Snakefile").exists() else ["-s", os.fspath(snakefile if snakefile.exists() else "Snakefile")]
    return shlex.join(["snakemake", *where, "--cores", "all", "--configfile", os.fspath(path)])
