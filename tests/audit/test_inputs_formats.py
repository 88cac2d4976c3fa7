"""TorchScript, ONNX, and the files of other libraries."""

import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from sgdtails.audit.weights.matrices import matrices
from sgdtails.errors import InputError
from tests.audit.helpers import layers, named, read, reasons

RNG = np.random.default_rng(0)


# TorchScript, ONNX, and files of other libraries.


class Voice(nn.Module):
    """A transform that is not trained, convolutions, an LSTM and a linear layer: like a voice detector."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(66, 70, 3), nn.ReLU(), nn.ConvTranspose1d(70, 68, 3))
        self.rnn = nn.LSTM(68, 72, batch_first=True)
        self.fc = nn.Linear(72, 66)

    def forward(self, x):
        return self.fc(self.rnn(self.encoder(x).transpose(1, 2))[0])


@pytest.fixture(scope="module")
def voice():
    torch.manual_seed(0)
    return Voice().eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:")
def test_torchscript_has_the_layers_of_the_state_dict(tmp_path, voice):
    torch.jit.script(voice).save(str(tmp_path / "a.jit"))
    found = read(tmp_path / "a.jit")
    assert named(found) == named(voice.state_dict())
    assert found.read_as == "a TorchScript archive"


def test_onnx_has_the_layers_of_the_state_dict(tmp_path, voice):
    """Case 14: as an exporter writes them, with inputs first for products of matrices and other orders of gates."""
    onnx = pytest.importorskip("onnx")
    state = {name: value.numpy() for name, value in voice.state_dict().items()}
    order = [0, 3, 1, 2]  # i, f, g, o as i, o, f, g
    gates = lambda weight: np.concatenate([np.split(weight, 4)[n] for n in order])[None]  # noqa: E731
    arrays = {
        "encoder.0.weight": state["encoder.0.weight"],
        "encoder.2.weight": state["encoder.2.weight"],
        "onnx::LSTM_1": gates(state["rnn.weight_ih_l0"]),
        "onnx::LSTM_2": gates(state["rnn.weight_hh_l0"]),
        "onnx::MatMul_3": state["fc.weight"].T.copy(),
    }
    helper = onnx.helper
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "encoder.0.weight"], ["a"], name="/encoder/0/Conv"),
        node("ConvTranspose", ["a", "encoder.2.weight"], ["b"], name="/encoder/2/ConvTranspose"),
        node("LSTM", ["b", "onnx::LSTM_1", "onnx::LSTM_2"], ["c"], name="/rnn/LSTM", hidden_size=72),
        node("MatMul", ["c", "onnx::MatMul_3"], ["y"], name="/fc/MatMul"),
    ]
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)  # noqa: E731
    graph = helper.make_graph(
        nodes, "g", [value("x")], [value("y")], [onnx.numpy_helper.from_array(a, n) for n, a in arrays.items()]
    )
    onnx.save(helper.make_model(graph, producer_name="test"), tmp_path / "a.onnx")
    found = {matrix.name: matrix for matrix in matrices(read(tmp_path / "a.onnx"))[0]}
    expected = matrices({name: torch.from_numpy(value) for name, value in state.items()})[0]
    assert [matrix.shape for matrix in found.values()] == [matrix.shape for matrix in expected]
    assert [*found][-1] == "fc.MatMul"
    assert "rnn.LSTM.weight_hh_l0[o]" in found
    for matrix, same in zip(found.values(), expected, strict=True):
        assert np.array_equal(matrix.tensor, same.tensor), matrix.name


@pytest.mark.parametrize("name", ["up", "deconv", "ConvTranspose_0"])
@pytest.mark.parametrize("biased", [True, False])
def test_onnx_turns_a_transposed_convolution_once(tmp_path, name, biased):
    """Whether its name says what it is or not, and with a bias or without."""
    onnx = pytest.importorskip("onnx")
    helper, weight = onnx.helper, RNG.standard_normal((70, 66, 3)).astype(np.float32)  # (in, out, kernel)
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)  # noqa: E731
    arrays = {f"{name}.weight": weight} | ({f"{name}.bias": np.ones(66, np.float32)} if biased else {})
    node = helper.make_node("ConvTranspose", ["x", *arrays], ["y"], name=f"/{name}/ConvTranspose")
    tensors = [onnx.numpy_helper.from_array(array, key) for key, array in arrays.items()]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", [value("x")], [value("y")], tensors)), tmp_path / "a.onnx"
    )
    ((_, matrix),) = layers(read(tmp_path / "a.onnx")).items()
    assert np.array_equal(matrix.tensor, weight.swapaxes(0, 1))


def test_onnx_looks_into_subgraphs_and_constants(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, weight = onnx.helper, np.ones((3, 2), np.float32)
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)  # noqa: E731

    def branch(name):
        constant = helper.make_node("Constant", [], [f"{name}.w"], value=onnx.numpy_helper.from_array(weight))
        product = helper.make_node("Gemm", ["x", f"{name}.w"], ["y"], name=f"/{name}/Gemm", transB=1)
        return helper.make_graph([constant, product], name, [], [value("y")])

    condition = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    choice = helper.make_node("If", ["c"], ["z"], then_branch=branch("one"), else_branch=branch("two"))
    graph = helper.make_graph([choice], "g", [value("x"), condition], [value("z")])
    onnx.save(helper.make_model(graph), tmp_path / "a.onnx")
    assert named(read(tmp_path / "a.onnx")) == {"one.w": weight.tolist(), "two.w": weight.tolist()}


def test_gguf(tmp_path):
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(0)
    weight, stack = rng.standard_normal((66, 128), np.float32), rng.standard_normal((4, 66, 128), np.float32)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("blk.0.attn_q.weight", weight)
    writer.add_tensor("blk.0.attn_k.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.add_tensor("blk.0.ffn_up_exps.weight", stack)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    q, k, *experts = matrices(read(tmp_path / "a.gguf"))[0]
    assert (q.name, q.kind, q.dtype) == ("blk.0.attn_q", "attention", "F32")
    assert np.array_equal(q.tensor, weight)
    assert (k.dtype, k.shape) == ("Q8_0", (66, 128))
    assert "dequantised" in k.orientation
    np.testing.assert_allclose(k.tensor, weight, atol=0.03)
    assert np.array_equal(experts[2].tensor, stack[2])


@pytest.mark.parametrize("version", [2, 3])
def test_keras(tmp_path, version):
    h5py = pytest.importorskip("h5py")
    dense, kernel = RNG.random((70, 66)), RNG.random((3, 3, 70, 66))
    names = {
        2: ("model_weights/dense/dense/kernel:0", "model_weights/conv/conv/kernel:0", "optimizer_weights/adam/m:0"),
        3: ("layers/dense/vars/0", "layers/conv/vars/0", "optimizer/vars/0"),
    }[version]
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        for name, array in zip(names, (dense, kernel, dense), strict=True):
            file[name] = array
    path = tmp_path / "model.weights.h5"
    if version == 3:
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
            archive.writestr("config.json", "{}")
    found = {matrix.name.rpartition(".")[2]: matrix for matrix in matrices(read(path))[0]}
    assert {name: matrix.shape for name, matrix in found.items()} == {"dense": (66, 70), "conv": (66, 70, 3, 3)}
    assert np.array_equal(found["dense"].tensor, dense.T)
    assert np.array_equal(found["conv"].tensor[5, 6], kernel[:, :, 6, 5])


def test_keras_recurrent_layers(tmp_path):
    h5py = pytest.importorskip("h5py")
    gates = RNG.random((3, 70, 72))  # z, r, h
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["gru/gru_cell/kernel:0"] = RNG.random((66, 3 * 70))
        file["gru/gru_cell/recurrent_kernel:0"] = np.concatenate([gate[:, :70].T for gate in gates], 1)
        file["dense/dense/kernel:0"] = RNG.random((70, 66))
    found = {matrix.name: matrix for matrix in matrices(read(tmp_path / "a.h5"))[0]}
    names = [f"gru.gru_cell.weight_{w}_l0[{gate}]" for w in ("ih", "hh") for gate in "rzn"]
    assert list(found) == ["dense", *names]
    assert np.array_equal(found["gru.gru_cell.weight_hh_l0[r]"].tensor, gates[1][:, :70])


def test_flax(tmp_path):
    """As flax.serialization writes it: extension types, numbers of 16 bits, large arrays in pieces."""
    msgpack = pytest.importorskip("msgpack")

    def packed(array, dtype=None):
        content = msgpack.packb((array.shape, dtype or array.dtype.name, array.tobytes()), use_bin_type=True)
        return msgpack.ExtType(1, content)

    dense, heads = RNG.random((70, 66)).astype(np.float32), RNG.random((70, 4, 17)).astype(np.float32)
    brain = (np.float32([[1.5, -2], [0.25, 3]]).view(np.uint32) >> 16).astype(np.uint16)
    flat = np.arange(12, dtype=np.float32)
    pieces = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 3, "1": 4},
        "chunks": {"0": packed(flat[:7]), "1": packed(flat[7:])},
    }
    tree = {
        "params": {
            "fc": {"kernel": packed(dense), "bias": packed(np.ones(66, np.float32))},
            "attention": {"query": {"kernel": packed(heads)}},
            "embed": {"embedding": pieces},
            "brain": packed(brain, "bfloat16"),
        },
        "opt_state": {"0": {"mu": {"fc": {"kernel": packed(dense)}}}},
    }
    (tmp_path / "a.msgpack").write_bytes(msgpack.packb(tree, use_bin_type=True))
    found = read(tmp_path / "a.msgpack")
    assert list(found) == ["fc.weight", "fc.bias", "attention.query.weight", "embed.embedding", "brain"]
    assert np.array_equal(found["fc.weight"], dense.T)
    assert np.array_equal(found["attention.query.weight"], heads.reshape(70, 68).T)
    assert np.array_equal(found["embed.embedding"], flat.reshape(3, 4))
    assert found["brain"].tolist() == [[1.5, -2], [0.25, 3]]


def test_numpy_archives(tmp_path):
    arrays = {"a.weight": RNG.random((3, 2)), "b": np.ones((2, 2), np.float16)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    np.save(tmp_path / "a.npy", arrays["a.weight"])
    assert named(read(tmp_path / "a.npz")) == named(arrays)
    assert named(read(tmp_path / "a.npy")) == {"array": arrays["a.weight"].tolist()}


def test_an_array_of_objects_is_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones((3, 2)), names=np.array([["a", 1]], object), allow_pickle=True)
    found = read(tmp_path / "a.npz")
    assert list(found) == ["w"]
    assert reasons(found)["names"] == "Python objects, which are not read"
    objects = np.array(["a", 1], object)
    np.savez(tmp_path / "b.npz", names=objects, allow_pickle=True)
    np.save(tmp_path / "b.npy", objects, allow_pickle=True)
    for name in ("b.npz", "b.npy"):
        with pytest.raises(InputError, match="holds Python objects alone"):
            read(tmp_path / name)


def test_a_model_of_onnx_without_a_producer_is_known(tmp_path):
    """After its version comes the number of the model, field 5, or the name of the producer, field 2."""
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto(ir_version=8, model_version=3)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w"))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    assert list(read(tmp_path / "a.onnx")) == ["w"]
