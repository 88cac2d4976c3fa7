"""What a SLURM cluster offers, asked once before jobs are submitted. Imports nothing heavy."""

import subprocess
from collections.abc import Iterable

from sgdtails.errors import InputError, unknown


def check_partitions(names: Iterable[str], where: str) -> None:
    """InputError for a partition that this cluster does not have, or if SLURM does not answer; ``where`` they are named."""
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
