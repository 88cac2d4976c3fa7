"""Checks of a machine: its hardware, its settings for training, and the time of SGD steps."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks import roofline
from benchmarks.gpu_bench import Bench, Found, Skipped
from sgdtails.runtime import devices, gpu_locks
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines.base import Engine, interleave
from sgdtails.training.engines.cuda_graph import GRAPH_STEPS
from sgdtails.training.engines.module import ModuleEngine

FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
ROUNDS = 5


def versions(bench: Bench, kind: str) -> Found:
    """Report versions of libraries and driver, and the device."""
    found = [f"Python {platform.python_version()}"]
    for library in ("torch", "numpy", "pyarrow", "scipy", "array-api-compat"):
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"no {library}")
    if bench.device.type == "cuda":
        memory = torch.cuda.get_device_properties(bench.device).total_memory
        found += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}", f"{memory / 2**30:.0f} GiB"]
    return Found(f"{devices.describe(bench.device)}: " + ", ".join(found))


def settings(bench: Bench, kind: str) -> Found:
    """Check that only deterministic kernels run, in the precision that was asked for."""
    tf32 = bench.precision == "tf32"
    wrong = {
        "kernels may be nondeterministic": not torch.are_deterministic_algorithms_enabled(),
        "cuDNN tries kernels": torch.backends.cudnn.benchmark,
        "CUBLAS_WORKSPACE_CONFIG is not set": os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in (":4096:8", ":16:8"),
        "another precision": devices.uses_tf32() != tf32,
    }
    found = [what for what, holds in wrong.items() if holds]
    return Found(", ".join(found) or "deterministic", f"deterministic, {bench.precision}", float(len(found)), 0.0)


def lease(bench: Bench, kind: str) -> Found:
    """Check that CUDA shows the GPU that this process has reserved, by its identifier in nvidia-smi."""
    if bench.device.type != "cuda":
        raise Skipped("it needs a GPU")
    name, count = os.environ.get("CUDA_VISIBLE_DEVICES", ""), torch.cuda.device_count()
    shown = str(getattr(torch.cuda.get_device_properties(bench.device), "uuid", ""))
    listed = gpu_locks._uuids()
    same = not (shown and listed and name.isdecimal()) or listed[int(name)].removeprefix("GPU-") == shown
    measured = f"CUDA shows {count}, {name or 'no name'}; nvidia-smi lists {len(listed)}"
    return Found(measured, "one GPU, the reserved one", float(count != 1 or not same), 0.0)


def peaks(bench: Bench, kind: str) -> Found:
    """Measure the peaks of a matrix product and of an addition in place."""
    if bench.device.type != "cuda":
        raise Skipped("it needs a GPU")
    arithmetic, bandwidth = roofline.peaks(bench.device)
    return Found(f"{arithmetic / 1e12:.1f} TFLOP/s, {bandwidth / 1e12:.2f} TB/s", value=arithmetic)


MACHINE = {"versions": versions, "settings": settings, "the lease": lease, "peaks": peaks}


def step_time(name: str, k: int, layout: str = "") -> Callable[[Bench, str], Found]:
    """Return a check that measures the median microseconds per run and step of ``k`` networks side by side."""

    def measure(bench: Bench, kind: str) -> Found:
        spec = getattr(bench.size, name)
        steps = _stepping(bench, _engines(bench, spec, k, layout))
        steps(
            2 * GRAPH_STEPS if bench.device.type == "cuda" else 1
        )  # the first steps set libraries up and record the graph
        count = 1
        if bench.device.type == "cuda":
            count = GRAPH_STEPS * max(1, min(10, int(0.2 / _timed(bench, lambda: steps(GRAPH_STEPS)))))
        times = [_timed(bench, lambda: steps(count)) for _ in range(ROUNDS)]
        microseconds = 1e6 * statistics.median(times) / count / k
        flops = roofline.flops(roofline.matrices(spec, bench.dataset.shape, 10), bench.size.batch)
        spread = (max(times) - min(times)) / min(times)
        said = f"{microseconds:,.1f} µs per run and step, {flops / microseconds / 1e6:.2f} TFLOP/s, spread {spread:.0%}"
        return Found(said, value=microseconds)

    return measure


def _engines(bench: Bench, spec: dict[str, Any], k: int, layout: str) -> list[Engine]:
    if not layout:
        return bench.engines(spec, k)
    (images, prepare), labels = bench.train.source(), bench.train.labels
    how: dict[str, Any] = {"batch_size": bench.size.batch, "prepare": prepare, "memory_format": FORMATS[layout]}
    engines: list[Engine] = [ModuleEngine(bench.model(spec), images, labels, **how) for _ in range(k)]
    bench.wait()
    return engines


def _stepping(bench: Bench, engines: list[Engine]) -> Callable[[int], None]:
    places = [(engine, replica) for engine in engines for replica in range(engine.replicas)]
    samplers = {place: BatchSampler(len(bench.train), bench.size.batch, n) for n, place in enumerate(places)}
    begun = 0

    def steps(count: int) -> None:
        nonlocal begun
        work = [
            (
                engine,
                torch.stack([samplers[engine, replica].take(begun, count) for replica in range(engine.replicas)], 1),
            )
            for engine in engines
        ]
        begun += count
        interleave(work, lambda: False)

    return steps


def _timed(bench: Bench, action: Callable[[], None]) -> float:
    bench.wait()
    begin = time.perf_counter()
    action()
    bench.wait()
    return time.perf_counter() - begin


def profile(bench: Bench, kind: str) -> Found:
    """List the kernels in which SGD steps spend their time on a GPU."""
    if bench.device.type != "cuda":
        raise Skipped("it needs a GPU")
    steps = _stepping(bench, bench.engines(getattr(bench.size, kind), bench.size.replicas[kind]))
    steps(2 * GRAPH_STEPS)
    bench.wait()
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
            steps(GRAPH_STEPS)
            bench.wait()
        kernels = sorted(found.key_averages(), key=lambda each: -each.self_device_time_total)
    except (RuntimeError, AttributeError) as error:  # some machines do not allow profiling
        raise Skipped(f"torch's profiler cannot work here: {f'{error}'.partition(chr(10))[0][:100]}") from error
    total = sum(each.self_device_time_total for each in kernels) or 1
    return Found("; ".join(f"{each.self_device_time_total / total:.0%} {each.key[:60]}" for each in kernels[:6]))


TIMES = {
    **{f"a step of the {kind} network, {k} side by side": step_time(kind, k) for kind, k in (("fcn", 1), ("fcn", 8))},
    "a step of the fcn network, 16 side by side": step_time("fcn", 16),
    "a step of the deeper network, 8 side by side": step_time("deeper", 8),
    **{
        f"a step of the cnn network, {k} side by side, {layout}": step_time("cnn", k, layout)
        for k in (1, 8)
        for layout in FORMATS
    },
}
