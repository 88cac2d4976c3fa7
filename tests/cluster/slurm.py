"""A SLURM of one node for tests: Debian's daemons run directly, on loopback, with four pretend GPUs."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:pretend:{gpus}
PartitionName=main Nodes={host} Default=YES MaxTime=5760
PartitionName=gpu Nodes={host} MaxTime=5760
"""


def missing() -> str | None:
    """Why no SLURM can be started here, or None."""
    if os.geteuid() != 0:
        return "starting SLURM's daemons needs root"
    absent = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    return f"not installed: {', '.join(absent)} (apt-get install slurm-wlm munge)" if absent else None


class Slurm:
    """The daemons, from ``start`` to ``stop``; ``environment`` is what commands need to find them.

    Two CPUs and their memory are shared by partitions `main` (the default) and `gpu`.
    """

    gpus = 4

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        configuration = folder / "slurm.conf"
        path = f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "SLURM_CONF": str(configuration), "PATH": path}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("state", "spool", "devices", "bin"):
            (self.folder / name).mkdir()
        # Snakemake's plugin takes SLURM_CONF from its jobs, in which srun needs it here and not where SLURM is in /etc.
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        for number in range(self.gpus):  # SLURM wants device nodes; these are /dev/null under other names
            os.mknod(self.folder / f"devices/nvidia{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (self.folder / "gres.conf").write_text(
            f"Name=gpu Type=pretend File={self.folder}/devices/nvidia[0-{self.gpus - 1}]\n"
        )
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            ports = {"controller_port": one.getsockname()[1], "node_port": other.getsockname()[1]}
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        (self.folder / "slurm.conf").write_text(
            CONFIG.format(
                folder=self.folder,
                host=socket.gethostname().partition(".")[0],
                cpus=os.cpu_count(),
                memory=memory * 9 // 10,
                gpus=self.gpus,
                **ports,
            )
        )
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        # --force: the test's folder is closed to other users, which munged minds.
        options = [f"--{option}={self.folder}/munge.{name}" for option, name in places.items()]
        self._run("munged", "--foreground", "--force", *options)
        wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", "-D")
        self.start_node()

    def start_node(self) -> None:
        """Start slurmd, also after it was killed, and wait until its node answers; RuntimeError if slurmd ends."""
        self._run("slurmd", "-D")
        wait(self._node_answers, f"the node, whose log is {self.folder}/slurmd.log")

    def _node_answers(self) -> bool:
        if self._daemons["slurmd"].poll() is not None:
            raise RuntimeError(f"slurmd has ended; see {self.folder}/slurmd.out and slurmd.log")
        # `completing`: ending a job of before; a star: not heard of for a while
        return self("sinfo", "-h", "-p", "main", "-o", "%T").strip() in ("idle", "mixed", "allocated", "completing")

    def kill_node(self) -> None:
        """SIGKILL slurmd; jobs live on."""
        daemon = self._daemons.pop("slurmd")
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()

    def stop(self) -> None:
        self("scancel", "--user=root")
        wait(lambda: not self("squeue", "-h"), "all jobs to end")
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def __call__(self, *command: str) -> str:
        """What a SLURM command prints; empty if it fails."""
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return result.stdout if result.returncode == 0 else ""

    def jobs(self, state: str = "all") -> dict[str, str]:
        """Job ids and what they are for (`rule_<rule>_wildcards_<…>`), of one state."""
        lines = self("squeue", "-h", f"--states={state}", "--sort=i", "-o", "%i %k").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def field(self, job: str, name: str) -> str | None:
        """A field of `scontrol show job`."""
        words = (word.partition("=") for word in self("scontrol", "show", "job", job).split())
        return next((value for key, _, value in words if key == name), None)

    def processes(self, job: str) -> list[int]:
        """Process ids of a running job."""
        lines = self("scontrol", "listpids", job).splitlines()[1:]
        return [int(line.split()[0]) for line in lines if line.split()[0] != "-1"]

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("a") as log:
            self._daemons[name] = subprocess.Popen(
                [shutil.which(name) or name, *arguments], env=self.environment, stdout=log, stderr=log
            )


def wait(condition: Callable[[], T], what: str, seconds: float = 900) -> T:
    """What ``condition()`` is as soon as it is true; TimeoutError naming ``what`` was waited for. Nothing takes so long, even on a busy machine."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.1)
    return found
