"""Networks of one architecture that train side by side on one device: the step of SGD, as fast as we know to make it.

A lane has slots, each with a network and a step size of its own. ``FullyConnected`` stacks the weights of its slots and
has its backward pass written out; ``Module`` takes any torch module, in one slot, by autograd. On a GPU both replay their
steps as a CUDA graph (``sgdtails.graphs``); on a CPU the same functions are called one by one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from sgdtails import models
from sgdtails.data import Split
from sgdtails.evaluation import Network
from sgdtails.graphs import LENGTH, Replayed
from sgdtails.updates import Sgd, Updates, weights

State = dict[str, NDArray]
Prepare = Callable[[Tensor], Tensor]
PLAIN = Sgd()
_relu_backward = torch.ops.aten.threshold_backward
A_MOMENT = 10**10  # operations: a tenth of a second on a core
STACKED_BELOW = 256  # width of networks that a stack makes faster on a CPU: wider ones fill a core alone
ONEDNN_FROM = 512  # width from which oneDNN's product of a batch and a matrix is faster than that of torch's BLAS


class Lane(Protocol):
    """What training and averaging need of a lane. Slots 0 .. k-1 are in use; iterates are called weights."""

    slots: int
    stride: int  # steps that run without coming back to Python
    device: torch.device

    def put(self, slot: int, state: Mapping[str, NDArray], step_size: float, seed: int | Sequence[int] = 0) -> None:
        """Load a network into a slot: its weights, or what ``get`` gave. ``seed``: of noise that begins."""

    def get(self, slot: int) -> State:
        """A copy of a slot's state, by name, on the CPU: its weights, and what else is needed to go on (``updates``)."""

    def advance(self, order: Tensor) -> None:
        """Steps of SGD with the images at ``order`` (steps, k, batch size), one row of it after the other."""

    def network(self, slot: int) -> Network:
        """A slot's network in evaluation mode, without gradients."""

    def accumulate(self, on: bool) -> None:
        """From now on, add every iterate to sums in float64, which start at zero; or stop that."""

    def sum_of(self, slot: int) -> State:
        """A copy of a slot's sums."""

    def put_sums(self, slot: int, sums: Mapping[str, NDArray]) -> None:
        """Go on from these sums."""

    def growth(self, slot: int) -> Tensor | None:
        """A bound, float64 scalar, on ||logits||/||image|| of a slot's network; None where none is known."""

    def scope(self) -> AbstractContextManager[Any]:
        """Where this lane's work is to be queued: a stream of its own on a GPU."""


class FullyConnected:
    """Slots of a chain of linear layers and ReLU; weights (slots, out, in), all products batched over slots.

    The update is part of the product that makes the gradient, which is never stored: W <- W + delta^T a, where delta is
    -eta/b times the gradient of the batch's summed loss with respect to a layer's outputs.
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
        self._images, self._prepare = images, prepare or _as_they_are
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

    def advance(self, order: Tensor) -> None:
        if self.device.type == "cuda" and order.shape[1] < self.slots:
            # Empty slots compute too, on weights that are zero: what a slot gives must not depend on how many are in use.
            order = torch.cat([order, order[:, :1].expand(-1, self.slots - order.shape[1], -1)], dim=1)
        self._replayed(order)

    @torch.no_grad()
    def _steps(self, order: Tensor) -> None:
        used = order.shape[1]
        if used not in self._views:
            self._views[used] = [(weight[:used], weight[:used].mT) for weight in self._weights]
        weights, transposed = zip(*self._views[used], strict=True)
        scales, times = self._scales[:used], self._times
        for index in order:
            chosen = index.reshape(-1)
            inputs = [self._prepare(self._images.index_select(0, chosen)).view(used, self._batch_size, -1)]
            for weight, turned in self._views[used][:-1]:
                inputs.append(times(inputs[-1], turned, weight).relu_())
            delta = torch.softmax(torch.bmm(inputs[-1], transposed[-1]), 2)
            delta.sub_(self._targets.index_select(0, chosen).view(delta.shape)).mul_(scales)
            for layer in range(len(weights) - 1, 0, -1):
                below = times(delta, weights[layer], transposed[layer])
                self._update(layer, weights[layer], delta, inputs[layer])
                delta = _relu_backward(below, inputs[layer], 0)
            self._update(0, weights[0], delta, inputs[0])
            if self._sums is not None:
                for total, weight in zip(self._sums, weights, strict=True):
                    total[:used] += weight

    def _update(self, layer: int, weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        if self._updates is None:
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
        return _product([torch.linalg.vector_norm(weight[slot]) for weight in self._weights])


def _times_each(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """signal @ matrix in every slot, (slots, batch size, m) @ (slots, m, n)."""
    return torch.bmm(signal, matrix)


def _times_one(signal: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """The same for one slot, by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(signal[0], transposed[0], None, "none", [], "")[None]


def _as_they_are(images: Tensor) -> Tensor:
    return images


@torch.no_grad()
def _chain(transposed: Sequence[Tensor], images: Tensor) -> Tensor:
    *hidden, head = transposed
    signal = images.flatten(1)
    for weight in hidden:
        signal = torch.mm(signal, weight).relu_()
    return torch.mm(signal, head)


class Module:
    """One slot with any module; ``loss`` (outputs, targets) to a mean over the batch."""

    slots = 1

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        prepare: Prepare | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        sgd: Sgd = PLAIN,
    ) -> None:
        """The module on the device of images (N, ...) and labels (N, ...); its weights change in place."""
        # Convolutions are faster with channels last, on CPUs and GPUs alike; images of one channel count as either.
        self._format = torch.channels_last if images.ndim == 4 else torch.contiguous_format
        self._model = model.to(images.device, memory_format=self._format)  # type: ignore[call-overload]
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._images, self._labels, self._loss, self.device = images, labels, loss, images.device
        self._prepare = prepare or _as_they_are
        self._step_size = torch.zeros((), dtype=self._parameters[0].dtype, device=images.device)
        self._sums: dict[str, Tensor] | None = None
        named = {n: parameter.detach()[None] for n, parameter in model.named_parameters() if parameter.requires_grad}
        self._updates = None if sgd.plain else Updates(sgd, named)
        self._replayed = Replayed(self._steps, (1, batch_size), images.device, graphs=not sgd.noise_scale)
        self.stride, self.scope = self._replayed.stride, self._replayed.scope

    def put(self, slot: int, state: Mapping[str, NDArray], step_size: float, seed: int | Sequence[int] = 0) -> None:
        models.load(self._model, weights(state))  # copies, in place: a graph has these tensors' addresses
        self._step_size.fill_(step_size)
        if self._updates:
            self._updates.put(slot, state, step_size, seed)

    def get(self, slot: int) -> State:
        state = models.state(self._model)
        return state | self._updates.get(slot) if self._updates else state

    def advance(self, order: Tensor) -> None:
        self._replayed(order)

    def _steps(self, order: Tensor) -> None:
        for index in order[:, 0]:
            images = self._prepare(self._images.index_select(0, index)).contiguous(memory_format=self._format)
            loss = self._loss(self._model(images), self._labels.index_select(0, index))
            gradients = torch.autograd.grad(loss * self._step_size, self._parameters, allow_unused=True)
            with torch.no_grad():
                for number, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
                    if gradient is None:
                        continue  # no part of the network's output, as torch.optim.SGD leaves it
                    if self._updates is None:
                        parameter.sub_(gradient)
                    else:
                        self._updates.apply(number, gradient.neg()[None])
                if self._sums is not None:
                    for name, value in self._floating().items():
                        self._sums[name] += value

    def network(self, slot: int) -> Network:
        evaluated = models.network(self._model)
        return lambda images: evaluated(images.contiguous(memory_format=self._format))

    def _floating(self) -> dict[str, Tensor]:
        return {name: value for name, value in self._model.state_dict().items() if value.is_floating_point()}

    def accumulate(self, on: bool) -> None:
        floating = self._floating().items()
        self._sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in floating} if on else None
        self._replayed.forget()

    def sum_of(self, slot: int) -> State:
        assert self._sums is not None
        return {name: models.copied(total) for name, total in self._sums.items()}

    def put_sums(self, slot: int, sums: Mapping[str, NDArray]) -> None:
        assert self._sums is not None
        for name, total in self._sums.items():
            total.copy_(torch.from_numpy(sums[name]))

    def growth(self, slot: int) -> Tensor | None:
        """A layer grows the norm by at most its own; a 3 x 3 convolution, which uses each pixel nine times, by 3 times it."""
        if not isinstance(self._model, nn.Sequential):
            return None
        factors = []
        for layer in self._model:
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is None:
                uses = layer.weight[0, 0].numel() ** 0.5 if isinstance(layer, nn.Conv2d) else 1.0
                factors.append(torch.linalg.vector_norm(layer.weight.detach()) * uses)
            elif isinstance(layer, nn.MaxPool2d) and layer.kernel_size != layer.stride:
                return None  # its windows overlap
            elif not isinstance(layer, nn.ReLU | nn.MaxPool2d | nn.Flatten):
                return None
        return _product(factors)


def interleave(work: Iterable[tuple[Lane, Tensor]], stopped: Callable[[], bool]) -> list[int]:
    """Advance lanes by their orders (steps, k, batch size), piece by piece in turn so that lanes on streams run at once.

    Returns the steps done in each: all of them unless ``stopped`` in between.
    """
    pieces = []
    for lane, order in work:
        with lane.scope():  # memory belongs to the stream on which it is taken
            pieces.append((lane, deque(order.to(lane.device).split(lane.stride))))
    done = [0] * len(pieces)
    while any(left for _, left in pieces) and not stopped():
        for number, (lane, left) in enumerate(pieces):
            if left:
                piece = left.popleft()
                with lane.scope():
                    lane.advance(piece)
                done[number] += len(piece)
    return done


def build(
    spec: Mapping[str, Any],
    model: Callable[[], nn.Module],
    train: Split,
    *,
    batch_size: int,
    slots: int,
    sgd: Sgd = PLAIN,
) -> list[Lane]:
    """Lanes for ``slots`` networks of one entry of the config's ``models`` (``model`` builds one), on the device of ``train``.

    On a GPU there are always as many slots: how many a stack has decides which kernels compute it, to the last bit.
    """
    (images, prepare), labels = train.source(), train.labels
    on_gpu = images.is_cuda
    found: list[Lane]
    common: dict[str, Any] = {"batch_size": batch_size, "prepare": prepare, "sgd": sgd}
    if "fcn" not in spec:
        found = [Module(model(), images, labels, **common) for _ in range(slots if on_gpu else 1)]
    else:
        shapes = {name: tuple(weight.shape) for name, weight in model().state_dict().items()}
        # With several threads a product in a stack is computed in another order than a single one, to other last bits.
        if not on_gpu and (max(spec["fcn"]) >= STACKED_BELOW or torch.get_num_threads() > 1):
            slots = 1
        found = [FullyConnected(shapes, images, labels, slots=slots, **common)]
    if on_gpu:
        torch.cuda.synchronize()  # what was made so far is there for every stream
    return found


def _product(factors: list[Tensor]) -> Tensor:
    return torch.stack(factors).double().prod()
