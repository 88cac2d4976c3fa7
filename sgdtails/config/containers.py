"""The container image that jobs run in: a file named by a digest of its recipe. Imports nothing heavy."""

import hashlib
import os
import shlex
from collections.abc import MutableMapping
from pathlib import Path

from sgdtails.errors import InputError

_RECIPE = ("requirements.lock", "containers/sgdtails.def", "containers/install.sh")
_DIGEST = "{digest}"


def recipe_digest(base: Path) -> str:
    """Digest the lock and the recipe that an image is built from.

    Parameters
    ----------
    base
        The repository's folder.
    """
    return hashlib.sha256(b"".join((base / part).read_bytes() for part in _RECIPE)).hexdigest()[:12]


def image(container: str | None, base: Path) -> str:
    """Find the image that jobs run in.

    Parameters
    ----------
    container
        Config key ``container``: an address with ``://``, or a path. ``{digest}`` in a path stands for ``recipe_digest``,
        so that another lock needs another image, which reruns jobs.
    base
        Where a path is looked up if it is not in the working directory.

    Returns
    -------
    str
        The address or the path, fit for a command line.

    Raises
    ------
    InputError
        There is no such image.
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
    """Refuse a name that a shell would take apart: Snakemake puts it into command lines without quotes."""
    if shlex.quote(name) != name:
        raise InputError(
            f"config key container: {name!r} has a space or another character that a shell would take apart; rename it or move it."
        )
    return name


def bind_driver(environment: MutableMapping[str, str] = os.environ, *, devices: Path = Path("/dev")) -> None:
    """Let containers have this machine's NVIDIA driver (``--nv``), if it has one and the user has said nothing else.

    Parameters
    ----------
    environment
        Changed in place.
    devices
        The folder of device nodes.
    """
    if (devices / "nvidiactl").exists():
        environment.setdefault("APPTAINER_NV", "1")


if __name__ == "__main__":  # for the Makefile
    print(recipe_digest(Path()))
