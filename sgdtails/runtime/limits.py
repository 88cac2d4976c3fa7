"""The limits of a process on this machine, checked before any job starts. Imports nothing heavy."""

import importlib.util
import resource
from pathlib import Path

from sgdtails.errors import InputError


def address_space() -> int | None:
    """Return how many bytes a process may address (``ulimit -v``); None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def check_address_space() -> None:
    """Check that torch's libraries, which every training job loads whole, fit into the address space.

    Raises
    ------
    InputError
        They do not.
    """
    limit, needed = address_space(), _libraries()
    if limit is not None and limit < needed:
        raise InputError(
            f"a process may address {limit / 1e9:.1f} GB here (ulimit -v), and the libraries that a job loads are "
            f"{needed / 1e9:.1f} GB; raise the limit, such as by `ulimit -v unlimited`."
        )


def _libraries() -> int:
    """Bytes of the shared libraries of torch, and of CUDA's where they lie beside it; nothing is imported."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return 0
    torch = Path(found.origin).parent
    folders = (torch / "lib", torch.parent / "nvidia")
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*.so*") if file.is_file())
