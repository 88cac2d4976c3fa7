"""Layers that share an array: gates, fused attention, experts; and arrays with inputs first."""

import pytest
import torch

from tests.audit.helpers import close, layers

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
