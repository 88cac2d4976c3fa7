"""The container image that a job runs in, seen from inside. Standard library only: every job imports it."""

import sys
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "pyarrow", "scipy", "torch")
_DIGEST = Path("/etc/sgdtails-image")  # written when the image is built


def digest() -> str | None:
    """Return the digest of the image's contents, which ``image-digest`` computes again; None outside an image of this project."""
    return _DIGEST.read_text(encoding="ascii").strip() if _DIGEST.is_file() else None


def software() -> dict[str, Any]:
    """Return the digest of the image, and the versions of the libraries that decide the bytes of a table."""
    return {"image": digest(), "libraries": {library: _version(library) for library in _LIBRARIES}}


def isolate() -> None:
    """Inside an image, leave only its own modules and this repository's on ``sys.path``.

    Snakemake binds every search path of the host behind the image's own: a package that the image lacks, or a module
    imported late, would silently come from the host.
    """
    if _DIGEST.is_file():
        sys.path[:] = [entry for entry in sys.path if _belongs(Path(entry).resolve())]


def _version(library: str) -> str | None:
    """None where it is not installed: an audit can do without torch."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _belongs(entry: Path) -> bool:
    inside = any(entry.is_relative_to(Path(prefix).resolve() / "lib") for prefix in (sys.prefix, sys.base_prefix))
    return inside or (entry / "sgdtails" / "runtime" / "container.py").is_file()
