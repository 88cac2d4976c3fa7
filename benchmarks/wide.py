"""Products of a batch and a wide matrix on a CPU: why ``engines.wide_matrix`` divides rows among threads and works in blocks.

    python -m benchmarks.wide [--width 2048] [--repeats 30]

Measures the backward pass through one square layer, delta W and then W <- W + delta^T inputs, on several matrices in turn,
which together do not fit into a core's cache. Processor time counts all threads; on a busy machine it says more than wall time.
Set OMP_WAIT_POLICY=passive before the start, or threads that wait count as working.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sgdtails.training.engines import wide_matrix
from sgdtails.training.engines.wide_matrix import WideMatrix, linear, one_thread_each

MATRICES = 6
Back = Callable[[Tensor, Tensor, Tensor], object]  # of a matrix, delta and inputs


def whole(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
    """Go back with whole matrices: oneDNN's product, then the BLAS's update, on torch's threads."""
    linear(weight.T, delta)
    weight.addmm_(delta.T, inputs)


def ways(threads: int) -> dict[str, Back]:
    def shared(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        with one_thread_each():
            WideMatrix(weight, threads).backward_update(delta, inputs)

    def unblocked(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        with blocks_of(weight.numel()):
            shared(weight, delta, inputs)

    def by_blas(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        WideMatrix(weight, 1).backward_update(delta, inputs)

    found: dict[str, Back] = {"whole matrices": whole, "blocks": shared}
    if threads > 1:
        found |= {
            "shares, no blocks": unblocked,
            "blocks, threads of the BLAS": by_blas,
            "shares of blocks": found.pop("blocks"),
        }
    return found


@contextmanager
def blocks_of(weights: int) -> Iterator[None]:
    usual, wide_matrix.BLOCK = wide_matrix.BLOCK, weights
    try:
        yield
    finally:
        wide_matrix.BLOCK = usual


def measured(width: int, batch: int, threads: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Return median processor time and shortest wall time of each way, in seconds."""
    torch.set_num_threads(threads)
    weights = [torch.randn(width, width) for _ in range(MATRICES)]
    delta, inputs = 1e-6 * torch.randn(batch, width), torch.randn(batch, width)
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways(threads)}
    for repeat in range(repeats):
        for way, back in ways(threads).items():
            begin, begun = time.process_time(), time.perf_counter()
            back(weights[repeat % MATRICES], delta, inputs)
            times[way].append((time.process_time() - begin, time.perf_counter() - begun))
    return {
        way: (statistics.median(cpu for cpu, _ in found), min(wall for _, wall in found))
        for way, found in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    print(
        "| b | threads | way | processor time, ms | GFLOP in a second of it | fastest, ms |\n|---|---|---|---|---|---|"
    )
    for batch in (50, 100):
        operations = 4 * batch * arguments.width**2
        for threads in (1, 2):
            for way, (cpu, wall) in measured(arguments.width, batch, threads, arguments.repeats).items():
                print(
                    f"| {batch} | {threads} | {way} | {1e3 * cpu:.2f} | {operations / cpu / 1e9:.0f} | {1e3 * wall:.2f} |"
                )


if __name__ == "__main__":
    main()
