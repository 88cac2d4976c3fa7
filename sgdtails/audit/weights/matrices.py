"""What is a weight in a checkpoint, and which layers the weights are: docs/audit.md says what becomes what."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import dropwhile
from typing import Any

from sgdtails.audit.checkpoint import Skipped, dtype_of, left_out
from sgdtails.audit.weights import composed, layouts
from sgdtails.audit.weights.stored import Weight, of_array, real_kind

FEW = 64  # outputs: with fewer of them a linear layer's inputs are its observations
_ATTENTION = re.compile(r"attn|attention|(^|\.)(q|k|v|o|out|qkv|query|key|value|w[qkvo])(_proj|_lin)?$", re.IGNORECASE)
EMBEDDING = re.compile(r"^(wte|wpe)$|embed|embd|(^|_)embs?(_\d+)?$|(?<![a-z])position|token_type", re.IGNORECASE)
# Names of what is saved with a network and not trained. The last part of a name is compared, so a module may be called mask.
_BUFFERS = (
    (re.compile(r"(\w*_)?masks?(ed_bias)?|masked_bias|tri[lu]"), "a mask"),
    (re.compile(r"(\w*_)?queue(_\w+)?|(\w*_)?memory_bank"), "a queue of features"),
    (re.compile(r"(\w*_)?caches?|(cos|sin)(_\w+)?|freqs(_\w+)?|inv_freq|(\w*_)?cached(_\w+)?"), "a cache of constants"),
    (
        re.compile(r"running_(mean|var|std)|moving_(mean|variance)|num_batches_tracked|cluster_size|embed_avg"),
        "a running statistic",
    ),
    (re.compile(r"(max_)?exp_avg(_sq)?|momentum_buffer"), "state of an optimiser"),
    (re.compile(r"weight_scales?(_inv|_2)?|scales|q?zeros|(nested_)?absmax|\w*_scales"), "scales of quantised weights"),
    (re.compile(r"\w*position_ids|relative_position_index|(\w*_)?anchors?|anchor_grid"), "a table of constants"),
)


# The same for arrays with rows and columns; of a vector they would say less than that it is one.
_TABLES = (
    (re.compile(r"(\w*_)?scales?(_inv|_2)?"), "a table of scales"),
    (re.compile(r"(\w*_)?(codebook|centroid)s?"), "a codebook"),
)


@dataclass(frozen=True)
class Matrix:
    """A layer of a checkpoint: its first axis, or first two for a convolution, are observations.

    Parameters
    ----------
    name : str
        Of the layer.
    kind : str
        linear, attention, embedding, recurrent, expert, convolution or pointwise convolution.
    orientation : str
        What an observation is, and why.
    weight : stored.Weight
        Numbers of shape (observations, dimension), or (out, in, *kernel) for a convolution.
    """

    name: str
    kind: str
    orientation: str
    weight: Weight

    @property
    def tensor(self) -> Any:
        """The numbers: a view of the file's, or computed each time."""
        return self.weight.load()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers, without reading them."""
        return self.weight.shape

    @property
    def dtype(self) -> str:
        """The type of the numbers in the file."""
        return self.weight.dtype

    @property
    def reason(self) -> str | None:
        """Why nothing can be estimated, or None."""
        return self.weight.reason

    @property
    def is_view(self) -> bool:
        """Whether ``tensor`` shares the file's numbers, so that a change of it is one of the state."""
        return self.weight.is_view


def matrices(state: Mapping[str, Any], exclude: Sequence[str] = ()) -> tuple[list[Matrix], list[Skipped]]:
    """Find the layers of a checkpoint.

    Parameters
    ----------
    state : mapping of str to array
        Arrays by name: of torch, numpy, or deferred ones. Of a ``Checkpoint`` what its reader left out is counted, too.
    exclude : sequence of str
        Patterns with ``*`` and ``?`` of names that are no layers, as config key ``audit.exclude`` has them.

    Returns
    -------
    layers : list of Matrix
        In the order of the state.
    skipped : list of Skipped
        Every array that no layer is made from, with the reason.

    Examples
    --------
    >>> import numpy as np
    >>> layers, skipped = matrices({"fc.weight": np.ones((128, 70)), "fc.bias": np.ones(128)})
    >>> [(layer.name, layer.kind, layer.shape) for layer in layers]
    [('fc', 'linear', (128, 70))]
    >>> [(entry.name, entry.reason) for entry in skipped]
    [('fc.bias', 'a bias')]
    """
    skipped: list[Skipped] = list(getattr(state, "skipped", ()))
    left: dict[str, Any] = {}
    for key, array in state.items():
        pattern = next((pattern for pattern in exclude if fnmatchcase(key, pattern)), None)
        if pattern is None:
            left[key] = array
        else:
            skipped.append(left_out(key, array, f"config key audit.exclude: {pattern}"))
    weights, used = composed.weights(left)
    found: list[Matrix] = []
    tied: dict[tuple[int, tuple[int, ...]], str] = {}
    for key, array in left.items():
        if key in weights:
            found += _layers(weights[key], left)
        if key in used or key in weights:
            continue
        weight = _weight(key, array, left, tied)
        if isinstance(weight, str):
            skipped.append(left_out(key, array, weight))
        else:
            found += _layers(weight, left)
    layers = []
    for matrix in found:
        axes = 2 if matrix.kind == "convolution" else 1  # of observations, which a convolution's kernels are
        if matrix.reason is None and min(math.prod(matrix.shape[:axes]), math.prod(matrix.shape[axes:])) <= 1:
            skipped.append(Skipped(matrix.name, matrix.shape, matrix.dtype, "one row or column"))
        else:
            layers.append(matrix)
    return layers, skipped


def _weight(
    key: str, array: Any, state: Mapping[str, Any], tied: dict[tuple[int, tuple[int, ...]], str]
) -> Weight | str:
    """Give an array as a weight, or why it is none."""
    last = key.rpartition(".")[2]
    for pattern, reason in _BUFFERS:
        if pattern.fullmatch(last):
            return reason
    if last.endswith("bias"):
        return "a bias"
    if len(array.shape) < 2:
        return "a vector" if len(array.shape) else "a single number"
    for pattern, reason in _TABLES:
        if pattern.fullmatch(last):
            return reason
    kind = real_kind(array)
    if kind is not None:
        return kind
    if dtype_of(array).startswith("float8") and any(
        name.startswith(f"{key}_scale") or name.startswith(f"{key.removesuffix('weight')}scale") for name in state
    ):
        return "8-bit numbers with a scale of unknown layout"
    weight = of_array(key.removesuffix(".weight"), array)
    if weight.is_view:
        place = (_address(array), weight.shape)
        if place in tied and weight.reason is None:
            return f"the same weights as {tied[place]}"
        tied[place] = key
    axes = tuple(dropwhile(lambda n: n == 1, weight.shape))
    # A convolution with one output channel, under a name of ONNX.
    kernels = len(axes) > 2 and max(axes[1:]) < FEW and not EMBEDDING.search(last)
    if last != "weight" and not kernels:  # a bare parameter, such as ViT's pos_embedding (1, tokens, d)
        while len(weight.shape) > 2 and weight.shape[0] == 1:
            weight = weight.mapped(lambda tensor: tensor[0])
    return weight


def _address(array: Any) -> int:
    """Where its first number lies."""
    return int(array.data_ptr()) if hasattr(array, "data_ptr") else int(array.__array_interface__["data"][0])


def _layers(weight: Weight, state: Mapping[str, Any]) -> Iterator[Matrix]:
    """Give the layers that a weight holds: parts of fused ones, experts of stacked ones, each in its orientation."""
    if weight.reason is not None:
        yield Matrix(weight.name, _kind(weight.name, len(weight.shape)), "as stored", weight)
        return
    for part in layouts.parts(weight, state):
        yield _matrix(part, biased=f"{weight.name}.bias" in state)


def _kind(name: str, axes: int) -> str:
    leaf = name.partition("[")[0]
    if axes > 2:
        return "convolution"
    if layouts.RECURRENT.search(leaf):
        return "recurrent"
    if layouts.STACKED.search(leaf):
        return "expert"
    return "attention" if _ATTENTION.search(leaf) else "linear"


def _matrix(weight: Weight, *, biased: bool) -> Matrix:
    shape, why = weight.shape, "".join(f"; {note}" for note in weight.notes)
    if len(shape) > 2 and math.prod(shape[2:]) > 1:
        channels = "an output and an input channel"
        if shape[1] == 1:
            channels = "an output channel: one input channel, or depthwise"
        return Matrix(weight.name, "convolution", f"the kernel of {channels}{why}", weight)
    kind = _kind(weight.name, 2)
    if len(shape) > 2:
        kind, why = "pointwise convolution", why + "; a kernel of size 1 is a linear map"
        weight = weight.mapped(lambda tensor: tensor.reshape(len(tensor), -1))
    elif EMBEDDING.search(weight.name.partition("[")[0].rpartition(".")[2]) and kind != "expert" and not biased:
        kind = "embedding"
    row, column = (
        ("token", "dimension of all tokens") if kind == "embedding" else ("output's weights", "input's weights")
    )
    rows, columns = weight.shape
    if rows < FEW and rows < columns:
        turned = weight.mapped(lambda tensor: tensor.T)
        return Matrix(weight.name, kind, f"one {column}{why}; fewer than {FEW} of the others", turned)
    return Matrix(weight.name, kind, f"one {row}{why}", weight)
