"""Heavy-tailed noise for SGD: symmetric alpha-stable draws, and what the entries of a parameter share.

Row i of a parameter W is the i-th neuron: a row of a linear layer, an output channel of a convolution, an entry of a vector. With
S a symmetric stable variable of scale 1 (ch.f. exp(-|t|^alpha)), all independent of each other, the noise Z of one step has

    independent   Z_ij = S_ij
    neuron        Z_ij = S_i
    elliptical    Z_i = sqrt(2 A_i) G_i, G_i standard normal, A_i positive with E exp(-s A_i) = exp(-s^(alpha/2)), so that
                  E exp(i<u, Z_i>) = exp(-||u||^alpha): a sub-Gaussian elliptical stable vector

Every entry alone has the same law, SaS(1). Rows are independent of each other, parameters too.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def draw_noise(kind: str, shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    """Draw the noise of one parameter for one step.

    Parameters
    ----------
    kind : {"independent", "neuron", "elliptical"}
        What the entries of a row share.
    shape : sequence of int
        Shape of the parameter; its first axis counts neurons.
    alpha : float
        Tail index, in (0, 2]; 2 is N(0, 2).
    generator : torch.Generator
        Source of randomness; its device is the noise's.

    Returns
    -------
    Tensor, shape ``shape``, float64
        The noise.

    Examples
    --------
    >>> noise = draw_noise("neuron", (3, 4), 1.5, torch.Generator().manual_seed(0))
    >>> [len(set(row.tolist())) for row in noise]
    [1, 1, 1]
    """
    return _KINDS[kind](shape, alpha, generator)


def stable_noise(shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    """Draw from a symmetric alpha-stable law with scale 1.

    It is the law of ``sgdtails.stable.sample``, implemented again so that edits of analysis code do not retrain.

    Parameters
    ----------
    shape : sequence of int
        Shape of the sample.
    alpha : float
        Tail index, in (0, 2]; 2 is N(0, 2).
    generator : torch.Generator
        Source of randomness; its device is the sample's.

    Returns
    -------
    Tensor, shape ``shape``, float64
        Independent draws.

    References
    ----------
    Chambers, Mallows and Stuck (1976), A method for simulating stable random variables.

    Examples
    --------
    >>> draws = stable_noise((1000,), 1.5, torch.Generator().manual_seed(0))
    >>> bool(draws.abs().median() < 2 < draws.abs().max())
    True
    """
    like = torch.empty(tuple(shape), dtype=torch.float64, device=generator.device)
    if alpha == 2:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device).mul_(math.sqrt(2))
    angle = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    angle = angle.sub_(0.5).mul_(math.pi)
    if alpha == 1:
        return angle.tan_()
    exponential = like.exponential_(generator=generator).clamp_min_(torch.finfo(torch.float64).tiny)
    stretch = torch.cos((1 - alpha) * angle).div_(exponential).pow_((1 - alpha) / alpha)
    return torch.sin(alpha * angle).div_(torch.cos(angle).pow_(1 / alpha)).mul_(stretch)


def elliptical_noise(shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    """Draw rows that are elliptical alpha-stable vectors, ch.f. exp(-||u||^alpha).

    It is the law of ``sgdtails.stable.sampling.elliptical``, implemented again so that edits of analysis code do not retrain.

    Parameters
    ----------
    shape : sequence of int
        Shape of the sample; its first axis counts rows.
    alpha : float
        Tail index, in (0, 2]; 2 is N(0, 2), with independent entries.
    generator : torch.Generator
        Source of randomness; its device is the sample's.

    Returns
    -------
    Tensor, shape ``shape``, float64
        Independent rows.

    References
    ----------
    Kanter (1975), Stable densities under change of scale and total variation inequalities.

    Examples
    --------
    >>> elliptical_noise((5, 3), 1.5, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 3])
    """
    if alpha == 2:
        return stable_noise(shape, alpha, generator)
    like = torch.empty(_rows(shape), dtype=torch.float64, device=generator.device)
    angle = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    angle = angle.neg_().add_(1).mul_(math.pi)  # in (0, pi]: at 0 Kanter's formula divides 0 by 0
    exponential = like.exponential_(generator=generator).clamp_min_(torch.finfo(torch.float64).tiny)
    half = alpha / 2
    # sqrt(2 A) by itself: A alone would leave the range of float64 where alpha is small
    stretch = torch.sin((1 - half) * angle).div_(exponential).pow_((1 - half) / alpha)
    scale = torch.sin(half * angle).mul_(2).sqrt_().div_(torch.sin(angle).pow_(1 / alpha)).mul_(stretch)
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device).mul_(scale)


def _neuron_noise(shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    return stable_noise(_rows(shape), alpha, generator).expand(tuple(shape))


def _rows(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one number for each row."""
    return (*shape[:1], *[1] * (len(shape) - 1))


_KINDS: dict[str, Callable[[Sequence[int], float, torch.Generator], Tensor]] = {
    "independent": stable_noise,
    "neuron": _neuron_noise,
    "elliptical": elliptical_noise,
}
