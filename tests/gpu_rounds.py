"""Jobs that compete for pretend GPUs: python -m tests.gpu_rounds FOLDER ROUNDS LOCK prints what `collisions` counts.

A program of its own, because it forks: a process as large as a test run's forks slowly.
"""

import fcntl
import io
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from sgdtails.runtime import gpu_locks


def collisions(folder: Path, *, rounds: int, gpus: int = 4, jobs: int = 8, seed: int = 0) -> tuple[int, int]:
    """How often a job got a GPU that a living one had, and how many jobs got one, in rounds of forked jobs.

    Each takes a GPU, marks it as its own in shared memory for a moment, and ends; some are killed by SIGKILL at any
    moment. A mark of a job that was killed does not count: the kernel frees its GPU.
    """
    rng, quiet = random.Random(seed), io.StringIO()
    owners = mmap.mmap(-1, 8 * gpus)  # shared with the jobs: the one that has each GPU, from 1 on
    killed, clashes, served = (mmap.mmap(-1, jobs + 1) for _ in range(3))
    total = [0, 0]
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(gpus))), "PATH": os.environ["PATH"]}
    for _ in range(rounds):
        owners[:] = bytes(8 * gpus)
        killed[:] = clashes[:] = served[:] = bytes(jobs + 1)
        children = {}
        for job in range(1, jobs + 1):
            pause = rng.uniform(0, 0.004)
            if (pid := os.fork()) == 0:
                sys.stderr = quiet
                taken = gpu_locks.take(dict(environment), folder=folder, poll=0.001)
                assert taken is not None
                gpu = int(taken)
                (other,) = struct.unpack_from("q", owners, 8 * gpu)
                clashes[job] = other != 0 and not killed[other]
                struct.pack_into("q", owners, 8 * gpu, job)
                time.sleep(pause)
                clashes[job] |= struct.unpack_from("q", owners, 8 * gpu)[0] != job
                struct.pack_into("q", owners, 8 * gpu, 0)
                served[job] = 1
                os._exit(0)
            children[job] = pid
        for job in rng.sample(sorted(children), 3):
            time.sleep(rng.uniform(0, 0.002))
            killed[job] = 1
            os.kill(children[job], signal.SIGKILL)
        for pid in children.values():
            os.waitpid(pid, 0)
        total[0] += sum(clashes[:])
        total[1] += sum(served[:])
    return total[0], total[1]


if __name__ == "__main__":
    gpu_locks._uuids = lambda: list("abcd")  # no nvidia-smi in each of 1,600 jobs
    if sys.argv[3] == "0":
        fcntl.flock = lambda *_: None
    print(*collisions(Path(sys.argv[1]), rounds=int(sys.argv[2])))
