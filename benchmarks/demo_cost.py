"""Measure what the embedded study costs, now and at another revision, and compare the numbers of both.

    python -m benchmarks.demo_cost REVISION

Both run from the beginning, one after the other, in temporary folders below results/benchmarks. CPU seconds of Snakemake and
all its jobs, seconds, numbers of jobs and the differences are written to demo_cost.md and demo_cost.json there.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.table_differences import compare

BASE = Path(__file__).resolve().parents[1]
OUT = BASE / "results/benchmarks"
_STEPS = re.compile(r"^(\d+) of \d+ steps", re.MULTILINE)


@contextmanager
def workplace(name: str) -> Iterator[Path]:
    """Create a temporary folder beside the results of benchmarks, which is removed even if SIGTERM ends the process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT, prefix=f"{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """Check a revision out into ``folder`` for the block. CalledProcessError if there is no such revision."""
    git = ["git", "-C", str(BASE), "worktree"]
    try:
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False, stderr=subprocess.DEVNULL)
        subprocess.run([*git, "prune"], check=False)


def measure(tree: Path, folder: Path, config: Path, *targets: str) -> dict[str, Any]:
    """Run a study, or ``targets`` of it, in ``folder`` with the code of ``tree``.

    Return seconds, CPU seconds (user and system, of all processes), peak GiB of one process, and the number of jobs.
    RuntimeError if it fails. Its processes end with this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(tree / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "all", "--configfile", str(config), "--quiet", "rules", "--", *targets]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SGDTAILS_CODE")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    begin = time.perf_counter()
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=tree, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        said = (folder / "output.log").read_text(errors="replace").strip().splitlines()
        raise RuntimeError("\n".join([f"the study of {tree} failed; its last lines are:", *said[-5:]]))
    steps = [_STEPS.findall(log.read_text(errors="replace")) for log in folder.glob(".snakemake/log/*.log")]
    jobs = max((int(count) for found in steps for count in found), default=None)
    seconds = time.perf_counter() - begin
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
    return {"cpu_seconds": cpu, "seconds": seconds, "peak_gib": peak, "jobs": jobs}


def markdown(revision: str, costs: dict[str, dict[str, Any]], differences: list[dict[str, Any]]) -> str:
    """Return a page on both."""
    lines = [
        f"# The embedded study at {revision} and now",
        "",
        "| | CPU seconds | seconds | jobs |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {c['cpu_seconds']:.0f} | {c['seconds']:.0f} | {c['jobs']} |" for name, c in costs.items()]
    ratio = costs["now"]["cpu_seconds"] / costs["before"]["cpu_seconds"]
    lines += ["", f"Ratio of CPU seconds: {ratio:.3f}", "", "| table | what | change | amount |", "|---|---|---|---|"]
    for row in differences:
        amount = "" if row["amount"] is None else f"{row['amount']:.3g}"
        lines.append(f"| {row['table']} | {row['what']} | {row['change']} | {amount} |")
    return "\n".join(lines if differences else [*lines[:-2], "All tables hold the same numbers."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what to compare with: a commit, branch or tag")
    parser.add_argument("--configfile", default="config/demo.yaml", help="of both, below the repository")
    given = parser.parse_args()
    with workplace("demo_cost") as folder:
        with worktree(given.revision, folder / "tree") as tree:
            costs = {"before": measure(tree, folder / "before", tree / given.configfile)}
        costs["now"] = measure(BASE, folder / "now", BASE / given.configfile)
        differences = compare(*(next((folder / part).glob("results/*/tables")) for part in costs))
    said = {"revision": given.revision, "costs": costs, "differences": differences}
    (OUT / "demo_cost.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    text = markdown(given.revision, costs, differences)
    (OUT / "demo_cost.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"demo_cost: {error}")
