"""Linear layers whose weights lie in memory as oneDNN reads them.

torch hands oneDNN a plain matrix, which it puts in order again in every call,
of some hundred calls a token. Put in order once, a step of one to eight tokens
takes half the time; for bfloat16 the results are the same to the last bit.
Source of the calls: torch/_inductor/fx_passes/mkldnn_fusion.py, which does this
to compiled models.

Covered: `torch.nn.Linear` and the `Conv1D` of GPT-2, on the CPU, in float32 and
bfloat16.
Not covered: layers of any other class, and the matrices of LoRA adapters, which
stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

LEAST_NUMBERS = 2**14
"""Smaller matrices are left alone: there the call costs more than the order of the numbers."""

MOST_DISTANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02}
"""How far a packed layer may be off, as a share of its output; some roundings."""

ADAPTER_PARTS = frozenset({"lora_A", "lora_B"})
"""Where peft keeps the matrices of adapters: few numbers, which stay exact."""

Make = Callable[[Tensor, Tensor | None], nn.Module]
"""A weight, (O, I), and a bias, (O,) or None, to the layer that takes their place."""


class PackedLinear(nn.Module):
    """A linear layer with its weight in oneDNN's own order."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Put the weight, (O, I), in order; the original is not kept."""
        super().__init__()
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - see the module
        self.bias = None if bias is None else bias.clone()

    def forward(self, numbers: Tensor) -> Tensor:
        """Apply the layer; (..., I) to (..., O)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(numbers, self.weight, self.bias, "none", [], "")  # noqa: SLF001
        return result


def pack(model: nn.Module, dtype: torch.dtype) -> int:
    """Pack all linear layers of a model on the CPU in place; how many. None where oneDNN has no kernels for them."""
    return replace_linears(model, PackedLinear, MOST_DISTANCE[dtype]) if can_pack(dtype) else 0


def can_pack(dtype: torch.dtype) -> bool:
    """Tell whether this build of torch and this CPU have what packing needs."""
    if dtype not in MOST_DISTANCE or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype is torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - see the module


def replace_linears(model: nn.Module, make: Make, most: float) -> int:
    """Put other layers in the place of a model's linear ones; how many were replaced.

    Each is let go of before the next is made: a model that was widened to float32 would else lie in memory twice.
    What is left is copied out of the mapped weights file, so that nothing holds
    the file in memory any longer.

    Args:
        model: Changed in place.
        make: Makes the other layer.
        most: By how much it may be off (`distance_to_plain`). One layer of each
            shape is tried; shapes that fail are left as they are.
    """
    fit: dict[torch.Size, bool] = {}
    replaced = 0
    for path in [path for path, _ in model.named_modules() if path.rpartition(".")[2] not in ADAPTER_PARTS]:
        parent = model.get_submodule(path)
        for name in [name for name, _ in parent.named_children()]:
            weight, bias = weight_and_bias(parent.get_submodule(name))
            if weight is None or weight.numel() < LEAST_NUMBERS or not fit.get(weight.shape, True):
                continue
            layer = make(weight, bias)
            if weight.shape not in fit:
                fit[weight.shape] = distance_to_plain(layer, weight, bias) <= most
            if fit[weight.shape]:
                setattr(parent, name, layer)
                replaced += 1
    if replaced:
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    return replaced


def weight_and_bias(layer: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Return the weight, (O, I), and the bias of a linear layer; twice None for any other."""
    if type(layer) is nn.Linear:
        return layer.weight.data, None if layer.bias is None else layer.bias.data
    if type(layer) is Conv1D:
        return layer.weight.data.T.contiguous(), layer.bias.data
    return None, None


def distance_to_plain(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> float:
    """Return how far a layer's output lies from the plain one's, as a share of that, for random numbers."""
    numbers = torch.randn(3, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    expected = linear(numbers, weight, bias).float()
    return float((layer(numbers).float() - expected).norm() / expected.norm())
