"""Fully connected networks in a stack, with a hand-written backward pass: the fastest SGD step that we know of."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from sgdtails.models import building as models
from sgdtails.training.engines.base import Array, Prepare, State, all_finite, product, unchanged
from sgdtails.training.engines.cuda_graph import GRAPH_STEPS, CudaGraphRunner
from sgdtails.training.engines.sgd import SGDUpdate
from sgdtails.training.engines.wide_matrix import WideMatrix, linear, one_thread_each
from sgdtails.training.evaluation import Network
from sgdtails.training.settings import PLAIN_SGD, SGDSettings

_relu_backward = torch.ops.aten.threshold_backward
STRIDE_OPERATIONS = 10**10  # most operations of a call: a tenth of a second on a core, after which signals are noticed
ONEDNN_FROM = 512  # width from which oneDNN multiplies a batch and a matrix faster than torch's BLAS


class StackedMLPEngine:
    """An engine whose replicas are chains of linear layers and ReLU without biases. See ``base.Engine``.

    Weights have shape (replicas, out, in), and products are batched over replicas. The gradient is never stored: the product
    that computes it updates the weights, W <- W + delta^T a, where delta is -eta/b times the gradient of the batch's summed
    loss with respect to a layer's outputs, and a the layer's inputs. A wide network alone on a CPU uses ``WideMatrix``.

    Parameters
    ----------
    shapes : mapping of str to (int, int)
        Outputs and inputs of each layer, in order.
    images : Tensor, shape (N, ...)
        Training images on their device.
    labels : Tensor, shape (N,), int64
        Their labels.
    batch_size : int
        Images per step and replica.
    replicas : int
        Number of networks in the stack.
    prepare : callable, optional
        Makes inputs of type ``dtype`` of stored images.
    dtype : torch.dtype
        Type of the weights.
    sgd : SGDSettings
        Momentum, weight decay and noise.

    Examples
    --------
    One layer, one image of class 0, weights of zero: probabilities are 1/2, and the gradient's rows are -1/2 and 1/2.

    >>> import numpy as np
    >>> engine = StackedMLPEngine({"head": (2, 1)}, torch.ones(1, 1), torch.zeros(1, dtype=torch.int64),
    ...                           batch_size=1, replicas=1)
    >>> engine.put(0, {"head": np.zeros((2, 1), np.float32)}, step_size=1.0)
    >>> engine.advance(torch.zeros(1, 1, 1, dtype=torch.int64))
    >>> engine.get(0)["head"].tolist()
    [[0.5], [-0.5]]
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        replicas: int,
        prepare: Prepare | None = None,
        dtype: torch.dtype = torch.float32,
        sgd: SGDSettings = PLAIN_SGD,
    ) -> None:
        self.replicas, self._names, self.device = replicas, list(shapes), images.device
        self._images, self._prepare = images, prepare or unchanged
        self._targets = one_hot(labels, list(shapes.values())[-1][0]).to(dtype)
        self._weights = [torch.zeros(replicas, *shape, dtype=dtype, device=images.device) for shape in shapes.values()]
        self._scales = torch.zeros(replicas, 1, 1, dtype=dtype, device=images.device)
        self._batch_size = batch_size
        self._sums: list[Tensor] | None = None
        self._views: dict[int, list[tuple[Tensor, Tensor]]] = {}  # by k: weights of k replicas, and transposed ones
        single = replicas == 1 and dtype == torch.float32 and images.device.type == "cpu"
        wide = min(self._weights[0].shape[1:]) >= ONEDNN_FROM and torch.backends.mkldnn.is_available()
        self._times = _times_one if single and wide else _times_each
        shared = single and wide and sgd.plain
        self._wide = [WideMatrix(weight[0], torch.get_num_threads()) for weight in self._weights if shared]
        operations = 6 * batch_size * sum(weight.numel() for weight in self._weights)
        stride = max(1, min(GRAPH_STEPS, STRIDE_OPERATIONS // operations))
        self._sgd_update = None if sgd.plain else SGDUpdate(sgd, dict(zip(self._names, self._weights, strict=True)))
        shape = (replicas, batch_size)
        self._runner = CudaGraphRunner(self._steps, shape, images.device, stride=stride, graphs=not sgd.noise_scale)
        self.stride, self.scope = self._runner.stride, self._runner.scope

    def put(self, replica: int, state: Mapping[str, Array], step_size: float, seed: int | Sequence[int] = 0) -> None:
        """Load a network into a replica."""
        for name, weight in zip(self._names, self._weights, strict=True):
            weight[replica].copy_(torch.from_numpy(state[name]))
        self._scales[replica] = -step_size / self._batch_size
        if self._sgd_update:
            self._sgd_update.put(replica, state, step_size, seed)

    def get(self, replica: int) -> State:
        """Return a copy of all that a replica needs to go on."""
        state = {n: models.copied(w[replica]) for n, w in zip(self._names, self._weights, strict=True)}
        return state | self._sgd_update.get(replica) if self._sgd_update else state

    def weights(self, replica: int) -> dict[str, Tensor]:
        """Return the weights of a replica by name, not copied."""
        return {name: weight[replica] for name, weight in zip(self._names, self._weights, strict=True)}

    def move(self, source: int, target: int) -> None:
        """Copy all that a replica holds to another one."""
        for stacked in (*self._weights, self._scales, *(self._sums or ())):
            stacked[target].copy_(stacked[source])
        if self._sgd_update:
            self._sgd_update.move(source, target)

    def clear(self, replica: int) -> None:
        """Set all that a replica holds to zero."""
        for stacked in (*self._weights, self._scales, *(self._sums or ())):
            stacked[replica].zero_()
        if self._sgd_update:
            self._sgd_update.clear(replica)

    def finite(self, replica: int) -> Tensor:
        """Return whether all weights of a replica are finite, as a bool on the device."""
        return all_finite(weight[replica] for weight in self._weights)

    def advance(self, indices: Tensor) -> None:
        """Take SGD steps with images (steps, k, batch size)."""
        if self.device.type == "cuda" and indices.shape[1] < self.replicas:
            # Unused replicas compute too, with weights of zero: results must not depend on how many are in use.
            indices = torch.cat([indices, indices[:, :1].expand(-1, self.replicas - indices.shape[1], -1)], dim=1)
        with one_thread_each() if self._wide else nullcontext():
            self._runner(indices)

    @torch.no_grad()
    def _steps(self, indices: Tensor) -> None:
        used = indices.shape[1]
        if used not in self._views:
            self._views[used] = [(weight[:used], weight[:used].mT) for weight in self._weights]
        matrices, transposed = zip(*self._views[used], strict=True)
        scales = self._scales[:used]
        for index in indices:
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

    def _forward(self, layer: int, weight: Tensor, transposed: Tensor, inputs: Tensor) -> Tensor:
        if self._wide:
            return self._wide[layer].forward(inputs[0])[None]
        return self._times(inputs, transposed, weight)

    def _back(self, layer: int, weight: Tensor, transposed: Tensor, delta: Tensor, inputs: Tensor) -> Tensor:
        """Return delta W, for the weights before their update, and update them."""
        if self._wide:
            return self._wide[layer].backward_update(delta[0], inputs[0])[None]
        below = self._times(delta, weight, transposed)
        self._update(layer, weight, delta, inputs)
        return below

    def _update(self, layer: int, weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        if self._wide:
            self._wide[layer].update(delta[0], inputs[0])
        elif self._sgd_update is None:
            weight.baddbmm_(delta.mT, inputs)
        else:
            self._sgd_update.apply(layer, torch.bmm(delta.mT, inputs))

    def network(self, replica: int) -> Network:
        """Return a replica's network without gradients."""
        return partial(_chain, [weight[replica].T for weight in self._weights])

    def accumulate(self, on: bool) -> None:
        """Start or stop adding every iterate to sums in float64."""
        self._sums = [torch.zeros_like(weight, dtype=torch.float64) for weight in self._weights] if on else None
        self._runner.forget()

    def sum_of(self, replica: int) -> State:
        """Return a copy of a replica's sums."""
        assert self._sums is not None
        return {n: models.copied(total[replica]) for n, total in zip(self._names, self._sums, strict=True)}

    def put_sums(self, replica: int, sums: Mapping[str, Array]) -> None:
        """Set a replica's sums."""
        assert self._sums is not None
        for name, total in zip(self._names, self._sums, strict=True):
            total[replica].copy_(torch.from_numpy(sums[name]))

    def lipschitz_bound(self, replica: int) -> Tensor | None:
        """Return the product of the layers' Frobenius norms, a bound on ||logits||/||image||."""
        return product([torch.linalg.vector_norm(weight[replica]) for weight in self._weights])


def _times_each(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """Multiply in every replica: (replicas, batch size, m) by (replicas, m, n)."""
    return torch.bmm(signal, matrix)


def _times_one(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """Multiply for one replica, by oneDNN."""
    return linear(transposed[0], signal[0])[None]


@torch.no_grad()
def _chain(transposed: Sequence[Tensor], images: Tensor) -> Tensor:
    *hidden, head = transposed
    signal = images.flatten(1)
    for weight in hidden:
        signal = torch.mm(signal, weight).relu_()
    return torch.mm(signal, head)
