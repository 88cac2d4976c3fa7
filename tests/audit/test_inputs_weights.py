"""What becomes a layer, and what is left out and why."""

import numpy as np
import pytest
import torch

from sgdtails.audit.checkpoint import Deferred
from sgdtails.audit.weights.matrices import matrices
from tests.audit.helpers import close, layers, reasons


def found(**shapes):
    """Name, kind and shape of the matrices in a state with random tensors of these shapes (dots as __)."""
    state = {key.replace("__", "."): torch.randn(shape) for key, shape in shapes.items()}
    return [(matrix.name, matrix.kind, tuple(matrix.tensor.shape)) for matrix in matrices(state)[0]]


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("fc__weight", (128, 70), [("fc", "linear", (128, 70))]),
        ("head__weight", (10, 70), [("head", "linear", (70, 10))]),
        ("conv__weight", (8, 4, 3, 3), [("conv", "convolution", (8, 4, 3, 3))]),
        ("conv__weight", (8, 4, 3), [("conv", "convolution", (8, 4, 3))]),
        ("conv__weight", (8, 4, 3, 3, 3), [("conv", "convolution", (8, 4, 3, 3, 3))]),
        ("depthwise__weight", (8, 1, 3, 3), [("depthwise", "convolution", (8, 1, 3, 3))]),
        ("conv__weight", (128, 64, 1, 1), [("conv", "pointwise convolution", (128, 64))]),
        ("conv__weight", (1, 512, 4, 4), [("conv", "convolution", (1, 512, 4, 4))]),
        ("conv__weight", (1, 1, 4, 4), []),
        ("conv__w_0", (1, 512, 4, 4), [("conv.w_0", "convolution", (1, 512, 4, 4))]),
        ("table", (1, 14, 14, 96), [("table", "convolution", (14, 14, 96))]),
        ("wte__weight", (100, 16), [("wte", "embedding", (100, 16))]),
        ("pos_embedding", (1, 197, 16), [("pos_embedding", "embedding", (197, 16))]),
        ("class_token", (1, 1, 16), []),
        ("bn__weight", (16,), []),
        ("attn__bias", (1, 1, 64, 64), []),
        ("attn__in_proj_weight", (210, 70), [(f"attn.in_proj_weight[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__qkv__weight", (210, 70), [(f"attn.qkv[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__c_attn__weight", (70, 210), [(f"attn.c_attn[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__q_proj__weight", (70, 70), [("attn.q_proj", "attention", (70, 70))]),
        (
            "attn__qkv_proj__weight",
            (280, 140),
            [(f"attn.qkv_proj[{p}]", "attention", (70 + 70 * (p == "q"), 140)) for p in "qkv"],
        ),
        ("attn__qkv_proj__weight", (141, 70), [("attn.qkv_proj", "attention", (141, 70))]),
        ("mixer__in_proj__weight", (210, 70), [("mixer.in_proj", "linear", (210, 70))]),  # of Mamba: x and z
        ("absolute_pos_embed", (1, 14, 14, 48), [("absolute_pos_embed", "convolution", (14, 14, 48))]),
        ("attn__query_key_value__weight", (210, 70), [("attn.query_key_value", "attention", (210, 70))]),
        ("patch__weight", (96, 3, 4, 4), [("patch", "convolution", (96, 3, 4, 4))]),
    ],
)
def test_what_becomes_a_matrix(key, shape, expected):
    assert found(**{key: shape}) == expected


@pytest.mark.parametrize("name", ["class_embed", "decoder_embed", "decomposition"])
def test_a_layer_with_a_bias_is_no_embedding(name):
    """Nor is one whose name only ends like a position."""
    bias = {} if name == "decomposition" else {f"{name}__bias": (128,)}
    assert found(**{f"{name}__weight": (128, 70)}, **bias) == [(name, "linear", (128, 70))]
    assert [kind for _, kind, _ in found(position_table__weight=(128, 70), emb__weight=(128, 70))] == ["embedding"] * 2


def test_parts_of_fused_projections_are_those_of_the_tensor():
    state = {
        "in_proj_weight": torch.randn(210, 70),
        "c_attn.weight": torch.randn(80, 240),
        "c_fc.weight": torch.randn(80, 320),
    }
    parts = {matrix.name: matrix.tensor for matrix in matrices(state)[0]}
    assert torch.equal(parts["in_proj_weight[k]"], state["in_proj_weight"][70:140])
    assert torch.equal(parts["c_attn[k]"], state["c_attn.weight"][:, 80:160].T)
    assert torch.equal(parts["c_fc"], state["c_fc.weight"].T)
    assert all(part.untyped_storage().data_ptr() for part in parts.values())


def test_whole_numbers_are_none_and_floats_of_one_byte_are_weights():
    state = {"index": torch.ones(9, 9, dtype=torch.int64), "logical": torch.ones(9, 9) > 0}
    eight = state["eight.weight"] = torch.randn(9, 9).to(torch.float8_e4m3fn)
    assert list(layers(state)) == ["eight"]
    close(layers(state)["eight"], eight.float())
    assert reasons(state) == dict.fromkeys(("index", "logical"), "whole numbers or logical values")


def test_tied_weights_count_once():
    weight = torch.randn(80, 70)
    state = {"wte.weight": weight, "lm_head.weight": weight, "other.weight": weight.clone()}
    assert [(part.name, part.kind) for part in matrices(state)[0]] == [("wte", "embedding"), ("other", "linear")]
    assert reasons(state) == {"lm_head.weight": "the same weights as wte.weight"}


def test_every_array_is_in_a_layer_or_left_out():
    state = {
        "a.weight": torch.randn(70, 66),
        "a.bias": torch.randn(70),
        "n": torch.tensor(1.0),
        "b.weight": torch.randn(1, 8),
        "steps": torch.ones(3, 3, dtype=torch.int32),
    }
    assert [*layers(state)] == ["a"]
    assert reasons(state) == {
        "a.bias": "a bias",
        "n": "a single number",
        "steps": "whole numbers or logical values",
        "b": "one row or column",
    }


# Cases 4 and 16: a weight in two arrays.


def test_a_pruning_mask_is_applied():
    weight = torch.randn(80, 70)
    state = {"fc.weight_orig": weight, "fc.weight_mask": (weight.abs() > 1).float(), "fc.bias": torch.ones(80)}
    (matrix,) = matrices(state)[0]
    assert (matrix.name, matrix.is_view) == ("fc", False)
    assert "pruning mask" in matrix.orientation
    close(matrix, weight.where(weight.abs() > 1, torch.tensor(0.0)))
    assert reasons(state) == {"fc.bias": "a bias"}


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weight_norm_is_composed(dim, new):
    layer = torch.nn.Conv1d(70, 80, 3)
    (torch.nn.utils.parametrizations.weight_norm if new else torch.nn.utils.weight_norm)(layer, dim=dim)
    state = {f"conv.{key}": 2 * value.detach() for key, value in layer.state_dict().items()}
    (matrix,) = matrices(state)[0]
    assert (matrix.name, matrix.kind) == ("conv", "convolution")
    np.testing.assert_allclose(matrix.tensor, 2 * layer.weight.detach().numpy(), rtol=1e-5)


def test_spectral_norm_and_other_parametrisations_are_taken_before_them():
    layer = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(70, 70))
    old = {"fc.weight_orig": torch.randn(66, 70), "fc.weight_u": torch.randn(66), "fc.weight_v": torch.randn(70)}
    assert list(layers(old)) == ["fc"]
    assert reasons(old) == {}
    state = {key: value for key, value in layer.state_dict().items() if key.endswith("original")}
    assert list(layers(state)) == ["weight"]


# Cases 7 and 8: tensors without numbers, or not in rows and columns.


def test_tensors_without_numbers_are_rows_with_a_reason():
    with torch.device("meta"):
        meta = {name: torch.randn(80, 70) for name in ("m.weight", "n.weight")}
    state = {"empty.weight": torch.zeros(0, 3, 3, 3), **meta, "fc.weight": torch.randn(80, 70)}
    found = layers(state)
    assert list(found) == ["empty", "m", "n", "fc"]
    assert found["empty"].reason == "empty: it has no numbers"
    assert found["m"].reason == found["n"].reason == "no numbers: it is on the meta device, which holds shapes alone"
    assert found["fc"].reason is None


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_tensors_are_dense_if_they_fit(layout, monkeypatch):
    weight = torch.randn(80, 70).relu()
    state = {"fc.weight": weight.to_sparse(layout=layout)}
    close(layers(state)["fc"], weight)
    monkeypatch.setattr("sgdtails.config.validation.memory", lambda: 2**10)
    assert layers(state)["fc"].reason == "sparse: as a dense matrix it would take 0.0 GiB"


@pytest.mark.filterwarnings("ignore:.*quantize.*:")
def test_quantised_tensors_of_torch():
    weight = torch.quantize_per_tensor(torch.randn(80, 70), 0.1, 3, torch.qint8)
    matrix = layers({"fc.weight": weight})["fc"]
    assert (matrix.dtype, matrix.is_view) == ("qint8", False)
    close(matrix, weight.dequantize())


def test_a_deferred_array_is_read_when_it_is_asked_for():
    asked = []
    array = Deferred((70, 66), "Q4_K", lambda: asked.append(1) or np.ones((70, 66), np.float32))
    (matrix,) = matrices({"fc.weight": array})[0]
    assert (matrix.shape, matrix.dtype, asked) == ((70, 66), "Q4_K", [])
    assert matrix.tensor.sum() == 70 * 66


# Case 17: LoRA.


@pytest.mark.parametrize(
    ("down", "up", "name"),
    [
        ("base.q_proj.lora_A.weight", "base.q_proj.lora_B.weight", "base.q_proj[lora]"),
        ("q.lora_A.default.weight", "q.lora_B.default.weight", "q[lora]"),
        ("q.lora_A.mine.weight", "q.lora_B.mine.weight", "q[lora mine]"),
        ("q.lora_down.weight", "q.lora_up.weight", "q[lora]"),
        ("q.lora_A", "q.lora_B", "q[lora]"),
        ("lora_A", "lora_B", "weight[lora]"),
        ("q.lora_a.weight", "q.lora_b.weight", "q[lora]"),
    ],
)
def test_a_pair_of_lora_is_its_product(down, up, name):
    first, second = torch.randn(8, 256), torch.randn(128, 8)
    base = f"{name.partition('[')[0]}.weight"
    found = layers({base: torch.randn(128, 256), down: first, up: second})
    assert list(found) == [name.partition("[")[0], name]
    assert found[name].orientation == "one output's weights; LoRA's B A, of rank 8"
    np.testing.assert_allclose(found[name].tensor, second @ first, atol=1e-4)


@pytest.mark.parametrize("outputs", [128, 256])
def test_a_pair_of_lora_with_inputs_first(outputs):
    """As MLX has it; with as many outputs as inputs the rank tells."""
    first, second = torch.randn(256, 8), torch.randn(8, outputs)
    (matrix,) = matrices({"q.lora_a": first, "q.lora_b": second, "q.lora_alpha": torch.ones(())})[0]
    assert (matrix.name, matrix.shape) == ("q[lora]", (outputs, 256))
    np.testing.assert_allclose(matrix.tensor, (first @ second).T, atol=1e-4)


@pytest.mark.parametrize("name", ["q.lora_A.weight", "q.lora_down.weight"])
def test_a_pair_of_lora_whose_rank_exceeds_the_weight(name):
    """A torch name says where the rank is."""
    first, second = torch.randn(64, 32), torch.randn(32, 64)
    other = name.replace("_A", "_B").replace("down", "up")
    (matrix,) = matrices({name: first, other: second})[0]
    assert matrix.shape == (32, 32)
    np.testing.assert_allclose(matrix.tensor, second @ first, atol=1e-4)


def test_a_projection_called_in_proj_is_attention_beside_a_square_one():
    """Mamba's is not: its output projection takes twice as many numbers."""
    fused, square, wide = torch.randn(210, 70), torch.randn(70, 70), torch.randn(70, 140)
    assert len(matrices({"a.in_proj.weight": fused, "a.out_proj.weight": square})[0]) == 4
    assert len(matrices({"a.in_proj.weight": fused, "a.out_proj.weight": wide})[0]) == 2


def test_a_pair_of_lora_for_an_embedding():
    first, second = torch.randn(8, 300), torch.randn(96, 8)  # (rank, tokens), (dimension, rank)
    names = [f"wte.lora_embedding_{which}.default" for which in "AB"]
    (matrix,) = matrices(dict(zip(names, (first, second), strict=True)))[0]
    assert (matrix.name, matrix.kind, matrix.shape) == ("wte[lora]", "embedding", (300, 96))
    np.testing.assert_allclose(matrix.tensor, (second @ first).T, atol=1e-4)


def test_a_pair_of_lora_before_training_is_zero():
    (matrix,) = matrices({"q.lora_A.weight": torch.randn(8, 256), "q.lora_B.weight": torch.zeros(256, 8)})[0]
    assert matrix.reason == "zero: one of LoRA's matrices is, as before training"
    assert matrix.shape == (256, 256)


def test_a_pair_of_lora_for_a_convolution():
    first, second = torch.randn(4, 16, 3, 3), torch.randn(32, 4, 1, 1)
    (matrix,) = matrices({"conv.lora_down.weight": first, "conv.lora_up.weight": second})[0]
    assert (matrix.kind, matrix.shape) == ("convolution", (32, 16, 3, 3))
    expected = torch.einsum("or,rikl->oikl", second[:, :, 0, 0], first)
    np.testing.assert_allclose(matrix.tensor, expected, atol=1e-5)


# Case 18: what is saved beside weights.


def test_buffers_are_left_out_by_their_names():
    names = {
        "attn.attn_mask": "a mask",
        "queue": "a queue of features",
        "rope.cos_cached": "a cache of constants",
        "bn.running_mean": "a running statistic",
        "moco.queue": "a queue of features",
        "attn.masked_bias": "a mask",
        "rope.inv_freq": "a cache of constants",
        "k_cache": "a cache of constants",
        "attn.relative_position_index": "a table of constants",
        "fc.exp_avg_sq": "state of an optimiser",
    }
    state = {name: torch.randn(66, 70) for name in names}
    assert layers(state) == {}
    assert reasons(state) == names
    # A module may be called so: these are weights.
    assert list(found(mask__weight=(66, 70), queue__proj__weight=(66, 70))) == [
        ("mask", "linear", (66, 70)),
        ("queue.proj", "linear", (66, 70)),
    ]


def test_names_in_the_config_are_left_out():
    state = {"stft_conv.weight": torch.randn(258, 1, 256), "fc.weight": torch.randn(66, 70)}
    assert reasons(state, "*mel*", "*stft*") == {"stft_conv.weight": "config key audit.exclude: *stft*"}
    (basis, _) = layers(state).values()
    assert basis.orientation == "the kernel of an output channel: one input channel, or depthwise"
