"""What becomes a layer, and what is left out and why: CASES.md's situations, one by one."""

import numpy as np
import pytest
import torch

from sgdtails.audit.checkpoint import Deferred
from sgdtails.audit.weights.matrices import matrices


def layers(state, *exclude):
    return {matrix.name: matrix for matrix in matrices(state, exclude)[0]}


def reasons(state, *exclude):
    return {entry.name: entry.reason for entry in matrices(state, exclude)[1]}


def found(**shapes):
    """Name, kind and shape of the matrices in a state with random tensors of these shapes (dots as __)."""
    state = {key.replace("__", "."): torch.randn(shape) for key, shape in shapes.items()}
    return [(matrix.name, matrix.kind, tuple(matrix.tensor.shape)) for matrix in matrices(state)[0]]


def close(matrix, expected):
    """Its numbers are these, and its shape is known without them."""
    assert tuple(matrix.tensor.shape) == matrix.shape
    np.testing.assert_allclose(np.asarray(matrix.tensor, np.float32), np.asarray(expected, np.float32), rtol=2e-6)


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
        ("wte__weight", (100, 16), [("wte", "embedding", (100, 16))]),
        ("pos_embedding", (1, 197, 16), [("pos_embedding", "embedding", (197, 16))]),
        ("class_token", (1, 1, 16), []),
        ("bn__weight", (16,), []),
        ("attn__bias", (1, 1, 64, 64), []),
        ("attn__in_proj_weight", (210, 70), [(f"attn.in_proj_weight[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__qkv__weight", (210, 70), [(f"attn.qkv[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__c_attn__weight", (70, 210), [(f"attn.c_attn[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__q_proj__weight", (70, 70), [("attn.q_proj", "attention", (70, 70))]),
        ("attn__qkv_proj__weight", (280, 140), [(f"attn.qkv_proj[{p}]", "attention", (70 + 70 * (p == "q"), 140)) for p in "qkv"]),
        ("attn__qkv_proj__weight", (141, 70), [("attn.qkv_proj", "attention", (141, 70))]),
        ("attn__query_key_value__weight", (210, 70), [("attn.query_key_value", "attention", (210, 70))]),
        ("patch__weight", (96, 3, 4, 4), [("patch", "convolution", (96, 3, 4, 4))]),
    ],
)
def test_what_becomes_a_matrix(key, shape, expected):
    assert found(**{key: shape}) == expected


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
        **{"a.weight": torch.randn(70, 66), "a.bias": torch.randn(70), "n": torch.tensor(1.0)},
        **{"b.weight": torch.randn(1, 8), "steps": torch.ones(3, 3, dtype=torch.int32)},
    }
    assert [*layers(state)] == ["a"]
    assert reasons(state) == {
        **{"a.bias": "a bias", "n": "a single number"},
        **{"steps": "whole numbers or logical values", "b": "one row or column"},
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


# Cases 5 and 6: few bits with scales.


@pytest.mark.parametrize(("shape", "scales"), [((256, 384), (2, 3)), ((300, 200), (3, 2)), ((64, 96), (64, 1)), ((64, 96), (1,))])
@pytest.mark.parametrize("name", ["weight_scale_inv", "weight_scale"])
def test_scaled_floats_of_one_byte(shape, scales, name):
    torch.manual_seed(0)
    weight, scale = torch.randn(shape).to(torch.float8_e4m3fn), torch.rand(scales) + 0.5
    (matrix,) = matrices({"fc.weight": weight, f"fc.{name}": scale})[0]
    whole = scale.reshape(*scales, *[1] * (2 - len(scales)))
    rows, columns = (128, 128) if shape[0] > 200 else (-(-n // s) for n, s in zip(shape, whole.shape, strict=True))
    expected = whole.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[: shape[0], : shape[1]]
    close(matrix, weight.float() * expected)


def packed(values, bits, axis, order=None):
    """Whole numbers in words of 32 bits along an axis, one after the other: what libraries write."""
    count = 32 // bits
    values = np.moveaxis(np.asarray(values, np.int64), axis, -1)
    groups = values.reshape(*values.shape[:-1], -1, count)[..., list(order or range(count))]
    words = (groups << (bits * np.arange(count))).sum(-1)
    return torch.from_numpy(np.moveaxis(words.astype(np.uint32).view(np.int32), -1, axis).copy())


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("ordered", [True, False])
def test_gptq(bits, ordered):
    rng = np.random.default_rng(0)
    values, zeros = rng.integers(0, 2**bits, (64, 96)), rng.integers(1, 2**bits, (4, 96))
    scales, groups = rng.random((4, 96)).astype(np.float16), rng.permutation(64) // 16
    state = {
        "q.qweight": packed(values, bits, 0),
        "q.qzeros": packed(zeros - 1, bits, 1),
        "q.scales": torch.from_numpy(scales),
    }
    if ordered:
        state["q.g_idx"] = torch.from_numpy(groups)
    else:
        groups = np.arange(64) // 16
    (matrix,) = matrices(state)[0]
    assert (matrix.name, matrix.kind, matrix.shape) == ("q", "attention", (96, 64))
    close(matrix, ((values - zeros[groups]) * scales.astype(np.float32)[groups]).T)
    assert reasons(state) == {}


def test_awq():
    rng = np.random.default_rng(0)
    values, zeros = rng.integers(0, 16, (64, 96)), rng.integers(0, 16, (2, 96))
    scales, order = rng.random((2, 96)).astype(np.float32), (0, 2, 4, 6, 1, 3, 5, 7)
    state = {"fc.qweight": packed(values, 4, 1, order), "fc.qzeros": packed(zeros, 4, 1, order)}
    (matrix,) = matrices(state | {"fc.scales": torch.from_numpy(scales)})[0]
    groups = np.arange(64) // 32
    close(matrix, ((values - zeros[groups]) * scales[groups]).T)


VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def four_bits(codes):
    return torch.from_numpy((codes[..., 0::2] | (codes[..., 1::2] << 4)).astype(np.uint8))


@pytest.mark.parametrize("kind", ["mx", "nv", "blocks"])
def test_floats_of_four_bits(kind):
    rng = np.random.default_rng(0)
    codes, size = rng.integers(0, 16, (70, 128)), 16 if kind == "nv" else 32
    numbers = np.array([*VALUES, *(-value for value in VALUES)])[codes].reshape(70, -1, size)
    exponents = rng.integers(120, 130, (70, 128 // size)).astype(np.uint8)
    scale = torch.from_numpy(exponents).view(torch.float8_e8m0fnu)
    factors = 2.0 ** (exponents.astype(int) - 127)
    state = {"fc.weight": four_bits(codes), "fc.weight_scale": scale}
    if kind == "nv":
        scale = torch.from_numpy(rng.random((70, 8))).to(torch.float8_e4m3fn)
        factors = scale.double().numpy() * 0.25
        state |= {"fc.weight_scale": scale, "fc.weight_scale_2": torch.tensor(0.25)}
    if kind == "blocks":
        blocks = four_bits(codes).reshape(70, 4, 16)
        state = {"fc_blocks": blocks, "fc_scales": torch.from_numpy(exponents)}
    (matrix,) = matrices(state)[0]
    assert matrix.name == "fc"
    close(matrix, (numbers * factors[..., None]).reshape(70, 128))


def test_layouts_that_are_not_known_are_left_out_with_their_scales():
    eight = torch.randn(64, 64).to(torch.float8_e4m3fn)
    state = {
        **{"a.qweight": torch.ones(30, 32, dtype=torch.int32), "a.scales": torch.rand(4, 32).half()},
        **{"b.weight": eight, "b.weight_scale": torch.rand(5, 7)},
        **{"c.weight": torch.ones(64, 64, dtype=torch.int8), "c.weight_scale_inv": torch.rand(9, 9)},
        "d": torch.ones(8, 8, dtype=torch.uint8).view(torch.float8_e8m0fnu),
    }
    assert layers(state) == {}
    assert reasons(state) == {
        **dict.fromkeys(("a.qweight", "c.weight"), "whole numbers or logical values"),
        **dict.fromkeys(("a.scales", "b.weight_scale", "c.weight_scale_inv"), "scales of quantised weights"),
        "b.weight": "8-bit numbers with a scale of unknown layout",
        "d": "packed numbers, or powers of two, without a layout that is known",
    }


def test_complex_numbers_are_pairs():
    for weight in (torch.randn(70, 66, dtype=torch.complex64), torch.randn(70, 66, dtype=torch.complex64).conj()):
        (matrix,) = matrices({"fc.weight": weight})[0]
        close(matrix, torch.view_as_real(weight.resolve_conj()).reshape(70, 132))
        assert "complex numbers as pairs" in matrix.orientation
    (matrix,) = matrices({"fc.weight": np.full((70, 66), 1 + 2j)})[0]
    assert matrix.tensor[0, :4].tolist() == [1, 2, 1, 2]


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
    monkeypatch.setattr("sgdtails.config.inputs.memory", lambda: 2**10)
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
    ],
)
def test_a_pair_of_lora_is_its_product(down, up, name):
    first, second = torch.randn(8, 256), torch.randn(128, 8)
    base = f"{name.partition('[')[0]}.weight"
    found = layers({base: torch.randn(128, 256), down: first, up: second})
    assert list(found) == [name.partition("[")[0], name]
    assert found[name].orientation == "one output's weights; LoRA's B A, of rank 8"
    np.testing.assert_allclose(found[name].tensor, second @ first, atol=1e-4)


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
        **{"attn.attn_mask": "a mask", "queue": "a queue of features", "rope.cos_cached": "a cache of constants"},
        **{"bn.running_mean": "a running statistic", "moco.queue": "a queue of features"},
        **{"attn.masked_bias": "a mask", "rope.inv_freq": "a cache of constants", "k_cache": "a cache of constants"},
        "attn.relative_position_index": "a table of constants",
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


# Case 19: gates and grouped queries.


@pytest.mark.parametrize(("gates", "names"), [(4, "ifgo"), (3, "rzn")])
def test_gates_are_layers(gates, names):
    hidden, given = torch.randn(gates * 80, 80), torch.randn(gates * 80, 70)
    state = {"rnn.weight_ih_l0": given, "rnn.weight_hh_l0": hidden, "rnn.weight_hh_l0_reverse": hidden + 1}
    found = layers(state)
    expected = [f"rnn.{w}[{n}]" for w in ("weight_ih_l0", "weight_hh_l0", "weight_hh_l0_reverse") for n in names]
    assert list(found) == expected
    assert {matrix.kind for matrix in found.values()} == {"recurrent"}
    close(found[f"rnn.weight_hh_l0[{names[1]}]"], hidden[80:160])
    close(found[f"rnn.weight_ih_l0[{names[-1]}]"], given[-80:])


def test_other_recurrent_layers():
    plain = {"rnn.weight_ih_l0": torch.randn(80, 70), "rnn.weight_hh_l0": torch.randn(80, 80)}
    assert list(layers(plain)) == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]
    projected = torch.nn.LSTM(70, 80, proj_size=66).state_dict()
    assert [name for name in layers(projected) if "ih" in name] == [f"weight_ih_l0[{gate}]" for gate in "ifgo"]
    assert "weight_hr_l0" in layers(projected)
    normed = {f"weight_hh_l0_{part}": torch.randn(320, n) for part, n in (("g", 1), ("v", 80))}
    assert list(layers(normed)) == [f"weight_hh_l0[{gate}]" for gate in "ifgo"]


def test_grouped_queries():
    weight, output = torch.randn(256 + 2 * 64, 192), torch.randn(192, 256)
    found = layers({"attn.qkv_proj.weight": weight, "attn.o_proj.weight": output})
    assert [(name, matrix.shape) for name, matrix in found.items()] == [
        ("attn.qkv_proj[q]", (256, 192)),
        *((f"attn.qkv_proj[{part}]", (64, 192)) for part in "kv"),
        ("attn.o_proj", (192, 256)),
    ]
    close(found["attn.qkv_proj[v]"], weight[-64:])
    assert "grouped queries" in found["attn.qkv_proj[k]"].orientation


# Case 20: stacked experts, and weights with inputs first.


def test_experts_are_matrices():
    stack = torch.randn(8, 96, 64)
    found = layers({"moe.experts.w1": stack})
    assert list(found) == [f"moe.experts.w1[{number}]" for number in range(8)]
    assert {(matrix.kind, matrix.shape) for matrix in found.values()} == {("expert", (96, 64))}
    assert "one of 8 stacked experts, taken as (out, in)" in found["moe.experts.w1[0]"].orientation
    close(found["moe.experts.w1[3]"], stack[3])
    assert found["moe.experts.w1[3]"].is_view


@pytest.mark.parametrize("known_by", ["router", "pair"])
@pytest.mark.parametrize("turned", [True, False])
def test_the_inputs_of_experts(known_by, turned):
    up, down = torch.randn(8, 192, 72), torch.randn(8, 72, 96)  # (out, in) both
    state = {"mlp.experts.gate_up_proj": up.mT if turned else up, "mlp.experts.down_proj": down.mT if turned else down}
    if known_by == "router":
        state["mlp.router.weight"] = torch.randn(8, 72)
    found = layers(state)
    close(found["mlp.experts.gate_up_proj[2]"], up[2])
    close(found["mlp.experts.down_proj[5]"], down[5])
    assert f"stored as {'(in, out)' if turned else '(out, in)'}" in found["mlp.experts.down_proj[5]"].orientation


def test_transposed_weights():
    conv = torch.randn(66, 70, 3)
    for name, bias in (("a", 70), ("up.conv_transpose1", 0), ("deconv", 0)):
        state = {f"{name}.weight": conv} | ({f"{name}.bias": torch.randn(bias)} if bias else {})
        matrix = layers(state)[name]
        assert "a transposed convolution, stored (in, out)" in matrix.orientation
        close(matrix, conv.swapaxes(0, 1))
    assert layers({"deconv.weight": conv, "deconv.bias": torch.randn(66)})["deconv"].shape == (66, 70, 3)
    linear = torch.randn(66, 70)
    close(layers({"fc.weight": linear, "fc.bias": torch.randn(70)})["fc"], linear.T)
    close(layers({"fc.weight": linear, "fc.bias": torch.randn(66)})["fc"], linear)


def test_names_of_any_kind():
    """Case 21."""
    names = ["a/b", "a b", "a\nb", "a|b", "n" * 300, "__proto__"]
    assert list(layers({f"{name}.weight": torch.randn(66, 70) for name in names})) == names
