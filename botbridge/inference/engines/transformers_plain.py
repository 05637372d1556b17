"""Any Hugging Face causal model as a `StepModel`, one sequence after another, in transformers' own way.

Covered: every architecture, with the caches that transformers gives it. Not
covered: computing several sequences in one pass (`transformers_ragged`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from botbridge.inference.engines.step import SequenceId
from botbridge.inference.sampling import Logits


class PlainModel:
    """A model whose sequences are computed by themselves."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._caches: dict[SequenceId, DynamicCache] = {}
        self._serial = itertools.count()

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: An adapter is named; there is none.
        """
        if adapter is not None:
            raise ValueError(f"there is no adapter {adapter!r}")
        return self._add(DynamicCache(config=self._model.config))

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences; (B, V) float32."""
        return np.stack([self._forward(self._caches[sequence], tokens) for sequence, tokens in work])

    def truncate(self, sequence: SequenceId, length: int) -> None:
        """Let a sequence hold its first `length` tokens only."""
        cache = self._caches[sequence]
        surplus = cache.get_seq_length() - length
        if surplus > 0:
            cache.crop(-surplus)  # transformers 5: minus the number of tokens to remove

    def fork(self, source: SequenceId, length: int) -> SequenceId:
        """Begin a sequence with the first `length` tokens of another."""
        forked = self._add(copy.deepcopy(self._caches[source]))
        self.truncate(forked, length)
        return forked

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's memory back."""
        del self._caches[sequence]

    def _forward(self, cache: DynamicCache, tokens: Sequence[int]) -> Logits:
        input_ids = torch.tensor([list(tokens)], dtype=torch.int64, device=self._model.device)  # (1, T)
        output = self._model(input_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: Logits = output.logits[0, -1].float().cpu().numpy()  # (1, 1, V) -> (V,)
        return logits

    def _add(self, cache: DynamicCache) -> SequenceId:
        sequence = SequenceId(next(self._serial))
        self._caches[sequence] = cache
        return sequence


def can_truncate(cache: DynamicCache) -> bool:
    """Tell whether every layer keeps all of its tokens; sliding windows and recurrent states do not."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def cache_bytes(cache: DynamicCache) -> int:
    """Return what a cache that can be cut occupies."""
    tensors = [
        tensor for layer in cache.layers if isinstance(layer, DynamicLayer) for tensor in (layer.keys, layer.values)
    ]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
