"""Where files that a config names lie, and those that the package comes with. Standard library only."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def base() -> Path:
    """The folder that holds ``config/``: that of the Snakefile in a clone, one inside the package where it is installed.

    Returns
    -------
    Path
        ``base() / "config/config.yaml"`` is the paper's study, with every key.

    Examples
    --------
    >>> (base() / "config" / "config.yaml").is_file()
    True
    """
    installed = _PACKAGE / "shipped"
    return installed if installed.is_dir() else _PACKAGE.parent


def beside(path: str, folder: Path) -> Path:
    """Look a path up in the working directory, then in another folder.

    Parameters
    ----------
    path
        As a config gives it.
    folder
        That of the Snakefile.

    Examples
    --------
    >>> beside("no/such/file.csv", Path("/workflow")).as_posix()
    '/workflow/no/such/file.csv'
    """
    # os.path.exists is false for a path that cannot exist, where Path's own raises
    return Path(path) if os.path.exists(path) else folder / path  # noqa: PTH110
