"""Linear layers that compute with 8-bit integers: half their memory in bfloat16, and faster where memory is the limit.

A weight gets one scale for each output, set once. What goes in gets one scale
for each token, set when it comes: one for a whole batch, as torch's own dynamic
quantization takes it, makes tokens spoil one another.
Source: LLM.int8(), arXiv:2208.07339, section 2.1 ("vector-wise").

Measured with one thread on a 2-core AVX-512 VNNI machine, against packed
bfloat16: a Llama of 1.2 billion weights decodes
1.4 to 1.6 times as fast and reads prompts 1.5 times as fast; SmolLM2-135M reads
prompts 1.3 times as fast and decodes no faster; its worker takes 630 instead of
772 MB, for its table of words stays as it is. Its perplexity rises by 2.8 to
4.4 %; that of other models is not known, so nobody gets this unasked.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from botbridge.inference.engines.transformers_packed import replace_linears

STEPS = 127
"""Numbers become integers between minus and plus this."""

ZERO = 128
"""oneDNN wants what goes in without sign: this stands for zero there."""

MOST_DISTANCE = 0.05
"""How far a layer may be off for random numbers, as a share of its output; 0.015 is usual."""

INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""CPUs without any of these add products up in 16 bits, where they overflow, or take longer than with plain numbers."""


class Int8Linear(nn.Module):
    """A linear layer with integer weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Quantize a weight, (O, I), of any float format; the original is not kept."""
        super().__init__()
        numbers = weight.float()
        self._scales = numbers.abs().amax(dim=1).clamp_min_(torch.finfo(torch.float32).tiny) / STEPS  # (O,)
        integers = (numbers / self._scales[:, None]).round_().to(torch.int8)
        self.weight: Tensor = torch.ops.onednn.qlinear_prepack(integers, None)
        self.bias = None if bias is None else bias.clone()
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)

    def forward(self, numbers: Tensor) -> Tensor:
        """Apply the layer; (..., I) to (..., O), in the format of what comes in."""
        rows = numbers.reshape(-1, numbers.shape[-1]).float()  # (N, I)
        scales = rows.abs().amax(dim=-1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny).mul_(1 / STEPS)
        integers = (rows / scales).add_(ZERO + 0.5).to(torch.uint8)  # cut off after adding a half: rounded
        result: Tensor = torch.ops.onednn.qlinear_pointwise(  # (N, O)
            integers, 1.0, ZERO, self.weight, self._scales, self._zeros, None, 1.0, 0, numbers.dtype, "none", [], ""
        )
        result.mul_(scales)
        if self.bias is not None:
            result.add_(self.bias)
        return result.view(*numbers.shape[:-1], -1)


def quantize(model: nn.Module) -> int:
    """Quantize the linear layers of a model on the CPU in place; how many. Shapes that come out wrong are left."""
    return replace_linears(model, Int8Linear, MOST_DISTANCE)


def cannot_quantize(cpuinfo: Path) -> str | None:
    """Return why nothing can be quantized here; None when it can."""
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return "this build of torch has no 8-bit linear layers"
    try:
        flags = cpuinfo.read_text().split()
    except OSError:
        flags = []
    return "this CPU has no instructions for it (VNNI)" if INT8_FLAGS.isdisjoint(flags) else None
