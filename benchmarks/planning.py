"""Measure how the cost of planning grows with the run table.

    python -m benchmarks.planning [--runs 2150 20000] [--runs-per-job 1] [--profile folder]

Dry runs (``snakemake -n``) of config/config.yaml with so many runs of its two datasets and three models, in folders of their
own in which nothing has run yet: jobs, seconds of CPU (user and system), of them per 1,000 runs, and memory.
``--profile`` leaves one cProfile file per size in a folder, for ``python -m pstats``; planning then takes twice as long.
"""

import argparse
import csv
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

BASE = Path(__file__).parent.parent
STEP_SIZES = 50


def rows(runs: int) -> list[dict[str, object]]:
    """Return a run table with this many runs: datasets and models take turns, then step sizes, then seeds."""
    panels = [(dataset, model) for dataset in ("mnist", "cifar10") for model in ("fcn4", "fcn6", "cnn")]
    found: list[dict[str, object]] = []
    for number in range(runs):
        block, panel = divmod(number, len(panels))
        seed, size = divmod(block, STEP_SIZES)
        dataset, model = panels[panel]
        step = {"batch_size": 50, "step_size": round(0.001 * (size + 1), 3), "seed": seed}
        found.append({"dataset": dataset, "model": model, **step})
    return found


def planned(runs: int, runs_per_job: int, profile: Path | None = None) -> tuple[int, float]:
    """Plan a study; return its number of jobs and the CPU seconds that planning took."""
    with tempfile.TemporaryDirectory() as folder:
        study, table = Path(folder, "study.yaml"), Path(folder, "runs.csv")
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows(1)[0])
            writer.writeheader()
            writer.writerows(rows(runs))
        study.write_text(yaml.safe_dump({"study": "planning", "runs": str(table), "runs_per_job": runs_per_job}))
        watched = ["-m", "cProfile", "-o", str(profile / f"planning-{runs}.pstats")] if profile else []
        command = [sys.executable, *watched, "-m", "snakemake", "--snakefile", str(BASE / "Snakefile")]
        options = ["--directory", folder, "--dry-run", "--quiet", "rules", "--cores", "all", "--configfile", str(study)]
        before = _seconds()
        result = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        seconds = _seconds() - before
    total = re.search(r"^total\s+(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    if result.returncode or not total:
        raise SystemExit(result.stdout + result.stderr)
    return int(total[1]), seconds


def _seconds() -> float:
    """Return the CPU seconds of ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[2150, 20000])
    parser.add_argument("--runs-per-job", type=int, default=1)
    parser.add_argument("--profile", type=Path)
    arguments = parser.parse_args()
    print("| runs | jobs | CPU s | per 1,000 runs | GiB |\n|---|---|---|---|---|")
    for runs in sorted(arguments.runs):
        jobs, seconds = planned(runs, arguments.runs_per_job, arguments.profile)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest process so far
        print(f"| {runs:,} | {jobs:,} | {seconds:,.1f} | {1000 * seconds / runs:.1f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
