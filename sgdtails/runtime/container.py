"""The container image that a job runs in, seen from inside. Standard library only: every job imports it."""

import sys
from pathlib import Path

_DIGEST = Path("/etc/sgdtails-image")  # written when the image is built


def digest() -> str | None:
    """The digest of the image's contents (``image-digest`` computes it again), or None outside an image of this project."""
    return _DIGEST.read_text(encoding="ascii").strip() if _DIGEST.is_file() else None


def isolate() -> None:
    """Inside an image, leave only its own modules and this repository's on ``sys.path``.

    Snakemake binds every search path of the host behind the image's own: a package missing here, or a module imported
    late, would silently come from there.
    """
    if _DIGEST.is_file():
        sys.path[:] = [entry for entry in sys.path if _belongs(Path(entry).resolve())]


def _belongs(entry: Path) -> bool:
    inside = any(entry.is_relative_to(Path(prefix).resolve() / "lib") for prefix in (sys.prefix, sys.base_prefix))
    return inside or (entry / "sgdtails" / "runtime" / "container.py").is_file()
