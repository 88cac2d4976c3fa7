"""One GPU for each job of a machine: a file lock per device, which the kernel releases however its process ends.

Snakemake counts GPUs (``--resources gpu=4``) but does not hand them out. Imports nothing but the standard library.
"""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from sgdtails.errors import InputError

# One folder for all users of the machine. Not the user's own one or $TMPDIR, which differ from one job to the next.
FOLDER = Path("/tmp/sgdtails-gpus")
_LOCKS: list[int] = []  # held to the end of the process; a forked child keeps them, a program it executes does not
_NODE = re.compile(r"nvidia[0-9]+")


def take(
    environment: MutableMapping[str, str] | None = None, *, folder: Path = FOLDER, poll: float = 0.2
) -> str | None:
    """Reserve one of the visible GPUs for this process for life, and make it the only one that CUDA shows.

    ``environment`` (default: this process's) gets ``CUDA_VISIBLE_DEVICES``; returns its value, or None where no GPU is
    visible. Waits, with a line on stderr, while all are taken; looks again every ``poll`` seconds. A single device that
    SLURM has assigned is left as it is. InputError if ``folder`` cannot be used.
    """
    environment = os.environ if environment is None else environment
    names = visible(environment)
    job = environment.get("SLURM_JOB_ID")
    if not names or (job and len(names) == 1 and "CUDA_VISIBLE_DEVICES" in environment):
        return names[0] if names else None
    # Within an allocation SLURM may number devices from 0, so that other allocations mean others by the same names.
    prefix = f"slurm{job}-" if job and "CUDA_VISIBLE_DEVICES" in environment else ""
    locks = {name: prefix + key for name, key in zip(names, _keys(names), strict=True)}
    name = _first_free(locks, _shared(folder), poll)
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # numbers as nvidia-smi's
    environment["CUDA_VISIBLE_DEVICES"] = name
    print(f"GPU {name} of {', '.join(names)} is reserved for this job", file=sys.stderr, flush=True)
    return name


def visible(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs that CUDA would show: those of ``CUDA_VISIBLE_DEVICES``, else the machine's, from "0" on."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None and not given.strip():
        return []
    count = len(_uuids() or _nodes())
    if given is None or not count:
        return [str(number) for number in range(count)]
    names: list[str] = []
    for name in given.replace(" ", "").split(","):
        if not (int(name) < count if name.isdecimal() else name.startswith(("GPU-", "MIG-"))):
            break  # as in CUDA, a name that is none hides those after it
        if name not in names:
            names.append(name)
    return names


def check_request(requested: object, *, environment: Mapping[str, str] = os.environ) -> None:
    """InputError if more GPUs are requested (``--resources gpu=N``) than a machine that has any can show."""
    names = visible(environment) if isinstance(requested, int) and requested > 1 else []
    if names and isinstance(requested, int) and requested > len(names):
        restricted = " in CUDA_VISIBLE_DEVICES" if "CUDA_VISIBLE_DEVICES" in environment else " on this machine"
        raise InputError(
            f"--resources gpu={requested}: there are {len(names)} GPUs{restricted}; use --resources gpu={len(names)}."
        )


def _uuids() -> list[str]:
    """The machine's GPUs in nvidia-smi's order; none where it is absent or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU [0-9]+:.*\(UUID: (\S+)\)", listed.stdout, re.M) if listed.returncode == 0 else []


def _nodes() -> list[Path]:
    return [path for path in Path("/dev").glob("nvidia*") if _NODE.fullmatch(path.name)]


def _keys(names: Sequence[str]) -> list[str]:
    """The same word for the same device, whether it is named by number or by (the beginning of) its UUID."""
    uuids = [] if all(name.isdecimal() for name in names) else _uuids()
    found = [[str(number) for number, uuid in enumerate(uuids) if uuid.startswith(name)] for name in names]
    return [
        str(int(name)) if name.isdecimal() else match[0] if len(match) == 1 else re.sub(r"[^\w-]", "_", name)
        for name, match in zip(names, found, strict=True)
    ]


def _shared(folder: Path) -> Path:
    """``folder``, made so that every user can lock files there and nobody can remove another's."""
    umask = os.umask(0)
    try:
        folder.mkdir(mode=0o1777, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make {folder}, where jobs reserve GPUs ({error.strerror}); grant access to it."
        ) from error
    finally:
        os.umask(umask)
    return folder


def _first_free(locks: Mapping[str, str], folder: Path, poll: float) -> str:
    begin, said = time.monotonic(), False
    while True:
        for name, key in locks.items():
            if (lock := _try(folder / f"gpu-{key}.lock")) is not None:
                _LOCKS.append(lock)
                return name
        if not said and time.monotonic() - begin > 2 * poll:  # a job that has just ended may not have let go yet
            said = True
            print(
                f"waiting for a GPU: all of {', '.join(locks)} are reserved by other jobs; if they are this study's, "
                f"use --resources gpu={len(locks)}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(poll)


def _try(path: Path) -> int | None:
    """A descriptor of the locked file; None if another process has it."""
    try:
        lock = _open(path)
    except OSError as error:
        raise InputError(f"cannot open {path}, by which jobs reserve GPUs ({error.strerror}); remove it.") from error
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            os.close(lock)
            raise InputError(f"{path}, by which jobs reserve GPUs, is no regular file; remove it.")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):  # taken; or removed since it was opened
        pass
    os.close(lock)
    return None


def _open(path: Path) -> int:
    while True:
        try:  # another user's file opens for reading only, which is enough for a lock
            return os.open(
                path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )  # of a pipe nobody waits for the other end
        except FileNotFoundError:
            try:
                lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:  # another job was faster
                continue
            os.fchmod(lock, 0o644)  # whatever the umask
            return lock
