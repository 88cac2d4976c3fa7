"""Where the configuration files that the package comes with lie. Standard library only."""

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
