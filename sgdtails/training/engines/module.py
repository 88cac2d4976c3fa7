"""Any torch module as an engine with one replica, by autograd."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sgdtails.models import building as models
from sgdtails.training.engines.base import Array, Prepare, State, all_finite, product, unchanged
from sgdtails.training.engines.cuda_graph import CudaGraphRunner
from sgdtails.training.engines.sgd import SGDUpdate, weights_only
from sgdtails.training.evaluation import Network
from sgdtails.training.settings import PLAIN_SGD, SGDSettings


class ModuleEngine:
    """An engine of one replica, which is any torch module. See ``base.Engine``.

    Parameters
    ----------
    model : nn.Module
        The module; it is moved to the device of the images, and its weights change in place.
    images : Tensor, shape (N, ...)
        Training images.
    labels : Tensor, shape (N,)
        Their labels.
    batch_size : int
        Images per step.
    prepare : callable, optional
        Makes inputs of stored images.
    loss : callable
        Maps outputs and targets to the mean loss over a batch.
    sgd : SGDSettings
        Momentum, weight decay and noise.
    memory_format : torch.memory_format, optional
        Layout of weights and images.

    Examples
    --------
    >>> import numpy as np
    >>> model = nn.Linear(1, 1, bias=False)
    >>> def squared(outputs, targets):
    ...     return ((outputs - targets) ** 2).mean()
    >>> engine = ModuleEngine(model, torch.ones(1, 1), torch.zeros(1, 1), batch_size=1, loss=squared)
    >>> engine.put(0, {"weight": np.ones((1, 1), np.float32)}, step_size=0.25)
    >>> engine.advance(torch.zeros(2, 1, 1, dtype=torch.int64))  # two steps: 1 to 0.5 to 0.25
    >>> engine.get(0)
    {'weight': array([[0.25]], dtype=float32)}
    """

    replicas = 1

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        prepare: Prepare | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        sgd: SGDSettings = PLAIN_SGD,
        memory_format: torch.memory_format | None = None,
    ) -> None:
        # Convolutions are faster with channels last on CPUs, and in TF32; images of one channel count as either.
        self._format = memory_format or (torch.channels_last if images.ndim == 4 else torch.contiguous_format)
        self._model = model.to(images.device, memory_format=self._format)  # type: ignore[call-overload]
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._images, self._labels, self._loss, self.device = images, labels, loss, images.device
        self._guard = models.guard(model)
        self._prepare = prepare or unchanged
        self._step_size = torch.zeros((), dtype=self._parameters[0].dtype, device=images.device)
        self._sums: dict[str, Tensor] | None = None
        named = {n: parameter.detach()[None] for n, parameter in model.named_parameters() if parameter.requires_grad}
        self._sgd_update = None if sgd.plain else SGDUpdate(sgd, named)
        self._runner = CudaGraphRunner(self._steps, (1, batch_size), images.device, graphs=not sgd.noise_scale)
        self.stride, self.scope = self._runner.stride, self._runner.scope

    def put(self, replica: int, state: Mapping[str, Array], step_size: float, seed: int | Sequence[int] = 0) -> None:
        """Load a network."""
        models.load(self._model, weights_only(state))  # copies in place: a graph has these tensors' addresses
        self._step_size.fill_(step_size)
        if self._sgd_update:
            self._sgd_update.put(replica, state, step_size, seed)

    def get(self, replica: int) -> State:
        """Return a copy of all that the replica needs to go on."""
        state = models.state(self._model)
        return state | self._sgd_update.get(replica) if self._sgd_update else state

    def weights(self, replica: int) -> dict[str, Tensor]:
        """Return the module's weights and buffers by name, not copied."""
        return {name: value.detach() for name, value in self._model.state_dict().items()}

    def move(self, source: int, target: int) -> None:
        """Do nothing: there is one replica."""

    def clear(self, replica: int) -> None:
        """Set all that the module holds to zero."""
        for value in (*self._model.state_dict().values(), self._step_size, *(self._sums or {}).values()):
            value.zero_()
        if self._sgd_update:
            self._sgd_update.clear(replica)

    def finite(self, replica: int) -> Tensor:
        """Return whether all weights and buffers are finite, as a bool on the device."""
        return all_finite(self._model.state_dict().values())

    def advance(self, indices: Tensor) -> None:
        """Take SGD steps with images (steps, 1, batch size)."""
        self._runner(indices)

    def _steps(self, indices: Tensor) -> None:
        for index in indices[:, 0]:
            images = self._prepare(self._images.index_select(0, index)).contiguous(memory_format=self._format)
            with self._guard:
                loss = self._loss(self._model(images), self._labels.index_select(0, index))
                gradients = torch.autograd.grad(loss * self._step_size, self._parameters, allow_unused=True)
            with torch.no_grad():
                for number, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
                    if gradient is None:
                        continue  # the loss does not depend on it; torch.optim.SGD leaves it alone, too
                    if self._sgd_update is None:
                        parameter.sub_(gradient)
                    else:
                        self._sgd_update.apply(number, gradient.neg()[None])
                if self._sums is not None:
                    for name, value in self._floating().items():
                        self._sums[name] += value

    def network(self, replica: int) -> Network:
        """Return the module in evaluation mode, without gradients."""
        evaluated = models.network(self._model)
        return lambda images: evaluated(images.contiguous(memory_format=self._format))

    def _floating(self) -> dict[str, Tensor]:
        return {name: value for name, value in self._model.state_dict().items() if value.is_floating_point()}

    def accumulate(self, on: bool) -> None:
        """Start or stop adding every iterate to sums in float64."""
        floating = self._floating().items()
        self._sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in floating} if on else None
        self._runner.forget()

    def sum_of(self, replica: int) -> State:
        """Return a copy of the sums."""
        assert self._sums is not None
        return {name: models.copied(total) for name, total in self._sums.items()}

    def put_sums(self, replica: int, sums: Mapping[str, Array]) -> None:
        """Set the sums."""
        assert self._sums is not None
        for name, total in self._sums.items():
            total.copy_(torch.from_numpy(sums[name]))

    def lipschitz_bound(self, replica: int) -> Tensor | None:
        """Return the product of the layers' norms, a bound on ||logits||/||image||; None for modules of other layers.

        A convolution's norm counts times the square root of its kernel's size: 3 x 3 kernels use each pixel nine times.
        """
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
