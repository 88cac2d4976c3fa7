"""Fully connected networks in a stack: the step of SGD, its backward pass written out, as fast as we know to make it."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from sgdtails.models import building as models
from sgdtails.training.engines.graphs import LENGTH, Replayed
from sgdtails.training.engines.lanes import Prepare, State, all_finite, as_they_are, product
from sgdtails.training.engines.updates import PLAIN, Sgd, Updates
from sgdtails.training.engines.wide_matrix import WideMatrix, linear, one_thread_each
from sgdtails.training.evaluation import Network

_relu_backward = torch.ops.aten.threshold_backward
A_MOMENT = 10**10  # operations: a tenth of a second on a core
ONEDNN_FROM = 512  # width from which oneDNN's product of a batch and a matrix is faster than that of torch's BLAS


class FullyConnected:
    """Slots of a chain of linear layers and ReLU; weights (slots, out, in), all products batched over slots.

    The update is part of the product that makes the gradient, which is never stored: W <- W + delta^T a, where delta is
    -eta/b times the gradient of the batch's summed loss with respect to a layer's outputs. A wide network alone on a CPU takes
    its products from ``WideMatrix``.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        slots: int,
        prepare: Prepare | None = None,
        dtype: torch.dtype = torch.float32,
        sgd: Sgd = PLAIN,
    ) -> None:
        """``shapes`` (out, in) by name, in order; images (N, ...) and labels (N,) on their device.

        ``prepare`` makes inputs of ``dtype`` of images where they are not that already.
        """
        self.slots, self._names, self.device = slots, list(shapes), images.device
        self._images, self._prepare = images, prepare or as_they_are
        new: dict[str, Any] = {"dtype": dtype, "device": images.device}
        self._targets = one_hot(labels, list(shapes.values())[-1][0]).to(dtype)
        self._weights = [torch.zeros(slots, *shape, **new) for shape in shapes.values()]
        self._scales = torch.zeros(slots, 1, 1, **new)
        self._batch_size = batch_size
        self._sums: list[Tensor] | None = None
        self._views: dict[int, list[tuple[Tensor, Tensor]]] = {}  # weights of the first k slots, and transposed
        single = slots == 1 and dtype == torch.float32 and images.device.type == "cpu"
        wide = min(self._weights[0].shape[1:]) >= ONEDNN_FROM and torch.backends.mkldnn.is_available()
        self._times = _times_one if single and wide else _times_each
        shared = single and wide and sgd.plain
        self._wide = [WideMatrix(weight[0], torch.get_num_threads()) for weight in self._weights if shared]
        products = 6 * batch_size * sum(weight.numel() for weight in self._weights)
        stride = max(1, min(LENGTH, A_MOMENT // products))
        self._updates = None if sgd.plain else Updates(sgd, dict(zip(self._names, self._weights, strict=True)))
        self._replayed = Replayed(
            self._steps, (slots, batch_size), images.device, stride=stride, graphs=not sgd.noise_scale
        )
        self.stride, self.scope = self._replayed.stride, self._replayed.scope

    def put(self, slot: int, state: Mapping[str, NDArray], step_size: float, seed: int | Sequence[int] = 0) -> None:
        for name, weight in zip(self._names, self._weights, strict=True):
            weight[slot].copy_(torch.from_numpy(state[name]))
        self._scales[slot] = -step_size / self._batch_size
        if self._updates:
            self._updates.put(slot, state, step_size, seed)

    def get(self, slot: int) -> State:
        state = {n: models.copied(w[slot]) for n, w in zip(self._names, self._weights, strict=True)}
        return state | self._updates.get(slot) if self._updates else state

    def move(self, source: int, target: int) -> None:
        for stacked in (*self._weights, self._scales, *(self._sums or ())):
            stacked[target].copy_(stacked[source])
        if self._updates:
            self._updates.move(source, target)

    def clear(self, slot: int) -> None:
        for stacked in (*self._weights, self._scales, *(self._sums or ())):
            stacked[slot].zero_()
        if self._updates:
            self._updates.clear(slot)

    def finite(self, slot: int) -> Tensor:
        return all_finite(weight[slot] for weight in self._weights)

    def advance(self, order: Tensor) -> None:
        if self.device.type == "cuda" and order.shape[1] < self.slots:
            # Empty slots compute too, on weights that are zero: what a slot gives must not depend on how many are in use.
            order = torch.cat([order, order[:, :1].expand(-1, self.slots - order.shape[1], -1)], dim=1)
        with one_thread_each() if self._wide else nullcontext():
            self._replayed(order)

    @torch.no_grad()
    def _steps(self, order: Tensor) -> None:
        used = order.shape[1]
        if used not in self._views:
            self._views[used] = [(weight[:used], weight[:used].mT) for weight in self._weights]
        matrices, transposed = zip(*self._views[used], strict=True)
        scales = self._scales[:used]
        for index in order:
            chosen = index.reshape(-1)
            inputs = [self._prepare(self._images.index_select(0, chosen)).view(used, self._batch_size, -1)]
            for layer in range(len(matrices) - 1):
                inputs.append(self._forward(layer, matrices[layer], transposed[layer], inputs[-1]).relu_())
            delta = torch.softmax(torch.bmm(inputs[-1], transposed[-1]), 2)
            delta.sub_(self._targets.index_select(0, chosen).view(delta.shape)).mul_(scales)
            for layer in range(len(matrices) - 1, 0, -1):
                below = self._back(layer, matrices[layer], transposed[layer], delta, inputs[layer])
                delta = _relu_backward(below, inputs[layer], 0)
            self._update(0, matrices[0], delta, inputs[0])
            if self._sums is not None:
                for layer, (total, weight) in enumerate(zip(self._sums, matrices, strict=True)):
                    if self._wide:
                        self._wide[layer].add_to(total[0])
                    else:
                        total[:used] += weight

    def _forward(self, layer: int, weight: Tensor, turned: Tensor, inputs: Tensor) -> Tensor:
        if self._wide:
            return self._wide[layer].forward(inputs[0])[None]
        return self._times(inputs, turned, weight)

    def _back(self, layer: int, weight: Tensor, turned: Tensor, delta: Tensor, inputs: Tensor) -> Tensor:
        """delta W, of the weights before their update."""
        if self._wide:
            return self._wide[layer].back(delta[0], inputs[0])[None]
        below = self._times(delta, weight, turned)
        self._update(layer, weight, delta, inputs)
        return below

    def _update(self, layer: int, weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        if self._wide:
            self._wide[layer].update(delta[0], inputs[0])
        elif self._updates is None:
            weight.baddbmm_(delta.mT, inputs)
        else:
            self._updates.apply(layer, torch.bmm(delta.mT, inputs))

    def network(self, slot: int) -> Network:
        return partial(_chain, [weight[slot].T for weight in self._weights])

    def accumulate(self, on: bool) -> None:
        self._sums = [torch.zeros_like(weight, dtype=torch.float64) for weight in self._weights] if on else None
        self._replayed.forget()

    def sum_of(self, slot: int) -> State:
        assert self._sums is not None
        return {n: models.copied(total[slot]) for n, total in zip(self._names, self._sums, strict=True)}

    def put_sums(self, slot: int, sums: Mapping[str, NDArray]) -> None:
        assert self._sums is not None
        for name, total in zip(self._names, self._sums, strict=True):
            total[slot].copy_(torch.from_numpy(sums[name]))

    def growth(self, slot: int) -> Tensor | None:
        return product([torch.linalg.vector_norm(weight[slot]) for weight in self._weights])


def _times_each(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """signal @ matrix in every slot, (slots, batch size, m) @ (slots, m, n)."""
    return torch.bmm(signal, matrix)


def _times_one(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """The same for one slot, by oneDNN."""
    return linear(transposed[0], signal[0])[None]


@torch.no_grad()
def _chain(transposed: Sequence[Tensor], images: Tensor) -> Tensor:
    *hidden, head = transposed
    signal = images.flatten(1)
    for weight in hidden:
        signal = torch.mm(signal, weight).relu_()
    return torch.mm(signal, head)
