"""What stays computed between turns: each conversation's sequence, and the system text that all of them share.

Covered: the longest common prefix of a conversation's last tokens and its next
prompt is not computed again; a new conversation begins with a copy of the
system text; what was least recently used goes first when memory is short, and
answers in the making count, too.
Not covered: prefixes shared by conversations beyond the system text, so that
nobody can learn from a quick answer what somebody else wrote.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from botbridge.inference.engines.base import EnginePrompt
from botbridge.inference.engines.step import SequenceId, StepModel


@dataclass(frozen=True, slots=True)
class Kept:
    """A sequence and the tokens that it holds."""

    sequence: SequenceId
    ids: Sequence[int]
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A sequence for one request; it holds the first `computed` tokens of the prompt."""

    sequence: SequenceId
    computed: int
    reserved_tokens: int


SharedKey = tuple[tuple[int, ...], str | None]


class PrefixCache:
    """Sequences that wait for their conversation's next turn, the least recently used first."""

    def __init__(self, model: StepModel, limit_tokens: int) -> None:
        """Begin empty.

        Args:
            model: Where the sequences live.
            limit_tokens: How many tokens all sequences may hold together, those
                of running requests included; these get theirs in any case.
        """
        self._model = model
        self._limit_tokens = limit_tokens
        self._kept: OrderedDict[str | SharedKey, Kept] = OrderedDict()
        self._kept_tokens = 0
        self._reserved_tokens = 0

    def begin(self, conversation: str, prompt: EnginePrompt, adapter: str | None) -> Lease:
        """Open a sequence that holds as much of the prompt as is known; at least one token is left to compute.

        Raises:
            ValueError: There is no adapter of this name.
        """
        sequence, computed = self._best_start(conversation, prompt, adapter)
        lease = Lease(sequence, computed, len(prompt.ids) + prompt.max_new_tokens)
        self._reserved_tokens += lease.reserved_tokens
        self._make_room()
        return lease

    def end(self, lease: Lease, conversation: str | None, ids: Sequence[int], adapter: str | None) -> None:
        """Take a sequence back, for the conversation's next turn, or for nobody when that was forgotten.

        Args:
            lease: What `begin` gave.
            conversation: None closes the sequence.
            ids: The tokens that it holds.
            adapter: What it was computed with.
        """
        self._reserved_tokens -= lease.reserved_tokens
        if conversation is None:
            self._model.close(lease.sequence)
            return
        self.forget(conversation)
        self._keep(conversation, Kept(lease.sequence, tuple(ids), adapter))

    def shared_is_wanted(self, prompt: EnginePrompt, adapter: str | None) -> bool:
        """Tell whether a copy of the prompt's shared beginning should be kept once it is computed."""
        return 0 < prompt.shared_tokens <= self._limit_tokens and _shared_key(prompt, adapter) not in self._kept

    def keep_shared(self, sequence: SequenceId, prompt: EnginePrompt, adapter: str | None) -> None:
        """Keep a copy of a prompt's shared beginning, which `sequence` holds."""
        copy = self._model.fork(sequence, prompt.shared_tokens)
        self._keep(_shared_key(prompt, adapter), Kept(copy, prompt.ids[: prompt.shared_tokens], adapter))

    def forget(self, conversation: str) -> None:
        """Drop what is kept for a conversation."""
        self._drop(conversation)

    def _best_start(self, conversation: str, prompt: EnginePrompt, adapter: str | None) -> tuple[SequenceId, int]:
        kept = self._take(conversation)
        own = 0
        if kept is not None and kept.adapter == adapter:
            known = min(common_prefix(kept.ids, prompt.ids), len(prompt.ids) - 1)
            own = self._model.truncate(kept.sequence, known)
        shared = self._kept.get(_shared_key(prompt, adapter))
        if kept is not None and own > 0 and (shared is None or own >= len(shared.ids)):
            return kept.sequence, own
        if kept is not None:
            self._model.close(kept.sequence)
        if shared is not None and len(shared.ids) < len(prompt.ids):
            return self._copy(_shared_key(prompt, adapter), shared)
        return self._model.open(adapter), 0

    def _copy(self, key: SharedKey, shared: Kept) -> tuple[SequenceId, int]:
        """Begin with the system text; where the model has let go of it, it is to be kept anew when it was computed."""
        self._kept.move_to_end(key)
        copy = self._model.fork(shared.sequence, len(shared.ids))
        computed = self._model.truncate(copy, len(shared.ids))
        if computed < len(shared.ids):
            self._drop(key)
        return copy, computed

    def _keep(self, key: str | SharedKey, kept: Kept) -> None:
        self._kept[key] = kept
        self._kept_tokens += len(kept.ids)
        self._make_room()

    def _make_room(self) -> None:
        while self._kept and self._kept_tokens + self._reserved_tokens > self._limit_tokens:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str | SharedKey) -> None:
        kept = self._take(key)
        if kept is not None:
            self._model.close(kept.sequence)

    def _take(self, key: str | SharedKey) -> Kept | None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept_tokens -= len(kept.ids)
        return kept


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike.

    >>> common_prefix([1, 2, 3], [1, 2, 4]), common_prefix([1], [1, 2])
    (2, 1)
    """
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shared_key(prompt: EnginePrompt, adapter: str | None) -> SharedKey:
    return prompt.ids[: prompt.shared_tokens], adapter
