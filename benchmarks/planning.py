"""How planning grows with the run table.

    python -m benchmarks.planning [--runs 300 2150 20000] [--runs-per-job 1]

Dry runs (``snakemake -n``) of config/config.yaml with so many runs of its two datasets and three models: jobs, seconds,
memory. In folders of their own, in which nothing has run yet.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

BASE = Path(__file__).parent.parent
STEP_SIZES = 50


def table(runs: int) -> list[dict[str, object]]:
    """Blocks of about so many runs: as many of each dataset and model."""
    seeds = max(1, round(runs / 6 / STEP_SIZES))
    sizes = [round(0.001 * (number + 1), 3) for number in range(min(STEP_SIZES, -(-runs // 6)))]
    shared = {"batch_size": 50, "step_size": sizes, "seed": list(range(seeds))}
    return [{"dataset": d, "model": m, **shared} for d in ("mnist", "cifar10") for m in ("fcn4", "fcn6", "cnn")]


def planned(runs: int, runs_per_job: int) -> tuple[int, float]:
    """Jobs, and seconds from the command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder, "study.yaml")
        study.write_text(yaml.safe_dump({"study": "planning", "runs": table(runs), "runs_per_job": runs_per_job}))
        begin = time.perf_counter()
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(BASE / "Snakefile"),
                "--directory",
                folder,
                "--dry-run",
                "--quiet",
                "rules",
                "--configfile",
                str(study),
                "--cores",
                "all",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - begin
    total = re.search(r"^total\s+(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    if result.returncode or not total:
        raise SystemExit(result.stdout + result.stderr)
    return int(total[1]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[300, 2150, 20000])
    parser.add_argument("--runs-per-job", type=int, default=1)
    arguments = parser.parse_args()
    print("| runs | jobs | s | GiB |\n|---|---|---|---|")
    for runs in sorted(arguments.runs):
        jobs, seconds = planned(runs, arguments.runs_per_job)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest so far
        print(f"| {runs:,} | {jobs:,} | {seconds:,.1f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
