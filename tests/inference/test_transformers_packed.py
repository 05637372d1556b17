"""Linear layers in another form compute the same, or nearly; what does not is left alone."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from botbridge.inference.engines.transformers_packed import (
    PackedLinear,
    can_pack,
    distance_to_plain,
    pack,
    replace_linears,
)
from botbridge.inference.engines.transformers_quantized import Int8Linear, cannot_quantize, quantize

WIDE, NARROW = 256, 192

needs_vnni = pytest.mark.skipif(
    cannot_quantize(Path("/proc/cpuinfo")) is not None, reason="this CPU has no VNNI instructions"
)


def random_linear(dtype: torch.dtype, *, bias: bool = True) -> nn.Linear:
    """A layer with random weights, the same each time."""
    torch.manual_seed(0)
    return nn.Linear(WIDE, NARROW, bias=bias).to(dtype).requires_grad_(requires_grad=False)


def numbers(dtype: torch.dtype, *shape: int) -> Tensor:
    """Random numbers, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("tokens", [1, 3, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_the_same(dtype: torch.dtype, tokens: int, bias: bool) -> None:
    """For one token and for many."""
    if not can_pack(dtype):
        pytest.skip(f"oneDNN has no {dtype} here")
    layer = random_linear(dtype, bias=bias)
    given = numbers(dtype, 1, tokens, WIDE)
    packed = PackedLinear(layer.weight, layer.bias)(given)
    assert (packed.shape, packed.dtype) == ((1, tokens, NARROW), dtype)
    tolerance = 1e-5 if dtype is torch.float32 else 0.02
    torch.testing.assert_close(packed, linear(given, layer.weight, layer.bias), rtol=tolerance, atol=tolerance)


def test_the_layers_of_gpt2_are_packed_the_other_way_round() -> None:
    """Its weights lie transposed."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"c_fc": Conv1D(NARROW, WIDE)}).requires_grad_(requires_grad=False)
    given = numbers(torch.float32, 1, 5, WIDE)
    expected = model["c_fc"](given)
    assert pack(model, torch.float32) == 1
    torch.testing.assert_close(model["c_fc"](given), expected)


def test_a_tied_embedding_stays_what_it_was() -> None:
    """The output layer gets a weight of its own."""
    embedding, head = nn.Embedding(NARROW, WIDE), random_linear(torch.float32, bias=False)
    head.weight = embedding.weight
    model = nn.ModuleDict({"embedding": embedding, "head": head}).requires_grad_(requires_grad=False)
    before = embedding.weight.clone()
    assert pack(model, torch.float32) == 1
    torch.testing.assert_close(model["embedding"].weight.data, before)


def test_formats_without_kernels_and_tiny_layers_are_left_alone() -> None:
    """There is nothing to gain."""
    assert pack(nn.ModuleDict({"a": random_linear(torch.float16)}), torch.float16) == 0
    assert pack(nn.ModuleDict({"a": nn.Linear(32, 32)}), torch.float32) == 0


class _Wrong(nn.Module):
    """A layer whose kernel is broken."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = weight * 1.1

    def forward(self, given: Tensor) -> Tensor:
        """Compute something else."""
        return linear(given, self._weight)


def test_a_shape_that_comes_out_wrong_keeps_its_plain_layers() -> None:
    """One layer of each shape is tried."""
    model = nn.ModuleDict({"a": random_linear(torch.float32), "b": random_linear(torch.float32)})
    assert replace_linears(model, _Wrong, 0.05) == 0
    assert {type(layer) for layer in model.children()} == {nn.Linear}


def test_no_more_than_one_layer_lies_in_memory_twice() -> None:
    """A model that was widened while it was read has no file behind it that the kernel could drop."""
    blocks = nn.ModuleList(nn.ModuleDict({"a": random_linear(torch.float32)}) for _ in range(4))
    plain = [weakref.ref(layer) for block in blocks for layer in block.children()]
    kept: list[int] = []

    def make(weight: Tensor, bias: Tensor | None) -> nn.Module:
        kept.append(sum(layer() is not None for layer in plain))
        return PackedLinear(weight, bias)

    assert replace_linears(nn.ModuleDict({"blocks": blocks}), make, 0.05) == 4
    assert kept == [4, 3, 2, 1]


@needs_vnni
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_integers_come_near(dtype: torch.dtype, bias: bool) -> None:
    """Within two hundredths for random numbers, in the format of what came in."""
    layer = random_linear(dtype, bias=bias)
    integer = Int8Linear(layer.weight, layer.bias)
    assert 0 < distance_to_plain(integer, layer.weight, layer.bias) < 0.02
    assert integer(numbers(dtype, 2, 3, WIDE)).dtype == dtype


@needs_vnni
def test_a_token_with_large_numbers_does_not_spoil_its_neighbours() -> None:
    """Each has a scale of its own: torch's dynamic quantization has one for all of them."""
    layer = random_linear(torch.float32)
    integer = Int8Linear(layer.weight, layer.bias)
    given = numbers(torch.float32, 2, WIDE)
    given[1] *= 1000
    torch.testing.assert_close(integer(given)[0], integer(given[:1])[0])


@needs_vnni
def test_nothing_comes_of_nothing() -> None:
    """A token of zeros gives the bias, and no division by zero."""
    layer = random_linear(torch.float32)
    torch.testing.assert_close(Int8Linear(layer.weight, layer.bias)(torch.zeros(1, WIDE))[0], layer.bias.data)


@needs_vnni
def test_quantizing_replaces_the_layers_of_a_model() -> None:
    """All that are not tiny."""
    model = nn.ModuleDict({"a": random_linear(torch.float32), "tiny": nn.Linear(8, 8)})
    assert quantize(model) == 1
    assert isinstance(model["a"], Int8Linear)


def test_a_cpu_without_the_instructions_is_told_apart(tmp_path: Path) -> None:
    """There the sums could overflow without an error."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu avx2 avx512f\n")
    assert "VNNI" in (cannot_quantize(cpuinfo) or "")
    cpuinfo.write_text("flags : fpu avx2 avx_vnni\n")
    assert cannot_quantize(cpuinfo) is None
    assert "VNNI" in (cannot_quantize(tmp_path / "missing") or "")
