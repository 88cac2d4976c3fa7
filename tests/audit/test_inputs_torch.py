"""Files of torch: nested dictionaries, whole modules, foreign objects, tensors of every kind."""

import collections
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sgdtails.errors import InputError
from tests.audit.helpers import close, layers, named, read, reasons

# Nested dictionaries.


@pytest.mark.parametrize(
    "keys", [(), ("state_dict",), ("model_state",), ("net", "module"), ("ckpt", "model", "weights")]
)
def test_a_state_dict_at_any_depth(saved, keys):
    state = OrderedDict(weight=torch.randn(4, 3), bias=torch.randn(4))
    held = state
    for key in reversed(keys):
        moments = {"state": {0: {"exp_avg": torch.ones(4, 3)}}, "param_groups": [{"lr": 0.1}]}
        held = {key: held, "epoch": 3, "optimizer": moments, "optimizer_state": {"exp_avg": torch.ones(4, 3)}}
    found = saved(held)
    assert named(found) == named(state)
    if keys:
        assert found.read_as.endswith(f": its {'.'.join(keys)}")
        assert set(reasons(found).values()) >= {"training's optimizer", "training's optimizer_state"}


def test_the_optimiser_is_known_by_what_it_holds(saved):
    layer = nn.Linear(3, 4)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimiser.step()
    found = saved({"net": layer.state_dict(), "whatever": optimiser.state_dict()})
    assert list(found) == ["weight", "bias"]
    assert {entry.reason for entry in found.skipped} == {"state of an optimiser"}


def test_a_loose_matrix_beside_a_state_dict(saved):
    """Case 13."""
    found = saved({"state_dict": {"fc.weight": torch.ones(3, 2)}, "prototypes": torch.randn(10, 128)})
    assert list(found) == ["fc.weight", "prototypes"]


def test_parts_of_a_file(saved):
    held = {
        "student": {"fc.weight": torch.ones(3, 2)},
        "teacher": {"fc.weight": torch.zeros(3, 2)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3, 2)}}},
    }
    assert list(saved(held)) == ["student.fc.weight", "teacher.fc.weight"]
    found = saved(held, part="teacher")
    assert named(found) == {"fc.weight": np.zeros((3, 2)).tolist()}
    assert reasons(found)["student.fc.weight"] == "not in part teacher"
    with pytest.raises(InputError, match=r"unknown part 'taecher' in config key audit\.part, of .*'teacher'"):
        saved(held, part="taecher")


def test_parts_of_names_with_dots(tmp_path):
    save_file({f"{name}.fc.weight": torch.ones(3, 2) for name in ("text", "vision")}, tmp_path / "a.safetensors")
    assert list(read(tmp_path / "a.safetensors", part="text")) == ["text.fc.weight"]


def test_lists_and_single_tensors(saved):
    assert list(saved([torch.ones(2, 2), torch.ones(3, 3)])) == ["0", "1"]
    assert list(saved(torch.ones(2, 2))) == ["tensor"]


def test_a_container_within_itself_is_read_once(saved):
    held = {"fc.weight": torch.ones(2, 2)}
    held["again"] = held
    assert list(saved(held)) == ["fc.weight"]


# Whole modules, and objects of classes that are not here.


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.register_buffer("table", torch.ones(5, 5))


def test_a_whole_module_is_read_by_its_parameters(saved):
    net = Net()
    found = saved(net)
    assert named(found) == named(dict(net.named_parameters()))
    assert reasons(found)["table"] == "a buffer"
    assert list(saved({"model": net, "epoch": 1})) == list(found)


@pytest.mark.filterwarnings("ignore")  # torch.ao and scripts are deprecated; files with them are there all the same
def test_quantised_modules(tmp_path):
    """Their weights are packed with their biases: in a state dict, a whole module and a script."""
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no quantised layers")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(70, 66), nn.ReLU(), nn.Linear(66, 80))
    net = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    torch.save(net.state_dict(), tmp_path / "state.pt")
    torch.save(net, tmp_path / "net.pt")
    torch.jit.script(net).save(str(tmp_path / "net.jit"))
    for file in ("state.pt", "net.pt", "net.jit"):
        first, second = layers(read(tmp_path / file)).values()
        close(first, net[0].weight().dequantize())
        close(second, net[2].weight().dequantize())


def test_a_pair_under_a_name_of_a_state_dict_keeps_that_name(saved):
    found = saved({"conv.weight": torch.ones(3, 2), "fc._packed_params": (torch.ones(4, 3), torch.ones(4))})
    assert list(found) == ["conv.weight", "fc._packed_params.0", "fc._packed_params.1"]


def test_hyper_parameters_with_foreign_objects(saved):
    """Case 11: a checkpoint of Lightning whose hyper-parameters hold a loss, and a node of a config library."""
    held = {
        "epoch": 1,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {"net.weight": torch.randn(4, 3)},
        "hyper_parameters": {
            "loss": nn.CrossEntropyLoss(weight=torch.ones(3)),
            "node": FOREIGN,
            "net": nn.Linear(2, 2),
        },
        "loops": {"fit_loop": {"state": collections.Counter("ab")}},
    }
    found = saved(held)
    assert list(found) == ["net.weight"]
    assert {entry.reason for entry in found.skipped} == {"training's hyper_parameters"}


class Foreign(dict):
    """Of a class with entries, attributes and a state of its own."""

    def __reduce__(self):
        return (Foreign, (), {"content": {"a": 1}}, None, iter({"b": [1, 2]}.items()))

    def __setstate__(self, state):
        raise AssertionError("a class of the file was used")


FOREIGN = Foreign()


def test_numpy_arrays_in_a_pickle(tmp_path):
    """As detectron2 has its models; of any protocol, in any order, of other machines."""
    arrays = {"a.weight": np.arange(6.0).reshape(2, 3), "b.weight": np.asfortranarray(np.ones((3, 2), ">f4"))}
    for protocol in range(2, 6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": arrays, "objects": np.array([{}, 1])}, protocol))
        assert named(read(tmp_path / "a.pkl")) == named(arrays)


def test_other_kinds_of_tensors(saved):
    tensors = {
        "parameter": nn.Parameter(torch.randn(4, 3)),
        "half": torch.randn(4, 3).half(),
        "brain": torch.randn(4, 3).bfloat16(),
        "eight": torch.randn(4, 3).to(torch.float8_e4m3fn),
        "complex": torch.randn(4, 3, dtype=torch.complex64),
        "view": torch.randn(8, 6)[::2, ::2],
        "turned": torch.randn(3, 4).T,
        "empty": torch.zeros(0, 3),
    }
    found = saved(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
    assert found["turned"].stride() == (1, 4)


@pytest.mark.filterwarnings("ignore:.*(quantize|Sparse).*:")
def test_sparse_quantised_and_meta_tensors(saved):
    weight = torch.randn(4, 3).relu()
    whole = torch.quantize_per_tensor(weight, 0.1, 3, torch.quint8)
    channels = torch.quantize_per_channel(weight, torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.zeros(4), 0, torch.qint8)
    found = saved({"coo": weight.to_sparse(), "csr": weight.to_sparse_csr(), "whole": whole, "channels": channels})
    assert torch.equal(found["coo"].to_dense(), weight)
    assert torch.equal(found["csr"].to_dense(), weight)
    assert torch.equal(found["whole"].dequantize(), whole.dequantize())
    assert torch.equal(found["channels"].dequantize(), channels.dequantize())
    assert saved({"meta": torch.empty(4, 3, device="meta")})["meta"].is_meta
