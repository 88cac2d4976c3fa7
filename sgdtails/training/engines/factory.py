"""Choice of the engines for a network of the config: their number and their kind."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from sgdtails.data.datasets import Split
from sgdtails.training.engines.base import Engine
from sgdtails.training.engines.module import ModuleEngine
from sgdtails.training.engines.stacked_mlp import StackedMLPEngine
from sgdtails.training.settings import PLAIN_SGD, SGDSettings

STACKED_BELOW = 256  # width below which stacking networks is faster on a CPU: a wider one alone keeps a core busy


def build_engines(
    spec: Mapping[str, Any],
    model: Callable[[], nn.Module],
    train: Split,
    *,
    batch_size: int,
    replicas: int,
    sgd: SGDSettings = PLAIN_SGD,
) -> list[Engine]:
    """Build engines on the device of the training images.

    Parameters
    ----------
    spec : mapping
        The network's entry in the config's ``models``.
    model : callable
        Builds such a network.
    train : Split
        Training images.
    batch_size : int
        Images per step and replica.
    replicas : int
        Most networks that train at once. On a GPU the engines have exactly as many replicas in all, used or not: the number
        decides which kernels compute a stack, to the last bit.
    sgd : SGDSettings
        Momentum, weight decay and noise.

    Returns
    -------
    list of Engine
        One engine with several replicas for fully connected networks, else one engine per replica.
    """
    (images, prepare), labels = train.source(), train.labels
    on_gpu = images.is_cuda
    found: list[Engine]
    if "fcn" not in spec:
        found = [
            ModuleEngine(model(), images, labels, batch_size=batch_size, prepare=prepare, sgd=sgd)
            for _ in range(replicas if on_gpu else 1)
        ]
    else:
        shapes = {name: (len(weight), weight.shape[1]) for name, weight in model().state_dict().items()}
        # With several threads a stack's product sums in another order than a single network's, to other last bits.
        if not on_gpu and (max(spec["fcn"]) >= STACKED_BELOW or torch.get_num_threads() > 1):
            replicas = 1
        found = [
            StackedMLPEngine(shapes, images, labels, batch_size=batch_size, replicas=replicas, prepare=prepare, sgd=sgd)
        ]
    if on_gpu:
        torch.cuda.synchronize()  # every stream can use what has been allocated so far
    return found
