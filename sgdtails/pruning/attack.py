"""Accuracy of a network under an L-infinity attack by projected gradient descent (Madry et al. 2018, ICLR)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgdtails.data.datasets import Split
from sgdtails.errors import InputError
from sgdtails.training.evaluation import BATCH

if TYPE_CHECKING:
    from torch import Tensor

Network = Callable[["Tensor"], "Tensor"]  # images (N, channels, height, width) to logits (N, classes), with gradients
STRIDE = 2.5  # default step size * steps / epsilon: Madry et al.'s choice, so that a step can reach any side of the box


@dataclass(frozen=True)
class Attack:
    """An attack on images with pixels from 0 to 1, of which networks see (pixel - mean)/std.

    Each image starts at a random point of the box of pixels that differ from its own by at most epsilon and lie in [0, 1]. A
    step moves every pixel by the step size in the direction in which the loss grows, and back into the box. The start depends
    on the seed and on the image's place in the split, not on the network: all networks face the same starts.

    Parameters
    ----------
    mean, std : sequence of float
        The dataset's constants, one per channel.
    epsilon : float
        Largest change of a pixel, as a share of its range.
    steps : int
        Gradient steps.
    step_size : float, optional
        Change of a pixel in a step, in epsilon's unit; by default 2.5 epsilon/steps.
    seed : int
        Seed of the starts.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu (2018), Towards deep learning models resistant to adversarial attacks.

    Examples
    --------
    >>> Attack(mean=[0.5], std=[0.25], epsilon=0.1, steps=10).move
    0.025
    """

    mean: Sequence[float]
    std: Sequence[float]
    epsilon: float
    steps: int
    step_size: float | None = None
    seed: int = 0

    @property
    def move(self) -> float:
        """The change of a pixel in a step."""
        return STRIDE * self.epsilon / self.steps if self.step_size is None else self.step_size

    def robust_accuracy(self, network: Network, split: Split, correct: Any) -> float:
        """Measure the share of images that are classified correctly as they are, at the start, and after every step.

        An image that is misclassified once is not moved on. So the share is at most the accuracy, and never grows with steps.

        Parameters
        ----------
        network : callable
            Maps normalised images to logits, by differentiable functions of torch.
        split : Split
            Images and labels.
        correct : array, shape (N,), bool
            Whether the network classifies each image of the split correctly as it is.

        Returns
        -------
        float
            The robust accuracy, from 0 to 1.

        Raises
        ------
        InputError
            The network has no gradients with respect to its images.
        """
        import torch

        generator, robust = torch.Generator().manual_seed(self.seed), 0
        for begin in range(0, len(split), BATCH):
            part = slice(begin, begin + BATCH)
            images, labels = (torch.as_tensor(array) for array in split.batch(part))
            # On the CPU, where numbers are the same for every device, and for all images, whichever the network gets right.
            start = torch.rand(images.shape, generator=generator).to(images.device)
            left = torch.as_tensor(correct[part])
            robust += self._surviving(network, images[left], labels[left], start[left])
        return robust / len(split)

    def _surviving(self, network: Network, images: "Tensor", labels: "Tensor", start: "Tensor") -> int:
        """Count the images that are classified correctly wherever the attack goes."""
        import torch

        mean, std = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        radius, step = self.epsilon / std, self.move / std
        low = torch.maximum(images - radius, -mean / std)
        high = torch.minimum(images + radius, (1 - mean) / std)
        moved = torch.clamp(images + (2 * start - 1) * radius, low, high)
        for number in range(self.steps + 1):
            logits, gradient = _ascent(network, moved, labels, number < self.steps)
            right = logits.argmax(dim=1) == labels
            moved, labels, low, high = moved[right], labels[right], low[right], high[right]
            if gradient is not None:
                moved = torch.clamp(moved + step * gradient[right].sign(), low, high)
        return len(moved)


def _ascent(network: Network, images: "Tensor", labels: "Tensor", wanted: bool) -> "tuple[Tensor, Tensor | None]":
    """Return logits, and if wanted a positive multiple, for each image, of the gradient of its cross-entropy.

    The cross-entropy is log(1 + exp(f)) with f = log(sum over wrong classes of exp(logit)) - the right logit. Its gradient
    rounds to zero where a network is certain of the right class, and would hide the way out; that of f, which has its
    direction, does not.
    """
    import torch

    with torch.set_grad_enabled(wanted):
        images = images.detach().requires_grad_(wanted)
        logits = network(images)
        if not wanted:
            return logits, None
        if not logits.requires_grad:
            raise InputError(
                "config key pruning.attack: the network's logits have no gradients with respect to its images; "
                "let its forward function use differentiable functions of torch, or set the key to null."
            )
        of_label = labels[:, None] == torch.arange(logits.shape[1], device=labels.device)
        right = torch.where(of_label, logits, 0).sum(dim=1)
        wrong = torch.where(of_label, -torch.inf, logits).logsumexp(dim=1)
        (gradient,) = torch.autograd.grad((wrong - right).sum(), images)
    return logits.detach(), gradient


def chain(weights: Sequence[Any]) -> Network:
    """Return a chain of linear layers and ReLU as a differentiable function of images.

    Parameters
    ----------
    weights : sequence of array
        Layers in order, (out, in), of numpy or torch.

    Returns
    -------
    callable
        Maps images to logits.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> chain([np.array([[1.0], [-1.0]]), np.ones((1, 2))])(torch.tensor([[-3.0]]).double())
    tensor([[3.]], dtype=torch.float64)
    """
    import torch

    *hidden, head = (torch.as_tensor(weight) for weight in weights)

    def logits(images: "Tensor") -> "Tensor":
        signal = images.flatten(1)
        for weight in hidden:
            signal = torch.relu(signal @ weight.T)
        return signal @ head.T

    return logits
