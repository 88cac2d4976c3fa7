"""ONNX models: their weights as layers of torch have them, with outputs first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.checkpoint import Checkpoint, free
from sgdtails.audit.formats.extras import imported
from sgdtails.audit.formats.recurrent import reordered
from sgdtails.audit.formats.sizes import ran_out
from sgdtails.audit.weights.layouts import TRANSPOSED
from sgdtails.config import validation
from sgdtails.errors import InputError, out_of_memory

_NUMBERED = ("onnx::", "/", "const_fold", "Constant")  # names that exporters make up


def read(path: Path, where: str) -> Checkpoint:
    """Read an ONNX model's initial values and constants, with those of its subgraphs.

    Parameters
    ----------
    path : pathlib.Path
        The file; weights outside it are read from beside it.
    where : str
        What named it, for sentences.

    Returns
    -------
    Checkpoint
        Arrays by name; an array that the exporter named by a number has the name of the node that uses it.

    Raises
    ------
    InputError
        Without the package ``onnx``, and for a damaged file.
    """
    onnx = imported("onnx", "onnx", f"{where}: {path} is an ONNX model")
    try:
        model = onnx.load(str(path))
    except Exception as error:  # of a damaged file protobuf raises whatever it meets
        if out_of_memory(error):
            raise ran_out(f"{where}: {path}") from error
        raise InputError(
            f"{where}: {path} is not an ONNX model, or it is damaged ({validation.reason(error)}); give another."
        ) from error
    found: dict[str, Any] = {}
    for graph in _graphs(model.graph):
        tensors = {tensor.name: tensor for tensor in graph.initializer} | _constants(graph)
        users = _users(graph)
        for name, tensor in tensors.items():
            if np.prod(tensor.dims, dtype=int) == 0 or tensor.data_type == onnx.TensorProto.STRING:
                continue
            user, place = users.get(name, (None, 0))
            for key, array in _oriented(name, onnx.numpy_helper.to_array(tensor), user, place):
                found[free(key, found)] = array
    return Checkpoint(found)


def _graphs(graph: Any) -> Iterator[Any]:
    """Give a graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _constants(graph: Any) -> dict[str, Any]:
    """Matrices of constant nodes, by the name of the output; numbers and vectors there belong to the graph's arithmetic."""
    return {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value" and attribute.HasField("t") and len(attribute.t.dims) > 1
    }


def _users(graph: Any) -> dict[str, tuple[Any, int]]:
    """Give the first node of a graph that takes a value, and as which input; through nodes that pass it on."""
    users: dict[str, tuple[Any, int]] = {}
    for node in reversed(graph.node):
        passed = node.op_type in ("Identity", "Cast") and node.output[0] in users
        for place, name in enumerate(node.input):
            users[name] = users[node.output[0]] if passed else (node, place)
    return users


def _attribute(node: Any, name: str) -> Any:
    return next((a for a in node.attribute if a.name == name), None)


def _oriented(name: str, array: NDArray[Any], node: Any, place: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give an array with outputs first, under the name of a weight where its node says that it is one."""
    kind = node.op_type if node is not None else ""
    given = node.name.strip("/").replace("/", ".") if node is not None and node.name else ""
    short = given if name.startswith(_NUMBERED) and given else name
    if kind in ("LSTM", "GRU", "RNN") and place in (1, 2) and array.ndim == 3:
        weight = "weight_ih" if place == 1 else "weight_hh"
        for direction, part in enumerate(array):
            yield f"{given or name}.{weight}_l0{'_reverse' * direction}", reordered(part, f"onnx {kind}")
    elif kind == "MatMul" and place == 1 and array.ndim == 2:
        yield short, array.T
    elif kind == "Gemm" and place == 1 and array.ndim == 2:
        transposed = _attribute(node, "transB")
        yield short, array if transposed is not None and transposed.i else array.T
    elif kind == "ConvTranspose" and place == 1 and array.ndim > 2:
        group = _attribute(node, "group")
        kept = (group is not None and group.i > 1) or TRANSPOSED.search(short)  # by such a name it is turned later
        yield short, array if kept else array.swapaxes(0, 1)
    elif kind in ("Conv", "Gather") and place < 2:
        yield short, array
    else:
        yield name, array
