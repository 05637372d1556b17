"""Whether a model comes out right when many sequences are computed in one pass; found out with the model itself.

Not every architecture does: BLOOM adds its position bias outside the attention
interface and is wrong without any error. So three short texts are computed in
one plain pass, in the library's own way, and again as a ragged batch: in
pieces, together, in changing order, one of them as a copy. The logits must agree.

The rule. The distance of two rows of logits is the norm of their difference
over the norm of one of them around its mean. The number format alone moves
logits, by how the same work is cut into matrices; how far is measured on this
model, between the plain pass and the library's own computation token by token.
A ragged batch may differ by `SPREADS` times that, or by `EXPECTED` where that
is more, and never by more than `MOST`. What is computed wrongly differs by 0.5 or so.

Not covered by the texts, which are short: windows that are longer, and rotary
embeddings that change with the longest sequence. The configuration tells of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from botbridge.inference.engines.base import describe
from botbridge.inference.engines.step import StepModel
from botbridge.inference.engines.transformers_adapters import LoraAdapters
from botbridge.inference.engines.transformers_plain import PlainModel
from botbridge.inference.engines.transformers_ragged import CacheShape, RaggedModel
from botbridge.inference.sampling import Logits

TEXTS: Final = 3
TEXT_TOKENS: Final = 11
STEPWISE_TOKENS: Final = 3
"""How many of them the library computes one by one."""

SPREADS: Final = 3.0
EXPECTED: Final = {torch.float32: 1e-4, torch.bfloat16: 0.03, torch.float16: 4e-3}
"""What rounding explains in any case: some hundred roundings of a float32, four of the others."""
MOST: Final = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.03}
"""What it never explains; the library's own token-by-token computation can be wrong, too."""

Piece = tuple[int, int, int]
"""Of which sequence, from which token, to which."""

A, B, C, COPY = range(4)
COPIED_TOKENS: Final = 4
"""COPY begins as a copy of so many tokens of A, at the step that names it first."""

STEPS: Final[tuple[tuple[Piece, ...], ...]] = (
    ((A, 0, 6), (B, 0, 2), (C, 0, 3)),
    ((C, 3, 8), (A, 6, 7), (B, 2, 4)),
    ((A, 7, 8), (B, 4, 5), (C, 8, 9)),
    ((COPY, 4, 7), (B, 5, 6)),
    ((B, 6, 11),),
)

Place = tuple[int, int]
"""Of which text, and which token."""

SENTENCES: Final = (
    "The old man looked at the sea and said that it would rain before the evening came to the town.",
    "Water boils at one hundred degrees, and it freezes at zero degrees on the same scale, as we know.",
    "I asked her where the station was, but she did not know the streets any better than we did.",
)
"""Real text: of random tokens a number format alone can bring forth other logits altogether."""

Texts = NDArray[np.int64]
Encode = Callable[[str], Sequence[int]]


class Unproven(ValueError):
    """Sequences of this model must not be computed together."""


def proven_ragged_model(
    model: PreTrainedModel,
    probe: DynamicCache,
    *,
    encode: Encode,
    context_tokens: int,
    prepare: Callable[[PreTrainedModel], object] | None = None,
    adapters: LoraAdapters | None = None,
) -> RaggedModel:
    """Prepare a model for speed and drive it ragged, once it is shown that this changes nothing.

    Args:
        model: Of no further use when the proof fails.
        probe: The library's own cache with a token in it.
        encode: Text to token ids, without control tokens.
        context_tokens: How long sequences can become.
        prepare: Called between the plain pass and the ragged ones.
        adapters: Those inside the model. The proof is of the bare model: an
            adapter, too, looks at each token by itself.

    Raises:
        Unproven: The sentence says why.
    """
    try:
        shape = cache_shape(probe)
        check_rotation(model.config.get_text_config(decoder=True), context_tokens)
        texts = encoded_sentences(encode)
        expected, spread = plain_logits(model, texts)
        if prepare is not None:
            prepare(model)
        ragged = RaggedModel(model, shape, adapters)
        check_distance(ragged_logits(ragged, texts), expected, tolerance(spread, shape.dtype))
        check_windows(ragged.attention.windows, probe, context_tokens)
    except Unproven:
        raise
    except Exception as error:  # models raise anything at all where they do not fit
        raise Unproven(describe(error)) from error
    return ragged


def proven_plain_model(model: PreTrainedModel, encode: Encode, adapters: LoraAdapters | None = None) -> PlainModel:
    """Drive a model in the library's own way, once it is known that sequences can go on and keep apart.

    Raises:
        ValueError: They do not: some recurrent models hold what they computed
            last in the model itself, for one sequence only.
    """
    texts = encoded_sentences(encode)
    expected, spread = plain_logits(model, texts)
    most = tolerance(spread, model.dtype)
    for reads_pieces in (True, False):
        plain = PlainModel(model, adapters=adapters, reads_pieces=reads_pieces)
        first, second = plain.open(), plain.open()
        for begin, end in ((0, TEXT_TOKENS // 2), (TEXT_TOKENS // 2, TEXT_TOKENS)):
            rows = plain.forward([(first, texts[A, begin:end].tolist()), (second, texts[B, begin:end].tolist())])
        if max(distance(row, expected[text, -1]) for text, row in zip((A, B), rows, strict=True)) <= most:
            return PlainModel(model, adapters=adapters, reads_pieces=reads_pieces)
    raise ValueError("this model cannot keep several sequences apart, not even one after another")


def encoded_sentences(encode: Encode) -> Texts:
    """Return the beginning of each sentence; (TEXTS, TEXT_TOKENS) int64."""
    return np.stack([np.resize([*encode(text), 0], TEXT_TOKENS) for text in SENTENCES])


def cache_shape(probe: DynamicCache) -> CacheShape:
    """Return what the layers keep of a token.

    Args:
        probe: The library's own cache with a token in it.

    Raises:
        Unproven: They keep more than keys and values, or not all the same.
    """
    shapes = set()
    for layer in probe.layers:
        if type(layer) not in {DynamicLayer, DynamicSlidingWindowLayer}:
            raise Unproven("it keeps more of a sequence than keys and values")
        assert isinstance(layer, DynamicLayer)
        if layer.keys is None or layer.values is None:
            raise Unproven("not every layer keeps keys and values of its own")
        _, heads, _, key_size = layer.keys.shape
        shapes.add((heads, key_size, layer.values.shape[-1], layer.keys.dtype, layer.keys.device))
    if len(shapes) != 1:
        raise Unproven("its layers keep keys and values of different shapes")
    return CacheShape(len(probe.layers), *shapes.pop())


def check_rotation(config: PreTrainedConfig, context_tokens: int) -> None:
    """Refuse rotary embeddings that change for all sequences as soon as one of them is long.

    Raises:
        Unproven: They do, and sequences can become as long.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    for one in (parameters, *(nested for nested in parameters.values() if isinstance(nested, Mapping))):
        limit = one.get("original_max_position_embeddings", context_tokens)
        if one.get("rope_type") == "longrope" and limit < context_tokens:
            raise Unproven(
                f"its positions change for sequences of more than {limit} tokens; a context of {limit} avoids it"
            )


def check_windows(seen: Mapping[int, int | None], probe: DynamicCache, context_tokens: int) -> None:
    """Refuse a model that hides a sliding window from its attention function.

    Args:
        seen: What each layer told its attention function; None for no window.
        probe: The library's own cache, which is made after the configuration.
        context_tokens: Windows of this size or more hide nothing.

    Raises:
        Unproven: A layer told something else than the configuration.
    """
    for number, layer in enumerate(probe.layers):
        wanted = layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
        told = seen.get(number)
        if min(wanted or context_tokens, context_tokens) != min(told or context_tokens, context_tokens):
            raise Unproven(f"layer {number} looks back {wanted} tokens and tells its attention {told}")


def check_distance(found: Mapping[Place, Logits], expected: Logits, most: float) -> None:
    """Refuse logits that differ from the plain ones.

    Args:
        found: (V,) for places of the texts.
        expected: (TEXTS, TEXT_TOKENS, V).
        most: The largest distance that is accepted.

    Raises:
        Unproven: A place differs by more.
    """
    worst = max(distance(row, expected[place]) for place, row in found.items())
    if not worst <= most:
        raise Unproven(f"its logits come out different: by {worst:.2g} of their spread, where {most:.2g} is accepted")


def tolerance(spread: float, dtype: torch.dtype) -> float:
    """Return by how much the logits of a ragged batch may differ; see the module's rule.

    >>> tolerance(0.02, torch.bfloat16), tolerance(0.001, torch.bfloat16), tolerance(3.0, torch.float32)
    (0.06, 0.03, 0.001)
    """
    return min(max(SPREADS * spread, EXPECTED[dtype]), MOST[dtype])


def distance(row: Logits, other: Logits) -> float:
    """Return how far a row of logits, (V,), lies from another, as a share of the other's own spread.

    >>> distance(np.array([1, 2, 4], np.float32), np.array([1, 2, 3], np.float32)).__round__(3)
    0.707
    """
    return float(np.linalg.norm(row - other) / max(np.linalg.norm(other - other.mean()), np.finfo(np.float32).tiny))


@torch.inference_mode()
def plain_logits(model: PreTrainedModel, texts: Texts) -> tuple[Logits, float]:
    """Compute texts in the library's own way.

    Args:
        model: With its own attention.
        texts: (TEXTS, TEXT_TOKENS) int64.

    Returns:
        logits: (TEXTS, TEXT_TOKENS, V) float32, in one pass.
        spread: The largest distance to the same, computed token by token at the end.
    """
    input_ids = torch.from_numpy(texts).to(model.device)
    logits: Logits = model(input_ids, use_cache=False).logits.float().cpu().numpy()
    cache = DynamicCache(config=model.config)
    begun = TEXT_TOKENS - STEPWISE_TOKENS
    model(input_ids[:, :begun], past_key_values=cache, use_cache=True, logits_to_keep=1)
    spread = 0.0
    for place in range(begun, TEXT_TOKENS):
        output = model(input_ids[:, place : place + 1], past_key_values=cache, use_cache=True)
        rows = output.logits[:, -1].float().cpu().numpy()  # (TEXTS, V)
        spread = max(spread, *(distance(row, other) for row, other in zip(rows, logits[:, place], strict=True)))
    return logits, spread


def ragged_logits(model: StepModel, texts: Texts) -> dict[Place, Logits]:
    """Compute texts as STEPS say; (V,) for the last place of each piece."""
    sequences = {number: model.open() for number in (A, B, C)}
    found: dict[Place, Logits] = {}
    for step in STEPS:
        if COPY not in sequences and any(number == COPY for number, _, _ in step):
            sequences[COPY] = model.fork(sequences[A])
            model.truncate(sequences[COPY], COPIED_TOKENS)
        pieces = [(A if number == COPY else number, begin, end) for number, begin, end in step]
        rows = model.forward(
            [
                (sequences[number], texts[text, begin:end].tolist())
                for (number, _, _), (text, begin, end) in zip(step, pieces, strict=True)
            ]
        )
        found |= {(text, end - 1): row for (text, _, end), row in zip(pieces, rows, strict=True)}
    for sequence in sequences.values():
        model.close(sequence)
    return found
