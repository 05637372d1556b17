"""Any Hugging Face causal model as a `StepModel`, one sequence after another, in transformers' own way.

Covered: every architecture, with the caches that transformers gives it. Not
covered: computing several sequences in one pass (`transformers_ragged`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from botbridge.inference.engines.step import SequenceId
from botbridge.inference.engines.transformers_adapters import LoraAdapters
from botbridge.inference.sampling import Logits


@dataclass(slots=True)
class _Sequence:
    """The library's own cache, and how many tokens it holds."""

    cache: DynamicCache
    adapter: str | None
    length: int = 0


class PlainModel:
    """A model whose sequences are computed by themselves."""

    def __init__(
        self, model: PreTrainedModel, *, adapters: LoraAdapters | None = None, reads_pieces: bool = True
    ) -> None:
        """Begin without sequences.

        Args:
            model: Any causal model.
            adapters: Those inside the model; None for none.
            reads_pieces: Whether it goes on from a cache with several tokens at
                once. Some recurrent models begin anew then, without an error;
                they get what follows the first piece token by token.
        """
        self._model = model
        self._adapters = adapters or LoraAdapters()
        self._reads_pieces = reads_pieces
        self._sequences: dict[SequenceId, _Sequence] = {}
        self._serial = itertools.count()

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: There is no adapter of this name, or something stands in its way.
        """
        self._adapters.require(adapter)
        return self._add(_Sequence(DynamicCache(config=self._model.config), adapter))

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences; (B, V) float32."""
        return np.stack([self._forward(self._sequences[sequence], tokens) for sequence, tokens in work])

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Let a sequence hold at most its first `length` tokens; how many that are."""
        held = self._sequences[sequence]
        # A pass that failed may have left more than was counted, and in some of the layers only.
        for layer in [layer for layer in held.cache.layers if isinstance(layer, DynamicLayer)]:
            surplus = layer.get_seq_length() - length
            if surplus > 0:
                layer.crop(-surplus)  # transformers 5: minus the number of tokens to remove
                assert layer.keys is not None
                assert layer.values is not None
                # What is left is a view of all that there was. To copy it takes memory for
                # a moment, and the cut may be made because there was none.
                with suppress(MemoryError, RuntimeError):  # torch raises either
                    layer.keys, layer.values = layer.keys.clone(), layer.values.clone()
        held.length = min(held.length, length)
        return held.length

    def fork(self, source: SequenceId) -> SequenceId:
        """Begin a sequence with all that another holds."""
        return self._add(copy.deepcopy(self._sequences[source]))

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's memory back."""
        del self._sequences[sequence]

    def _forward(self, held: _Sequence, tokens: Sequence[int]) -> Logits:
        if len(tokens) > 1 and held.length and not self._reads_pieces:
            return [self._forward(held, [token]) for token in tokens][-1]
        self._adapters.use(held.adapter)
        input_ids = torch.tensor([list(tokens)], dtype=torch.int64, device=self._model.device)  # (1, T)
        output = self._model(input_ids, past_key_values=held.cache, use_cache=True, logits_to_keep=1)
        held.length += len(tokens)
        logits: Logits = output.logits[0, -1].float().cpu().numpy()  # (1, 1, V) -> (V,)
        return logits

    def _add(self, sequence: _Sequence) -> SequenceId:
        serial = SequenceId(next(self._serial))
        self._sequences[serial] = sequence
        return serial


def can_truncate(cache: DynamicCache) -> bool:
    """Tell whether every layer keeps all of its tokens; sliding windows and recurrent states do not."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def cache_bytes(cache: DynamicCache) -> int:
    """Return what a cache that can be cut occupies."""
    tensors = [
        tensor for layer in cache.layers if isinstance(layer, DynamicLayer) for tensor in (layer.keys, layer.values)
    ]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
