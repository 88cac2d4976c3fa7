"""Tables that depend on no study: computed once, then copied into each study with the same settings.

They lie in ``results/.simulations``, beside the studies. Whoever removes that folder loses time, and nothing else.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.runtime import container

FOLDER = ".simulations"  # beside the folders of studies


def place(path: str | Path, params: Any) -> Path:
    """Name the shared file of a table, by all that its bytes depend on.

    Parameters
    ----------
    path
        The table's file in a study, two folders below the folder of results.
    params
        Of the rule that makes it: the name ``table``, the dotted paths ``functions`` of what makes its rows, their ``settings`` as
        text, and the digest ``code``.

    Returns
    -------
    Path
        It need not exist.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> params = SimpleNamespace(table="kesten", functions=["sgdtails.theory.kesten.kesten_rows"], settings="{}", code="0")
    >>> shared = place("results/a/tables/kesten.parquet", params)
    >>> shared.parent.as_posix(), shared == place("results/b/tables/kesten.parquet", params)
    ('results/.simulations', True)
    """
    made_by = [params.table, list(params.functions), params.settings, params.code, container.software()]
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:32]
    return Path(path).parents[2] / FOLDER / f"{params.table}-{digest}.parquet"


def fetch(shared: Path, path: str | Path) -> bool:
    """Copy a shared table into a study.

    It is a copy and no hard link, so that damage to one study's file stays there.

    Parameters
    ----------
    shared
        The shared file.
    path
        The study's file.

    Returns
    -------
    bool
        False if there is no whole shared file. Then the table has to be computed.

    Raises
    ------
    OSError
        The study's file cannot be written.

    Examples
    --------
    >>> fetch(Path("results/.simulations/none.parquet"), "results/a/tables/none.parquet")
    False
    """
    try:
        if storage.read_checksum(shared) is None:  # it does not exist, or its process was killed before its end
            return False
        data = storage.read(shared)
    except FileNotFoundError:  # somebody has removed it
        return False
    except InputError:
        print(f"{shared} is damaged; the table is computed again.")
        return False
    except OSError as error:
        print(f"{shared} cannot be read ({error.strerror or error}); the table is computed again.")
        return False
    with storage.atomic(path) as temporary:
        temporary.write_bytes(data)
    print(f"Copied from {shared}, which has the same settings and code.")
    return True


def keep(path: str | Path, shared: Path) -> None:
    """Keep a copy of a study's table for other studies. If that fails, they compute it themselves.

    Parameters
    ----------
    path
        The study's file.
    shared
        The shared file. It is replaced.
    """
    try:
        data = storage.read(path)
        with storage.atomic(shared) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        print(f"{shared} cannot be written ({error.strerror or error}); other studies compute this table themselves.")


def files(results: Path) -> list[Path]:
    """List the shared files that this software has written.

    Parameters
    ----------
    results
        The folder that holds studies.

    Raises
    ------
    OSError
        The folder of shared files cannot be looked at.
    """
    folder = results / FOLDER
    if not folder.is_dir():
        return []
    tables = (path for path in folder.iterdir() if path.suffix == ".parquet" and not path.name.startswith("."))
    return sorted(path for path in tables if storage.read_checksum(path))
