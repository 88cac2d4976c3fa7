"""Any torch module as a lane of one slot, by autograd."""

from collections.abc import Callable, Mapping, Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sgdtails.models import building as models
from sgdtails.training.engines.graphs import Replayed
from sgdtails.training.engines.lanes import Prepare, State, all_finite, as_they_are, product
from sgdtails.training.engines.updates import PLAIN, Sgd, Updates, weights
from sgdtails.training.evaluation import Network


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
        memory_format: torch.memory_format | None = None,
    ) -> None:
        """The module on the device of images (N, ...) and labels (N, ...); its weights change in place."""
        # Convolutions are faster with channels last on CPUs, and in TF32; images of one channel count as either.
        self._format = memory_format or (torch.channels_last if images.ndim == 4 else torch.contiguous_format)
        self._model = model.to(images.device, memory_format=self._format)  # type: ignore[call-overload]
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._images, self._labels, self._loss, self.device = images, labels, loss, images.device
        self._guard = models.guard(model)
        self._prepare = prepare or as_they_are
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

    def move(self, source: int, target: int) -> None:
        """There is one slot: what it holds is there."""

    def clear(self, slot: int) -> None:
        for value in (*self._model.state_dict().values(), self._step_size, *(self._sums or {}).values()):
            value.zero_()
        if self._updates:
            self._updates.clear(slot)

    def finite(self, slot: int) -> Tensor:
        return all_finite(self._model.state_dict().values())

    def advance(self, order: Tensor) -> None:
        self._replayed(order)

    def _steps(self, order: Tensor) -> None:
        for index in order[:, 0]:
            images = self._prepare(self._images.index_select(0, index)).contiguous(memory_format=self._format)
            with self._guard:
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
        return product(factors)
