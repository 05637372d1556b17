"""Write a GGUF anew in the quantizations that engines have their fastest kernels for; runs as a process of its own.

    python -m botbridge.models.requantize SOURCE.gguf TARGET.gguf

A target whose name ends with `-llamacpp.gguf` is written for llama.cpp alone,
any other for all engines.

Engines have no fast kernels for Q4_1. To round it costs accuracy, most of it in
attention and in the table of words; gate and up projections (two thirds of the
feed-forward weights) bear it. What is not rounded becomes Q8_0, which holds a
Q4_1 weight almost exactly. Perplexity of the embedded model above that of its
weights in float32, on two texts of 1,184 and 3,816 tokens (the bound that a slow
test holds on the first is 5 %):

* for all engines gate and up become Q4_0: +4.0 and +6.4 %;
* for llama.cpp gate and up become IQ4_NL, and the down projections Q4_K where
  their rows have whole blocks of it: +4.5 and +4.7 %. It says 1.2 times as much
  to one person, 1.1 to four. OpenVINO reads no IQ4_NL, and rounds Q4_K (+12 %).
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType, GGUFWriter, quants
from gguf.gguf_reader import ReaderField, ReaderTensor
from numpy.typing import NDArray

from botbridge.models.block_formats import LARGE_BLOCK, quantize_iq4_nl, quantize_q4_k
from botbridge.models.child import run_as_child
from botbridge.models.names import LLAMACPP_SUFFIX

WRITERS_OWN: Final = ("GGUF.", "general.architecture")
"""Fields that the writer fills in by itself."""


def fast_type(tensor: str, now: Kind, columns: int, *, for_llamacpp: bool) -> Kind:
    """Return how a tensor is stored where speed counts.

    Args:
        tensor: Its name.
        now: How it is stored.
        columns: How many weights a row of it has.
        for_llamacpp: Whether llama.cpp is to read it, and nobody else.

    >>> [fast_type("blk.0.ffn_up.weight", Kind.Q4_1, 576, for_llamacpp=each).name for each in (False, True)]
    ['Q4_0', 'IQ4_NL']
    >>> [fast_type("blk.0.ffn_down.weight", Kind.Q4_1, 1536, for_llamacpp=each).name for each in (False, True)]
    ['Q8_0', 'Q4_K']
    >>> fast_type("blk.0.ffn_down.weight", Kind.Q4_1, 1504, for_llamacpp=True).name
    'Q8_0'
    >>> fast_type("blk.0.attn_norm.weight", Kind.F32, 576, for_llamacpp=True).name
    'F32'
    """
    if now is not Kind.Q4_1:
        return now
    if ".ffn_gate." in tensor or ".ffn_up." in tensor:
        return Kind.IQ4_NL if for_llamacpp else Kind.Q4_0
    if ".ffn_down." in tensor and for_llamacpp and columns % LARGE_BLOCK == 0:
        return Kind.Q4_K
    return Kind.Q8_0


def requantize(source: Path, target: Path) -> None:
    """Write the model of `source` to `target`, with the same header and the types of `fast_type`.

    Raises:
        OSError: The file cannot be written.
        ValueError: `source` is no GGUF.
    """
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if not field.name.startswith(WRITERS_OWN):
            _copy_field(field, writer)
    for tensor in reader.tensors:
        _copy_tensor(tensor, writer, for_llamacpp=target.stem.endswith(LLAMACPP_SUFFIX))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_field(field: ReaderField, writer: GGUFWriter) -> None:
    kind = field.types[0]
    of = field.types[-1] if kind is GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=of)


def _copy_tensor(tensor: ReaderTensor, writer: GGUFWriter, *, for_llamacpp: bool) -> None:
    fast = fast_type(tensor.name, tensor.tensor_type, int(tensor.shape[0]), for_llamacpp=for_llamacpp)
    data = tensor.data
    if fast is not tensor.tensor_type:
        data = _quantized(quants.dequantize(data, tensor.tensor_type), fast)
    writer.add_tensor(tensor.name, data, raw_dtype=fast)


def _quantized(weights: NDArray[np.float32], kind: Kind) -> NDArray[np.uint8]:
    match kind:
        case Kind.IQ4_NL:
            return quantize_iq4_nl(weights)
        case Kind.Q4_K:
            return quantize_q4_k(weights)
        case _:
            packed: NDArray[np.uint8] = quants.quantize(weights, kind)
            return packed


def main(arguments: list[str]) -> int:
    """Requantize as asked; 0 when it worked, 1 with one line on stderr when not, 2 for wrong use."""
    if len(arguments) != 2:  # noqa: PLR2004  (source and target)
        print("usage: python -m botbridge.models.requantize SOURCE.gguf TARGET.gguf", file=sys.stderr)  # noqa: T201
        return 2
    return run_as_child(partial(requantize, *map(Path, arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
