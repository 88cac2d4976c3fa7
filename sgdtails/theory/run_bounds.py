"""The paper's bounds evaluated for one trained run, beside what they bound: the measured test error."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sgdtails import layers
from sgdtails.arrays import AnyArray, Array, Floats, Row, to_device
from sgdtails.data.datasets import Split
from sgdtails.pruning import compression
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.stable import sampling as stable
from sgdtails.theory.bounds import Setting, Statement, theorem_5, theorem_7
from sgdtails.theory.corollary import StableLayers, corollary_1
from sgdtails.theory.perturbation import logits, reach

Weights = Mapping[str, AnyArray]
NOT_A_CHAIN = "the bounds speak of fully connected networks only"
NOT_STABLE = "tail indices outside (1, 2), where Corollary 1 does not apply: layers {}"
_EVALUATED = ("log10_radius", "log10_lipschitz", "log10_margin", "margin_risk", "log10_gap", "log10_bound", "vacuous")
_CONSTANTS = ("epsilon_kappa", "p_epsilon", "failure", "images_over_log_needed")
_STABLE = ("alpha", "alpha_highest", "log10_scale")


@dataclass(frozen=True)
class Constants:
    """What the bounds need and a network does not say.

    Parameters
    ----------
    epsilon : float
        Relative error to which each layer is pruned.
    delta : float
        Probability that ||w|| exceeds R(delta).
    uncompressed : float
        Probability that a trained network is not compressible.
    tau : float
        Margin.
    radius : float
        R(delta) over ||w||.
    """

    epsilon: float
    delta: float
    uncompressed: float
    tau: float
    radius: float


def bounds_rows(
    weights: Weights,
    splits: tuple[Split, Split],
    *,
    alphas: Sequence[float],
    fully_connected: bool,
    test_error: float,
    constants: Constants,
    device: Any = None,
) -> Iterator[Row]:
    """Make the rows of table ``bounds``, one for each statement.

    R(delta), a quantile over training sets and trainings, is taken as a multiple of ||w||. Every training image counts for the risk
    at a margin: the bounds hold for no smaller sample.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers in order, the last one being the head.
    splits : tuple of Split
        Training and test images, in numpy or on the torch device.
    alphas : sequence of float
        Tail index of each layer.
    fully_connected : bool
        True if the network is a chain of linear layers: only such are evaluated.
    test_error : float
        Reported for networks that are not evaluated.
    constants : Constants
        What the bounds need besides.
    device : torch.device, optional
        Where networks are evaluated; without it in numpy.

    Yields
    ------
    dict
        Columns of table ``bounds``, without run, dataset, model and weights.

    Raises
    ------
    InputError
        If a number is outside its range.
    """
    kappas = [_kappa(weight, constants.epsilon) for weight in weights.values()]
    norm = math.sqrt(sum(float(np.sum(np.square(w, dtype=np.float64))) for w in weights.values()))
    setting = Setting(
        images=len(splits[0]),
        sizes=tuple(weight.size for weight in weights.values()),
        kappas=tuple(kappas),
        reach=max(reach(split) for split in splits),
        epsilon=constants.epsilon,
        tau=constants.tau,
        delta=constants.delta,
        uncompressed=constants.uncompressed,
        log_radius=math.log(constants.radius * norm),
    )
    if fully_connected:
        found = _evaluated(weights, splits, setting, alphas, device)
    else:
        missing = _missing(setting, NOT_A_CHAIN, unmet="a fully connected network")
        found = ((name, setting, missing) for name in ("theorem_5", "corollary_1", "theorem_7"))
    for name, used, row in found:
        pruned = name != "theorem_7"
        error = {"test_error": None if pruned or fully_connected else test_error}
        yield {"statement": name, "network": "pruned" if pruned else "trained"} | _common(used, norm) | error | row


def margins(network: Callable[[Array], Array], split: Split) -> Floats:
    """Compute the logit of each image's class less the largest other logit.

    Parameters
    ----------
    network : callable
        Function that maps images to logits, (N, classes).
    split : Split
        Images and labels.

    Returns
    -------
    numpy.ndarray
        Margins, (N,).
    """
    found = logits(network, split)
    own = np.arange(len(split)), np.asarray(to_device(split.labels, "cpu"))
    right = found[own]
    found[own] = -np.inf
    differences: Floats = right - found.max(axis=1)
    return differences


def _kappa(weight: AnyArray, epsilon: float) -> float:
    """Compute kappa of the weights as they are: the theorems prune towards 0, not towards a median as table ``compression`` does."""
    return compression.kappa(compression.relative_errors(weight.ravel(), 2.0), epsilon)


def _evaluated(
    weights: Weights, splits: tuple[Split, Split], setting: Setting, alphas: Sequence[float], device: Any
) -> Iterator[tuple[str, Setting, Row]]:
    train, test = splits
    network = PrunedNetwork.unpruned(layers.placed(weights, device))
    ordered = np.sort(margins(network.chain, train))
    pruned = PrunedNetwork.unpruned(layers.placed(_pruned(weights, setting.kappas), device))
    error = {"test_error": float(np.mean(margins(pruned.chain, test) <= 0))}
    yield "theorem_5", setting, _row(setting, theorem_5(setting), ordered) | error
    outside = [name for name, alpha in zip(weights, alphas, strict=True) if not 1 < alpha < 2]
    law = {"alpha": min(alphas), "alpha_highest": max(alphas)}
    if outside:
        missing = _missing(setting, NOT_STABLE.format(", ".join(outside)), unmet="alpha in (1, 2)")
        yield "corollary_1", setting, missing | law | error
    else:
        pairs = zip(weights.values(), alphas, strict=True)
        scales = tuple(stable.scale_of(weight.ravel(), alpha) for weight, alpha in pairs)
        stable_layers = StableLayers(tuple(alphas), scales, setting.sizes)
        there, bound = corollary_1(setting, stable_layers)
        law["log10_scale"] = _log10(stable_layers.log_scale)
        yield "corollary_1", there, _row(there, bound, ordered) | law | error
    error = {"test_error": float(np.mean(margins(network.chain, test) <= 0))}
    yield "theorem_7", setting, _row(setting, theorem_7(setting), ordered) | error


def _pruned(weights: Weights, kappas: Sequence[float]) -> dict[str, AnyArray]:
    """Compute each layer's k-best-term approximation, k = kappa_l*d_l."""
    return {
        name: compression.k_best(weight.ravel(), round(kappa * weight.size)).reshape(weight.shape)
        for (name, weight), kappa in zip(weights.items(), kappas, strict=True)
    }


def _common(setting: Setting, norm: float) -> Row:
    return {
        "images": setting.images,
        "parameters": setting.parameters,
        "depth": setting.depth,
        "reach": setting.reach,
        "norm": norm,
        "epsilon": setting.epsilon,
        "kappa": setting.kappa,
        "tau": setting.tau,
        "delta": setting.delta,
        "uncompressed": setting.uncompressed,
        "images_over_log": setting.images_over_log,
    }


def _row(setting: Setting, bound: Statement, ordered: Floats) -> Row:
    """Fill in what a statement says; ``ordered`` are the margins of the training images, ascending."""
    log_of_largest = math.log(ordered[-1]) if ordered[-1] > 0 else -math.inf
    risk = 1.0
    if bound.log_margin < log_of_largest:  # else every margin is at most gamma, which may be beyond float64
        risk = float(np.searchsorted(ordered, math.exp(bound.log_margin), side="right")) / len(ordered)
    log_bound = float(np.logaddexp(math.log(risk) if risk > 0 else -math.inf, bound.log_gap))
    return dict.fromkeys(_STABLE) | {
        "epsilon_kappa": bound.epsilon_kappa,
        "p_epsilon": bound.p_epsilon,
        "failure": bound.failure,
        "images_over_log_needed": bound.images_needed,
        "unmet": "; ".join(bound.unmet),
        "log10_radius": _log10(setting.log_radius),
        "log10_lipschitz": _log10(setting.log_lipschitz),
        "log10_margin": _log10(bound.log_margin),
        "margin_risk": risk,
        "log10_gap": _log10(bound.log_gap),
        "log10_bound": _log10(log_bound),
        "vacuous": log_bound >= 0,
        "reason": None,
    }


def _missing(setting: Setting, reason: str, *, unmet: str) -> Row:
    """Fill in a statement that says nothing of this network, and why."""
    return dict.fromkeys((*_EVALUATED, *_CONSTANTS, *_STABLE)) | {"unmet": unmet, "reason": reason}


def _log10(natural: float) -> float:
    return natural / math.log(10)
