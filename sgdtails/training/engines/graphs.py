"""Steps replayed as a CUDA graph, or called as they are on a CPU."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

LENGTH = 40  # steps in a graph


class Replayed:
    """A function of an order (steps, slots, batch size) that works in place on tensors which stay where they are.

    On a GPU it is captured for LENGTH steps at a time, on a stream of its own: graphs captured on one stream share their
    workspace, and lanes run at once. What is left of an order after whole graphs is called step by step.
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
        """``stride``: steps of one call on a CPU; ``graphs``: not where random numbers are drawn, which a graph would repeat."""
        self._steps, self._shape, self._device, self._graphs = steps, shape, device, graphs
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._graph: Any = None
        self._warm = False
        self.stride = LENGTH if self._stream else stride

    def scope(self) -> AbstractContextManager[Any]:
        """Where the work is to be queued."""
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def forget(self) -> None:
        """Capture anew: what the function does has changed."""
        if self._stream:
            self._stream.synchronize()  # its last replay may not be over
        self._graph, self._warm = None, False

    def __call__(self, order: Tensor) -> None:
        if self._stream is None:
            self._steps(order)
            return
        for part in order.split(LENGTH):
            if len(part) < LENGTH or not self._warm or not self._graphs:
                self._steps(part)  # the libraries set themselves up in the first steps, which no graph can hold
                self._warm = True
                continue
            if self._graph is None:
                self._capture()
            self._order.copy_(part)
            self._graph.replay()

    def _capture(self) -> None:
        """Record LENGTH steps; this runs none of them."""
        self._order = torch.zeros(LENGTH, *self._shape, dtype=torch.int64, device=self._device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._steps(self._order)
