"""SGD steps as CUDA graphs on a GPU, or as plain calls on a CPU."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

GRAPH_STEPS = 40  # SGD steps in one graph


class CudaGraphRunner:
    """Runs a function that takes SGD steps in place, on tensors whose addresses do not change.

    On a GPU, GRAPH_STEPS steps at a time are captured as a graph and replayed. Each runner has a stream of its own, because
    graphs captured on one stream share their workspace, and engines run at the same time. Steps that are left after whole
    graphs are called one by one.

    Parameters
    ----------
    steps : callable
        The function; its argument are the images (steps, replicas, batch size) of each step, int64.
    shape : (int, int)
        Replicas and batch size.
    device : torch.device
        Where the tensors are.
    stride : int
        Steps per call on a CPU.
    graphs : bool
        False if the steps draw random numbers, which a graph would repeat.
    """

    def __init__(
        self,
        steps: Callable[[Tensor], None],
        shape: tuple[int, int],
        device: torch.device,
        *,
        stride: int = 1,
        graphs: bool = True,
    ) -> None:
        self._steps, self._shape, self._device, self._graphs = steps, shape, device, graphs
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._graph: Any = None
        self._warm = False
        self.stride = GRAPH_STEPS if self._stream else stride

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which work is queued on the runner's stream."""
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def forget(self) -> None:
        """Drop the graph, because what the function does has changed; the next call captures another one."""
        if self._stream:
            self._stream.synchronize()  # its last replay may still be running
        self._graph, self._warm = None, False

    def __call__(self, indices: Tensor) -> None:
        """Take the steps with these images, shape (steps, replicas, batch size)."""
        if self._stream is None:
            self._steps(indices)
            return
        for part in indices.split(GRAPH_STEPS):
            if len(part) < GRAPH_STEPS or not self._warm or not self._graphs:
                self._steps(part)  # the first steps set up CUDA libraries, which no graph can capture
                self._warm = True
                continue
            if self._graph is None:
                self._capture()
            self._indices.copy_(part)
            self._graph.replay()

    def _capture(self) -> None:
        """Record GRAPH_STEPS steps without running them."""
        self._indices = torch.zeros(GRAPH_STEPS, *self._shape, dtype=torch.int64, device=self._device)
        self._graph = torch.cuda.CUDAGraph()
        failure: Exception | None = None
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                try:
                    self._steps(self._indices)
                except Exception as error:
                    failure = error  # the capture ends with an error of its own, which would hide this one
        except RuntimeError:
            if failure is None:
                raise
        if failure:
            raise failure  # with its cause: the traceback of a user's own code
