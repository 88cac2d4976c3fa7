"""The partitions of a SLURM cluster, checked once before jobs are submitted. Imports nothing heavy."""

import subprocess
from collections.abc import Iterable

from sgdtails.errors import InputError, unknown


def check_partitions(names: Iterable[str], where: str) -> None:
    """Check that a cluster has these partitions.

    Parameters
    ----------
    names
        Partitions.
    where
        The file that names them.

    Raises
    ------
    InputError
        There is no such partition, or SLURM does not answer.
    """
    names = list(names)
    if not names:
        return
    try:
        answer = subprocess.run(["sinfo", "-h", "-a", "-o", "%R"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise InputError(
            "SLURM's commands are not found; run on a login node of the cluster, or without --profile profiles/slurm."
        ) from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"SLURM does not answer (sinfo: {error.stderr.strip()}); try again later.") from error
    partitions = answer.stdout.split()
    for name in names:
        if name not in partitions:
            raise unknown("partition", name, where, partitions)
