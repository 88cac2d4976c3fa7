"""Which container image jobs run in: a file named by what it is built from. Imports nothing heavy."""

import hashlib
import os
import shlex
from collections.abc import MutableMapping
from pathlib import Path

from sgdtails.errors import InputError

_RECIPE = ("requirements.lock", "containers/sgdtails.def", "containers/install.sh")
_DIGEST = "{digest}"


def recipe_digest(base: Path) -> str:
    """Digest of the lock and the recipe below ``base``, which an image is built from."""
    return hashlib.sha256(b"".join((base / part).read_bytes() for part in _RECIPE)).hexdigest()[:12]


def image(container: str | None, base: Path) -> str:
    """The image that the config key ``container`` names: an address with ``://`` as it is, or a path.

    ``{digest}`` in a path stands for ``recipe_digest``, so that another lock needs another image, which reruns jobs. A path
    is looked up in the working directory, then in ``base``. InputError if there is no such image.
    """
    if container is None:
        raise InputError(
            "config key container is null, but containers were asked for (--sdm apptainer); "
            "give the path of an image, or leave that option out."
        )
    if "://" in container:
        return _quoted(container)
    path = container.replace(_DIGEST, recipe_digest(base)) if _DIGEST in container else container
    found = next((file for file in (Path(path), base / path) if file.exists()), None)
    if found is None:
        make = "build it with `make image`" if _DIGEST in container else "give the path of an image"
        raise InputError(f"config key container: there is no image {path}; {make}, or leave --sdm apptainer out.")
    return _quoted(str(found))


def _quoted(name: str) -> str:
    """The name, if a shell takes it as it is: Snakemake puts it into command lines without quotes."""
    if shlex.quote(name) != name:
        raise InputError(
            f"config key container: {name!r} has a space or another character that a shell would take apart; rename it or move it."
        )
    return name


def bind_driver(environment: MutableMapping[str, str] = os.environ, *, devices: Path = Path("/dev")) -> None:
    """Let containers started from here have this machine's NVIDIA driver (``--nv``), if it has one and nothing else is said."""
    if (devices / "nvidiactl").exists():
        environment.setdefault("APPTAINER_NV", "1")


if __name__ == "__main__":  # for the Makefile
    print(recipe_digest(Path()))
