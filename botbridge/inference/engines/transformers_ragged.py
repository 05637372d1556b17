"""Many sequences in one forward pass of an unmodified transformers model.

The model sees one row of tokens: the new ones of all sequences, one sequence
after another, each token with its position in its own sequence. Everything in
a model but its attention looks at each token by itself; and the attention is
ours (`transformers_attention`), over caches of our own.

Covered: sequences of any lengths, pieces of prompts and single tokens mixed;
cutting and copying a sequence, sliding windows included, because no cache here
forgets; sequences with different adapters, in a pass for each adapter.
Not covered: models that keep anything else between tokens (recurrent states),
or whose layers differ in shape. `transformers_proof` tells which can.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from botbridge.inference.engines.step import SequenceId
from botbridge.inference.engines.transformers_adapters import LoraAdapters, places_by_adapter
from botbridge.inference.engines.transformers_attention import RaggedAttention, Span
from botbridge.inference.sampling import Logits

BLOCK_TOKENS = 16
"""Room is given in multiples of this."""

SPARE_SHARE = 0.125
"""A sequence that needs more room gets an eighth more than it needs: it is copied seldom, and little lies empty."""


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What the layers of a model keep of a token; the same in each.

    Attributes:
        heads: Those of keys and values.
        key_size: Numbers of a key in one head.
        value_size: Numbers of a value in one head.
    """

    layers: int
    heads: int
    key_size: int
    value_size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """What a token of a sequence occupies at most, with its share of the spare room; see `room_tokens`."""
        used = self.layers * self.heads * (self.key_size + self.value_size) * self.dtype.itemsize
        return used + int(SPARE_SHARE * used)

    def empty(self, capacity: int) -> tuple[Tensor, Tensor]:
        """Make room for keys and values: (L, G, capacity, D) and (L, G, capacity, E)."""
        sizes = (self.key_size, self.value_size)
        keys, values = (
            torch.empty(self.layers, self.heads, capacity, size, dtype=self.dtype, device=self.device) for size in sizes
        )
        return keys, values


class _Sequence:
    """The first `length` tokens' keys and values, computed with one adapter or none, and room for more."""

    def __init__(self, shape: CacheShape, adapter: str | None) -> None:
        self._shape = shape
        self.adapter = adapter
        self.length = 0
        self.keys, self.values = shape.empty(0)

    def reserve(self, length: int) -> None:
        """Make room for so many tokens."""
        if length > self.keys.shape[2]:
            self._move(room_tokens(length))

    def cut(self, length: int) -> None:
        """Hold the first tokens only; room that no sequence of this length would be given is given back."""
        self.length = min(self.length, length)
        if self.keys.shape[2] > room_tokens(self.length):
            # To move takes memory for a moment, and the cut may be made because there was none.
            with suppress(MemoryError, RuntimeError):  # torch raises either
                self._move(room_tokens(self.length))

    def begin_as(self, other: _Sequence) -> None:
        """Copy what another sequence holds."""
        length = other.length
        self.reserve(length)
        self.keys[:, :, :length] = other.keys[:, :, :length]
        self.values[:, :, :length] = other.values[:, :, :length]
        self.length = length

    def _move(self, capacity: int) -> None:
        keys, values = self._shape.empty(capacity)
        keys[:, :, : self.length] = self.keys[:, :, : self.length]
        values[:, :, : self.length] = self.values[:, :, : self.length]
        self.keys, self.values = keys, values


def room_tokens(length: int) -> int:
    """Return for how many tokens a sequence of so many may have room.

    It is an eighth more at most, but for those of fewer than 128 tokens, whose
    last block may be anything but full.

    >>> room_tokens(0), room_tokens(20), room_tokens(100), room_tokens(1000)
    (0, 32, 112, 1120)
    """
    full_blocks = -(-length // BLOCK_TOKENS)
    return max(full_blocks, (length + int(SPARE_SHARE * length)) // BLOCK_TOKENS) * BLOCK_TOKENS


class RaggedModel:
    """A model whose sequences are computed together. The model is this object's alone while it is in use."""

    def __init__(self, model: PreTrainedModel, shape: CacheShape, adapters: LoraAdapters | None = None) -> None:
        self._model = model
        self._adapters = adapters or LoraAdapters()
        self._shape = shape
        self._sequences: dict[SequenceId, _Sequence] = {}
        self._serial = itertools.count()
        self.attention = RaggedAttention()
        name = f"botbridge-ragged-{id(self.attention)}"
        # No mask function is registered under this name, so that the model makes no mask at all.
        # Source: transformers/masking_utils.py, `_preprocess_mask_arguments`.
        AttentionInterface.register(name, self.attention)
        model.set_attn_implementation(name)

    @property
    def token_bytes(self) -> int:
        """What one token of one sequence occupies."""
        return self._shape.token_bytes

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: There is no adapter of this name, or something stands in its way.
        """
        self._adapters.require(adapter)
        return self._add(_Sequence(self._shape, adapter))

    @torch.inference_mode()
    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences, in one pass for each adapter among them; (B, V) float32."""
        groups = places_by_adapter([self._sequences[sequence].adapter for sequence, _ in work])
        rows: dict[int, Logits] = {}
        for adapter, places in groups.items():
            self._adapters.use(adapter)
            rows |= zip(places, self._forward([work[place] for place in places]), strict=True)
        return np.stack([rows[place] for place in range(len(work))])

    def _forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        sequences = [self._sequences[sequence] for sequence, _ in work]
        counts = [len(tokens) for _, tokens in work]
        for sequence, count in zip(sequences, counts, strict=True):
            sequence.reserve(sequence.length + count)
        spans = [
            Span(sequence.length, count, sequence.keys, sequence.values)
            for sequence, count in zip(sequences, counts, strict=True)
        ]
        self.attention.begin(spans)
        try:
            logits = self._logits([token for _, tokens in work for token in tokens], spans)
        finally:
            self.attention.end()
        for sequence, count in zip(sequences, counts, strict=True):
            sequence.length += count
        return logits

    @torch.inference_mode()
    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Let a sequence hold at most its first `length` tokens; how many that are."""
        held = self._sequences[sequence]
        held.cut(length)
        return held.length

    @torch.inference_mode()
    def fork(self, source: SequenceId) -> SequenceId:
        """Begin a sequence with all that another holds."""
        held = self._sequences[source]
        forked = _Sequence(self._shape, held.adapter)
        forked.begin_as(held)
        return self._add(forked)

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's memory back."""
        del self._sequences[sequence]

    def _logits(self, tokens: list[int], spans: Sequence[Span]) -> Logits:
        device = self._shape.device
        positions = [place for span in spans for place in range(span.start, span.end)]
        ends = list(itertools.accumulate(span.count for span in spans))
        output = self._model(
            input_ids=torch.tensor([tokens], device=device),  # (1, N)
            position_ids=torch.tensor([positions], device=device),  # (1, N)
            logits_to_keep=torch.tensor(ends, device=device) - 1,  # (B,)
            use_cache=False,
        )
        logits: Logits = output.logits[0].float().cpu().numpy()  # (1, B, V) -> (B, V)
        return logits

    def _add(self, sequence: _Sequence) -> SequenceId:
        serial = SequenceId(next(self._serial))
        self._sequences[serial] = sequence
        return serial
