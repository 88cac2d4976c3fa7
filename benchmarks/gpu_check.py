"""Does training on this machine's GPU compute what it should, and how fast? Three minutes.

    python -m benchmarks.gpu_check [--device cuda] [--seconds 180] [--size full] [--output FILE.parquet]

Each stage runs in its own process with a time-out; its results are printed and written to the file at once. The exit status
is 1 if a check failed or could not be made. Without a GPU, the program prints one sentence and returns 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError
from sgdtails.io import parquet
from sgdtails.runtime import devices
from sgdtails.schemas import run_schemas

BASE = Path(__file__).parent.parent
SCHEMA = run_schemas.schema(
    ("stage", run_schemas.TEXT, "", "process in which it was checked"),
    ("check", run_schemas.TEXT, "", "what was checked"),
    ("network", run_schemas.TEXT, "", "fcn or cnn; empty where none is meant"),
    ("precision", run_schemas.TEXT, "", "fp32 or tf32"),
    ("status", run_schemas.TEXT, "", "passed, failed, measured (there is no limit) or skipped"),
    ("measured", run_schemas.TEXT, "", "what was found, in words"),
    ("expected", run_schemas.TEXT, "", "what was expected, in words"),
    ("value", run_schemas.REAL, "", "the number found; null where there is none"),
    ("limit", run_schemas.REAL, "", "the most that it may be; null where there is no limit"),
    ("seconds", run_schemas.REAL, "s", "wall time of the check"),
    ("device", run_schemas.TEXT, "", "cpu, or the GPU's name"),
)
BOTH = ("fcn", "cnn")
LONGEST = {"machine": 40, "steps": 90, "steps tf32": 60, "trainings": 70, "analyses": 40}  # s
TIMES = {"times": 60, "times tf32": 60}
_IN_TF32 = (
    "one step against float64",
    "the change by one step against float64",
    "the same bytes twice",
    "kernels of gates",
)
Row = dict[str, Any]


def stages() -> dict[str, list[tuple[str, str, Callable[..., Any]]]]:
    """Return the checks of each stage: name, network and function."""
    from benchmarks import gpu_machine_checks, gpu_step_checks, gpu_training_checks

    machine, steps, trainings = gpu_machine_checks.MACHINE, gpu_step_checks.CHECKS, gpu_training_checks.TRAININGS
    profiles = [("profile", kind, gpu_machine_checks.profile) for kind in BOTH]
    times = [(name, "", check) for name, check in gpu_machine_checks.TIMES.items()]
    checks = "gates against full passes"
    return {
        "machine": [(name, "", check) for name, check in machine.items()],
        "steps": [(name, kind, check) for name, check in steps.items() for kind in BOTH],
        "steps tf32": [
            *[("settings", "", machine["settings"]), ("peaks", "", machine["peaks"])],
            *[(name, kind, steps[name]) for name in _IN_TF32 for kind in BOTH],
            *[(checks, kind, trainings[checks]) for kind in BOTH],
        ],
        "trainings": [(name, kind, check) for name, check in trainings.items() for kind in BOTH],
        "analyses": [(name, "fcn", check) for name, check in gpu_training_checks.ANALYSES.items()],
        "times": [*times, *profiles],
        "times tf32": times,
    }


def run_stage(stage: str, device: str, size: str, say: Callable[[Row], None]) -> None:
    """Make a stage's checks in this process, one after the other, even if one of them raises an error."""
    from benchmarks import gpu_bench

    precision = "tf32" if stage.endswith("tf32") else "fp32"
    bench = gpu_bench.Bench(devices.select(device, precision, 1), precision, gpu_bench.SIZES[size])
    about = {"stage": stage, "precision": precision, "device": devices.describe(bench.device)}
    for check, network, function in stages()[stage]:
        begin = time.perf_counter()
        row = {**about, "check": check, "network": network, **_made(function, bench, network)}
        bench.release()
        say(row | {"seconds": time.perf_counter() - begin})


def _made(function: Callable[..., Any], bench: Any, network: str) -> Row:
    from benchmarks.gpu_bench import Skipped

    try:
        found = function(bench, network or "fcn")
    except Skipped as reason:
        return _row("skipped", f"{reason}")
    except Exception as error:  # any error is a result of the check
        return _row("failed", f"{type(error).__name__}: {f'{error}'.partition(chr(10))[0][:200]}", "no error")
    return _row(found.status, found.measured, found.expected) | {"value": found.value, "limit": found.limit}


def _row(status: str, measured: str, expected: str = "") -> Row:
    return {"status": status, "measured": measured, "expected": expected, "value": None, "limit": None}


def in_process_of_its_own(stage: str, device: str, size: str, seconds: float) -> list[Row]:
    """Run a stage in a process and return its rows, with a failed one added if the process fails or takes too long."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--stage", stage, "--device", device, "--size", size]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        try:
            status = subprocess.run(
                command, stdout=out, stderr=errors, timeout=seconds, cwd=BASE, check=False
            ).returncode
            reason = f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            reason = f"not finished after {seconds:.0f} s"
        out.seek(0)
        errors.seek(0)
        rows = [json.loads(line) for line in out if line.startswith("{") and line.endswith("}\n")]
        last = next((line.strip() for line in reversed(errors.readlines()) if line.strip()), "")
    if reason:
        about = {"stage": stage, "check": "the stage's process", "network": "", "precision": "", "device": device}
        said = f"{reason}: {last[:200]}" if last else reason
        cut_off = stage in TIMES and reason.startswith("not finished")  # of a measurement nothing is known to be wrong
        rows.append(about | _row("skipped" if cut_off else "failed", said, "all of its checks") | {"seconds": seconds})
    return rows


def check(
    device: str, size: str, seconds: float, output: Path, *, runner: Callable[..., list[Row]] = in_process_of_its_own
) -> list[Row]:
    """Run all stages within about ``seconds``. Measurements of times come last, and are skipped if no time is left."""
    begin, rows = time.monotonic(), []
    print(_line(("status", "stage", "check", "network", "measured", "expected")))
    for stage, longest in (LONGEST | TIMES).items():
        left = seconds - (time.monotonic() - begin)
        if left < 5:
            about = {"stage": stage, "check": "all of the stage", "network": "", "precision": "", "device": device}
            status = "skipped" if stage in TIMES else "failed"
            found = [about | _row(status, f"the {seconds:g} s were over", "") | {"seconds": 0.0}]
        else:
            found = runner(stage, device, size, min(left, longest))
        rows += found
        for row in found:
            print(
                _line([row[key] for key in ("status", "stage", "check", "network", "measured", "expected")]), flush=True
            )
        parquet.write(SCHEMA, rows, output, provenance={"device": device, "size": size})
    return rows


def _line(values: Any) -> str:
    widths = (8, 10, 44, 7, 0, 0)
    status, stage, what, network, measured, expected = (
        f"{value:<{width}}" if width else f"{value}" for value, width in zip(values, widths, strict=True)
    )
    return f"{status}  {stage}  {what}  {network}  {measured}" + (f"  (expected: {expected})" if expected else "")


def missing(device: str) -> str:
    """Return why the device cannot be checked, or an empty string. InputError if torch cannot use a GPU that is there."""
    if device == "cpu":
        return ""
    probe = [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"]
    try:
        said = subprocess.run(probe, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(
            "torch did not answer within two minutes whether there is a GPU; restart its driver."
        ) from None
    if said.stdout.strip() == "True":
        return ""
    if said.returncode:
        last = said.stderr.strip().rpartition("\n")[2]
        raise InputError(f"torch cannot be imported by {sys.executable} ({last}); install it, then check again.")
    devices.refuse_an_unused_gpu()
    return "skipped: torch sees no GPU here; --device cpu makes the checks on the CPU."


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--output", type=Path, default=BASE / "results/gpu-check/checks.parquet")
    parser.add_argument("--stage", choices=(*LONGEST, *TIMES), help="this one, in this process, as lines of JSON")
    return parser.parse_args(given)


def main(given: list[str] | None = None, runner: Callable[..., list[Row]] = in_process_of_its_own) -> int:
    """Run the program; return 0 if all checks passed or there is no GPU, else 1."""
    how = arguments(given)
    if how.stage:
        run_stage(how.stage, how.device, how.size, lambda row: print(json.dumps(row), flush=True))
        return 0
    try:
        if reason := missing(how.device):
            print(reason)
            return 0
        rows = check(how.device, how.size, how.seconds, how.output, runner=runner)
    except (InputError, OSError) as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 1
    print(f"\n{summary(rows)} The table is in {how.output}.")
    return int(any(row["status"] == "failed" for row in rows))


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of checks by their status, in one sentence."""
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("passed", "failed", "measured", "skipped")
    }
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) + "."


if __name__ == "__main__":
    sys.exit(main())
