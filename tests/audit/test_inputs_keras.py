"""Keras 3, which numbers the arrays of a layer, and Flax in files of other kinds: the layers that torch would have."""

import pickle

import numpy as np
import pytest
import torch

from sgdtails.audit.weights.matrices import matrices
from tests.audit.helpers import layers, normal, read


def keras(path, **arrays):
    """Write arrays as Keras 3 does; ``__`` stands for a slash."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "a.weights.h5", "w") as file:
        for name, array in arrays.items():
            file[f"layers/{name.replace('__', '/')}"] = array
        file["layers/last/vars/0"] = normal(70, 66)  # what stands beside, so that no name is left out as a wrapper
    return read(path / "a.weights.h5")


def shapes(found):
    return {matrix.name: (matrix.kind, matrix.shape) for matrix in matrices(found)[0] if matrix.name != "last"}


@pytest.mark.parametrize(("cell", "names", "order"), [("lstm", "ifgo", [0, 1, 2, 3]), ("gru", "rzn", [1, 0, 2])])
def test_both_kernels_of_a_cell(tmp_path, cell, names, order):
    """As for Keras 2; a GRU's bias has two rows. The layer has a name of the user's, so shapes alone say what it is."""
    gates = len(names)
    given, hidden = normal(66, gates * 80), normal(80, gates * 80, seed=1)
    bias = np.ones((2, gates * 80) if cell == "gru" else gates * 80)
    found = layers(keras(tmp_path, mine__cell__vars__0=given, mine__cell__vars__1=hidden, mine__cell__vars__2=bias))
    expected = [f"mine.cell.weight_{which}_l0[{name}]" for which in ("ih", "hh") for name in names]
    assert [name for name in found if "mine" in name] == expected
    for matrices_, array in ((expected[:gates], given), (expected[gates:], hidden)):
        parts = np.split(array.T, gates)
        for name, place in zip(matrices_, order, strict=True):
            part = found[name].tensor
            assert np.array_equal(part if part.shape == parts[place].shape else part.T, parts[place]), name


def test_kernels_of_one_layer_keep_their_numbers(tmp_path):
    depthwise, pointwise = normal(3, 3, 70, 2), normal(1, 1, 140, 66)
    found = keras(
        tmp_path,
        separable_conv2d__vars__0=depthwise,
        separable_conv2d__vars__1=pointwise,
        separable_conv2d__vars__2=np.ones(66),
        depthwise_conv2d__vars__0=normal(3, 3, 70, 1),
        depthwise_conv2d__vars__1=np.ones(70),
    )
    assert shapes(found) == {
        "depthwise_conv2d": ("convolution", (70, 1, 3, 3)),
        "separable_conv2d.0": ("convolution", (140, 1, 3, 3)),
        "separable_conv2d.1": ("pointwise convolution", (66, 140)),
    }
    first, second = (layers(found)[f"separable_conv2d.{n}"].tensor for n in range(2))
    assert np.array_equal(first[2 * 5 + 1, 0], depthwise[:, :, 5, 1])
    assert np.array_equal(second, pointwise[0, 0].T)


def test_attention_has_linear_maps(tmp_path):
    query, output = normal(128, 4, 32), normal(4, 32, 128)
    found = keras(
        tmp_path,
        mha__query_dense__vars__0=query,
        mha__query_dense__vars__1=np.ones((4, 32)),
        mha___value_dense__vars__0=query,
        mha__output_dense__vars__0=output,
        self_attention__out__vars__0=output,
        self_attention__attention_output__vars__0=output,
        self_attention__attention_output__vars__1=np.ones(128),
    )
    names = ("mha._value_dense", "mha.query_dense", "mha.output_dense", "self_attention.attention_output", "self_attention.out")  # fmt: skip
    assert {name: shape for name, (_, shape) in shapes(found).items()} == {f"{n}": (128, 128) for n in names}
    assert np.array_equal(found["mha.query_dense.weight"], query.reshape(128, 128).T)
    assert np.array_equal(found["mha.output_dense.weight"], output.reshape(128, 128).T)


def test_convolutions_whose_names_only_resemble_others(tmp_path):
    found = keras(
        tmp_path,
        conv1d_q__vars__0=normal(3, 64, 128),
        depthwise_separable_conv__vars__0=normal(3, 3, 32, 64),
        depthwise_conv2d_1__vars__0=normal(3, 3, 32, 2),
        self_attention_out__vars__0=normal(4, 16, 64),
    )
    assert {name: shape for name, (_, shape) in shapes(found).items()} == {
        "conv1d_q": (128, 64, 3),
        "depthwise_conv2d_1": (64, 1, 3, 3),
        "depthwise_separable_conv": (64, 32, 3, 3),
        "self_attention_out": (64, 64),
    }


def test_embeddings_are_not_turned(tmp_path):
    table = normal(100, 70)
    found = keras(
        tmp_path,
        embedding__vars__0=table,
        token_emb__vars__0=table,
        patch_embedding__vars__0=table,  # with a bias it is a linear layer
        patch_embedding__vars__1=np.ones(70),
    )
    assert {name: shape for name, (_, shape) in shapes(found).items()} == {
        "embedding": (100, 70),
        "patch_embedding": (70, 100),
        "token_emb": (100, 70),
    }
    kinds = {name: kind for name, (kind, _) in shapes(found).items()}
    assert kinds["embedding"] == kinds["token_emb"] == "embedding"


@pytest.mark.parametrize("name", ["conv2d_transpose", "up"])
def test_transposed_convolutions_have_outputs_first(tmp_path, name):
    """Known by the layer's name, or by its bias."""
    kernel = normal(3, 3, 70, 66)  # (kernel, outputs, inputs)
    arrays = {f"{name}__vars__0": kernel} | ({f"{name}__vars__1": np.ones(70)} if name == "up" else {})
    found = layers(keras(tmp_path, **arrays))[name]
    assert "a transposed convolution" in found.orientation
    assert found.shape == (70, 66, 3, 3)
    assert np.array_equal(found.tensor[5, 6], kernel[:, :, 5, 6])


def test_no_array_takes_the_name_of_another(tmp_path):
    """Of two arrays that would have one name the second has a number."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/kernel"], file["a/weight"], file["b/kernel"] = normal(70, 66), normal(70, 66), normal(70, 66)
    assert list(read(tmp_path / "a.h5")) == ["a.weight", "a.weight (2)", "b.weight"]


@pytest.mark.parametrize("kind", ["npz", "pkl"])
def test_flax_in_files_of_other_kinds(tmp_path, kind):
    """A kernel of numpy has inputs first; one of torch, as of sparse convolutions, is left as it is."""
    dense, query, conv = normal(70, 66), normal(70, 4, 17), normal(3, 3, 70, 66)
    arrays = {"fc/kernel": dense, "fc/bias": np.ones(66), "attn/query/kernel": query, "conv/kernel": conv}
    path = tmp_path / f"a.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        tree = {"fc": {"kernel": dense, "bias": np.ones(66)}, "attn": {"query": {"kernel": query}}}
        path.write_bytes(pickle.dumps(tree | {"conv": {"kernel": conv}}))
    found = read(path)
    assert list(found) == ["fc.weight", "fc.bias", "attn.query.weight", "conv.weight"]
    assert np.array_equal(found["fc.weight"], dense.T)
    assert np.array_equal(found["attn.query.weight"], query.reshape(70, 68).T)
    assert np.array_equal(found["conv.weight"][5, 6], conv[:, :, 6, 5])
    torch.save({"conv.kernel": torch.from_numpy(dense)}, tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt")) == ["conv.kernel"]
