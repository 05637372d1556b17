"""Loads a GGUF for `BatchEngine` with OpenVINO: graph, properties, tokenizer and template.

Why the runtime and not OpenVINO GenAI's own batching pipeline (2026.4.1): there
one source of chance serves all requests, so that a seed repeats nothing when two
people write at once; its repetition penalty also weighs down the words of the
question; it reads the zero points of Q4_1 one byte off (perplexity +19 % on the
embedded model); and anybody's blocks serve anybody. The attention kernel is the
same, and so is the speed.
"""

from __future__ import annotations

from typing import Any, Final

from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.hf_settings import context_limit, end_ids
from botbridge.inference.engines.hf_tokenizer import load_dialogue, load_tokenizer
from botbridge.inference.engines.openvino_merging import merge_products
from botbridge.inference.engines.openvino_model import OpenVinoModel
from botbridge.inference.engines.openvino_reading import read_gguf
from botbridge.inference.engines.openvino_runtime import ov
from botbridge.inference.engines.openvino_weights import lay_out, weight_bytes
from botbridge.inference.engines.process_memory import require_room
from botbridge.inference.engines.step import LoadedModel
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores
from botbridge.sizes import size_text

EXACT: Final[dict[str, Any]] = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    "KV_CACHE_PRECISION": "f32",
}
"""Nothing is rounded beyond what the file rounds."""

NUMBER_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "auto": {},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "float32": EXACT,
}
"""The plugin's own choice is bfloat16 where the CPU computes with it, whole numbers where weights are quantized, and
keys and values in 8 bits: perplexity rises by less than 0.5 % (Q4_0, Q4_1, Q8_0 and F16 of the embedded model)."""


def load_openvino(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
    """Load a model and get ready to compute.

    Raises:
        ValueError: There is no GGUF, it cannot be computed here, or an option cannot be met.
        MemoryError: The weights need more than there is.
    """
    if files is None or files.gguf is None:
        raise ValueError("the openvino engine needs a model in GGUF form")
    properties = plugin_properties(options)
    require_room(files.gguf.stat().st_size)
    tokenizer = load_tokenizer(files)
    graph = read_gguf(files.gguf)
    read_bytes = weight_bytes(graph)
    merge_products(graph)
    weights = lay_out(graph, files.directory)
    if not weights.is_file:
        require_room(weights.size_bytes)  # for the plugin's own copy, which is made at the first step
    compiled = ov.Core().compile_model(graph, "CPU", properties)
    model = OpenVinoModel(compiled, options.cache_bytes, weights)
    if len(tokenizer) > model.vocabulary:
        raise ValueError(
            f"{files.gguf.name} has {model.vocabulary} tokens and the tokenizer beside it {len(tokenizer)}: "
            "not one model's"
        )
    model.settle()
    limit = context_limit(files.directory)
    context_tokens = min(limit, options.context_tokens or limit)
    ends = end_ids(files.directory) | ({tokenizer.eos_token_id} - {None})
    dialogue = load_dialogue(tokenizer, sorted(ends), context_tokens)
    version = f"openvino {ov.__version__}, {compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()}"
    notes = dialogue.notes
    if not weights.is_file:
        size = size_text(weights.size_bytes)
        notes += (f"The weights are in memory twice: {files.directory} has no room for a file of {size}.",)
    return LoadedModel(
        EngineInfo("openvino", f"{version}, {files.gguf.name}", context_tokens, notes, read_bytes),
        model,
        dialogue,
        cache_bytes_per_token=model.cache_bytes_per_token,
    )


def plugin_properties(options: EngineOptions) -> dict[str, Any]:
    """Return how the CPU plugin is to compute.

    Threads are not bound to cores: beside the bot's own process, which runs on
    the same ones, bound threads wait for each other, and 16 answers at once take
    1.6 times as long.

    Raises:
        ValueError: An option cannot be met.
    """
    if options.device not in {"auto", "cpu"}:
        raise ValueError(f"the openvino engine computes on the CPU, not on {options.device!r}")
    if options.dtype not in NUMBER_FORMATS:
        raise ValueError(f"there is no number format named {options.dtype!r}")
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": options.threads or usable_cores(),
        "ENABLE_CPU_PINNING": False,
        **NUMBER_FORMATS[options.dtype],
    }
