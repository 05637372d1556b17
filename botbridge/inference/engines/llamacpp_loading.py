"""Loads a GGUF for `BatchEngine` with llama.cpp: weights, tokenizer and template, and how much memory streams may take.

The memory of the streams. Each of the `slots` answers that run side by side has
a stream as long as the longest sequence so far, up to the context. The context
is what the model was trained for, or less: all streams together take at most
STREAMS_SHARE of `cache_bytes`, but each has room for LEAST_CONTEXT_TOKENS in any
case. What is parked takes the rest of `cache_bytes`, which is most of it until
somebody's conversation has become long, and a quarter of it at least
(`prefix`). Streams that have grown stay as they are until the next start.
"""

from __future__ import annotations

import llama_cpp
from transformers import PreTrainedTokenizerBase

from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.hf_settings import end_ids
from botbridge.inference.engines.hf_tokenizer import load_dialogue, load_tokenizer
from botbridge.inference.engines.llamacpp_model import LlamaCppModel
from botbridge.inference.engines.llamacpp_native import CELLS_STEP, MOST_STREAMS, Context, Piece, Weights
from botbridge.inference.engines.llamacpp_streams import grown_cells
from botbridge.inference.engines.prefix import LEAST_SHARE
from botbridge.inference.engines.process_memory import require_room
from botbridge.inference.engines.step import LoadedModel, Streams
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.models.gguf_header import GgufHeader, read_gguf_header
from botbridge.resources import usable_cores

FIRST_CELLS = 1024
"""Streams begin with room for so many tokens, and grow."""

LEAST_CONTEXT_TOKENS = 2048
"""So much context every answer has, however little memory is set: system text, a few turns and an answer."""

STREAMS_SHARE = 1 - LEAST_SHARE
"""So much of the memory for conversations streams may take: the rest is for those who are not being answered."""

MOVED_PER_READ = 16
"""To move a byte of a sequence takes as long as to read so many bytes of weights beside a running computation.

Source: measured, 11 with SmolLM2 135M and 32 with the shape of Llama 3.2 1B.
"""

LONG_FACTORS = "rope_factors_long.weight"
"""What LongRoPE divides frequencies by in long contexts. Source: gguf, constants.TENSOR_NAMES."""

COMPARED_TOKENS = 1000
LEAST_ALIKE = 0.9
"""Files spell a few tokens differently (bytes, blanks); a foreign vocabulary shares next to none."""


def load_llamacpp(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
    """Load a model and find out how it can be driven.

    Raises:
        ValueError: There is no GGUF, its tokenizer does not fit, or an option cannot be met.
        MemoryError: The weights need more than there is.
        LlamaCppFailed: llama.cpp cannot load it; the text has its words.
    """
    gguf = files.llamacpp_gguf if files is not None else None
    if files is None or gguf is None:
        raise ValueError("the llamacpp engine needs a model in GGUF form")
    if options.device not in {"auto", "cpu"}:
        raise ValueError(f"the llamacpp engine computes on the CPU, not on {options.device!r}")
    if options.slots > MOST_STREAMS:
        raise ValueError(f"the llamacpp engine runs at most {MOST_STREAMS} answers side by side")
    require_room(gguf.stat().st_size)
    weights = Weights(gguf)
    tokenizer = load_tokenizer(files)
    check_vocabulary(weights, tokenizer, gguf.name)
    wanted_tokens = min(weights.trained_tokens, options.context_tokens or weights.trained_tokens)
    asked_tokens = min(wanted_tokens, one_rotation_tokens(read_gguf_header(gguf)) or wanted_tokens)

    def make_context(cells: int) -> Context:
        return Context(
            weights,
            streams=options.slots,
            cells=cells,
            batch_tokens=options.prefill_tokens + options.slots,
            threads=options.threads or usable_cores(),
        )

    first_cells = min(FIRST_CELLS, rounded_up(asked_tokens))
    context = make_context(first_cells)
    token_bytes = max(measured_token_bytes(context), 1)
    context_tokens = affordable_context(asked_tokens, options.slots, options.cache_bytes, token_bytes)
    notes = (
        *rotation_note(wanted_tokens, asked_tokens),
        *shortened_note(asked_tokens, context_tokens, options.slots),
    )
    dialogue = load_dialogue(tokenizer, sorted(weights.end_ids() | end_ids(files.directory)), context_tokens)
    return LoadedModel(
        EngineInfo(
            "llamacpp",
            f"llama-cpp-python {llama_cpp.__version__}, {gguf.name}",
            context_tokens,
            (*notes, *dialogue.notes),
            weights.size_bytes,
        ),
        LlamaCppModel(
            make_context,
            context,
            most_cells=rounded_up(context_tokens),
            pass_tokens=max(weights.size_bytes // (MOVED_PER_READ * token_bytes), 1),
            has_windows=weights.has_windows,
        ),
        dialogue,
        cache_bytes_per_token=token_bytes,
        can_truncate=weights.can_cut,
        streams=Streams(options.slots, lambda longest: grown_cells(first_cells, longest, rounded_up(context_tokens))),
    )


def check_vocabulary(weights: Weights, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """See that ids of the tokenizer mean the same in the model.

    Raises:
        ValueError: They do not.
    """
    known = len(tokenizer)
    if known > weights.vocabulary:
        raise ValueError(f"{name} has {weights.vocabulary} tokens and the tokenizer beside it {known}: not one model's")
    ids = range(0, known, max(known // COMPARED_TOKENS, 1))
    spelt = tokenizer.convert_ids_to_tokens(list(ids))
    alike = sum(weights.spelling(token_id) == token for token_id, token in zip(ids, spelt, strict=True))
    if alike < LEAST_ALIKE * len(ids):
        raise ValueError(
            f"{name} spells {len(ids) - alike} of {len(ids)} tokens unlike the tokenizer beside it: not one model's"
        )


def one_rotation_tokens(header: GgufHeader) -> int | None:
    """Return how long streams may be while positions are turned as in the shortest ones; None where they always are.

    With LongRoPE llama.cpp takes other factors as soon as streams are longer than the model was made for at first;
    keys that were turned with the short ones would then lie among those of the long ones. Source:
    `llama_model::get_rope_factors`, which goes by the cells of a stream.

    >>> from botbridge.models.gguf_header import TensorPlace
    >>> long_rope = {"rope_factors_long.weight": TensorPlace("F32", 48, 0)}
    >>> phi = {"general.architecture": "phi3", "phi3.rope.scaling.original_context_length": 4100}
    >>> one_rotation_tokens(GgufHeader(phi, long_rope)), one_rotation_tokens(GgufHeader(phi, {}))
    (4096, None)
    """
    if LONG_FACTORS not in header.tensors:
        return None
    original_tokens = header.facts.get(f"{header.facts['general.architecture']}.rope.scaling.original_context_length")
    # Below one step even the shortest stream has the long factors, and all have the same.
    return int(original_tokens or 0) // CELLS_STEP * CELLS_STEP or None


def rotation_note(wanted_tokens: int, asked_tokens: int) -> tuple[str, ...]:
    """Tell the operator when positions make the context shorter.

    >>> rotation_note(131072, 4096)
    ('The context is 4096 tokens instead of 131072: beyond it this model turns positions in another way.',)
    """
    if asked_tokens >= wanted_tokens:
        return ()
    told = f"The context is {asked_tokens} tokens instead of {wanted_tokens}"
    return (f"{told}: beyond it this model turns positions in another way.",)


def measured_token_bytes(context: Context) -> int:
    """Return what one token of one sequence takes, measured with two tokens."""
    context.compute([Piece(0, 0, [0])])
    one = context.save(0).nbytes
    context.compute([Piece(0, 1, [0])])
    two = context.save(0).nbytes
    context.cut(0, 0)
    return two - one


def affordable_context(asked_tokens: int, slots: int, cache_bytes: int, token_bytes: int) -> int:
    """Return how many tokens each stream may have.

    Args:
        asked_tokens: What the model and the settings allow.
        slots: How many streams there are.
        cache_bytes: What conversations may take together; STREAMS_SHARE of it is for streams.
        token_bytes: What one token takes.

    >>> affordable_context(8192, 4, 512 * 2**20, 23_040), affordable_context(8192, 8, 512 * 2**20, 23_040)
    (4352, 2048)
    >>> affordable_context(8192, 8, 0, 23_040), affordable_context(512, 8, 0, 23_040)
    (2048, 512)
    """
    affordable = int(STREAMS_SHARE * cache_bytes) // (slots * token_bytes) // CELLS_STEP * CELLS_STEP
    return min(asked_tokens, max(affordable, LEAST_CONTEXT_TOKENS))


def shortened_note(asked_tokens: int, context_tokens: int, slots: int) -> tuple[str, ...]:
    """Tell the operator when memory makes the context shorter.

    >>> shortened_note(8192, 2816, 8)
    ('The context is 2816 tokens instead of 8192, for 8 answers side by side; a larger CACHE_BYTES makes it longer.',)
    """
    if context_tokens >= asked_tokens:
        return ()
    note = f"The context is {context_tokens} tokens instead of {asked_tokens}, for {slots} answers side by side"
    return (f"{note}; a larger CACHE_BYTES makes it longer.",)


def rounded_up(tokens: int) -> int:
    """Return the cells of a stream for so many tokens.

    >>> rounded_up(512), rounded_up(513)
    (512, 768)
    """
    return -(-tokens // CELLS_STEP) * CELLS_STEP
