"""Weights of few bits with scales: the numbers that libraries would compute with."""

import numpy as np
import pytest
import torch

from sgdtails.audit.weights.matrices import matrices
from tests.audit.helpers import close, layers, reasons

# Cases 5 and 6: few bits with scales.


@pytest.mark.parametrize(
    ("shape", "scales"), [((256, 384), (2, 3)), ((300, 200), (3, 2)), ((64, 96), (64, 1)), ((64, 96), (1,))]
)
@pytest.mark.parametrize("name", ["weight_scale_inv", "weight_scale"])
def test_scaled_floats_of_one_byte(shape, scales, name):
    torch.manual_seed(0)
    weight, scale = torch.randn(shape).to(torch.float8_e4m3fn), torch.rand(scales) + 0.5
    (matrix,) = matrices({"fc.weight": weight, f"fc.{name}": scale})[0]
    whole = scale.reshape(*scales, *[1] * (2 - len(scales)))
    rows, columns = (128, 128) if shape[0] > 200 else (-(-n // s) for n, s in zip(shape, whole.shape, strict=True))
    expected = whole.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[: shape[0], : shape[1]]
    close(matrix, weight.float() * expected)


@pytest.mark.parametrize(("scales", "zeros"), [((64, 1), (64, 1)), ((64, 3), (64, 3)), ((1,), ()), ((64,), (1,))])
@pytest.mark.parametrize("kind", [torch.int8, torch.uint8])
def test_integers_of_one_byte_less_a_zero_point(scales, zeros, kind):
    """Asymmetric quantisation, as compressed-tensors stores it: (q - zero) scale."""
    torch.manual_seed(0)
    low = 0 if kind is torch.uint8 else -128
    weight = torch.randint(low, low + 256, (64, 96)).to(kind)
    scale, zero = torch.rand(scales) + 0.5, torch.randint(low, low + 256, zeros).to(kind)
    state = {"fc.weight": weight, "fc.weight_scale": scale, "fc.weight_zero_point": zero}
    whole = [x.float().reshape(*x.shape, *[1] * (2 - x.ndim)) for x in (zero, scale)]
    zero, scale = (x.repeat_interleave(96 // x.shape[1], 1) for x in whole)
    close(layers(state)["fc"], (weight.float() - zero) * scale)
    assert "less a zero point" in layers(state)["fc"].orientation
    assert reasons(state) == {}


def test_floats_of_one_byte_with_exponents():
    """MXFP8: bytes beside 8-bit floats are exponents of two plus 127."""
    weight, exponents = torch.randn(64, 96).to(torch.float8_e4m3fn), torch.randint(120, 130, (64, 3)).to(torch.uint8)
    for scale in (exponents, exponents.view(torch.float8_e8m0fnu)):
        found = layers({"fc.weight": weight, "fc.weight_scale": scale})["fc"]
        close(found, weight.float() * (2.0 ** (exponents.float() - 127)).repeat_interleave(32, 1))


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
        "a.qweight": torch.ones(30, 32, dtype=torch.int32),
        "a.scales": torch.rand(4, 32).half(),
        "b.weight": eight,
        "b.weight_scale": torch.rand(5, 7),
        "c.weight": torch.ones(64, 64, dtype=torch.int8),
        "c.weight_scale_inv": torch.rand(9, 9),
        "d": torch.ones(8, 8, dtype=torch.uint8).view(torch.float8_e8m0fnu),
    }
    assert layers(state) == {}
    assert reasons(state) == {
        **dict.fromkeys(("a.qweight", "c.weight"), "whole numbers or logical values"),
        **dict.fromkeys(("a.scales", "b.weight_scale", "c.weight_scale_inv"), "scales of quantised weights"),
        "b.weight": "8-bit numbers with a scale of unknown layout",
        "d": "packed numbers, or powers of two, without a layout that is known",
    }


def test_tables_of_scales_and_codebooks_are_no_layers():
    """A bare parameter of 8-bit floats says, too, that its scales are of no use; a vector stays a vector."""
    tables = dict.fromkeys(("up_scale_inv", "norm.scale", "logit_scale", "weight_scale_2"), "a table of scales")
    tables |= dict.fromkeys(("q.codebook", "q.codebooks", "vq_centroids"), "a codebook")
    state = {
        "up": torch.randn(4, 64, 64).to(torch.float8_e4m3fn),
        "a.scale": torch.rand(70),
        "scale.weight": torch.rand(70, 66),
    }
    state |= {name: torch.rand(70, 66) for name in tables}
    expected = tables | {"weight_scale_2": "scales of quantised weights"}
    assert list(layers(state)) == ["scale"]
    assert reasons(state) == expected | {"up": "8-bit numbers with a scale of unknown layout", "a.scale": "a vector"}


def test_complex_numbers_are_pairs():
    for weight in (torch.randn(70, 66, dtype=torch.complex64), torch.randn(70, 66, dtype=torch.complex64).conj()):
        (matrix,) = matrices({"fc.weight": weight})[0]
        close(matrix, torch.view_as_real(weight.resolve_conj()).reshape(70, 132))
        assert "complex numbers as pairs" in matrix.orientation
    (matrix,) = matrices({"fc.weight": np.full((70, 66), 1 + 2j)})[0]
    assert matrix.tensor[0, :4].tolist() == [1, 2, 1, 2]
