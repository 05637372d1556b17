"""What stays computed between turns: each conversation's sequence, and the system text that all of them share.

Covered: the longest common prefix of a conversation's last tokens and its next
prompt is not computed again; a new conversation begins with a copy of the
system text; what was least recently used goes first when memory is short, and
answers in the making count, too, as do streams that lie empty.
Not covered: that an answer in the making makes streams grow (it counts when it
ends); prefixes shared by conversations beyond the system text, so that
nobody can learn from a quick answer what somebody else wrote.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from botbridge.inference.engines.base import EnginePrompt, describe
from botbridge.inference.engines.step import SequenceId, StepModel, Streams

LEAST_SHARE = 0.25
"""A quarter of the memory is for those who are not being answered, however much streams take."""

log = logging.getLogger(__name__)


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

    def __init__(self, model: StepModel, limit_tokens: int, streams: Streams | None = None) -> None:
        """Begin empty.

        Args:
            model: Where the sequences live.
            limit_tokens: How many tokens all sequences may hold together, those
                of running requests included; these get theirs in any case.
            streams: What of the model's memory is taken whole.
        """
        self._model = model
        self._limit_tokens = limit_tokens
        self._kept: OrderedDict[str | SharedKey, Kept] = OrderedDict()
        self._kept_tokens = 0
        self._running = 0
        self._reserved_tokens = 0
        self._streams = streams
        self._longest_tokens = 0

    def begin(self, conversation: str, prompt: EnginePrompt, adapter: str | None) -> Lease:
        """Open a sequence that holds as much of the prompt as is known; at least one token is left to compute.

        Raises:
            ValueError: There is no adapter of this name.
        """
        sequence, computed = self._best_start(conversation, prompt, adapter)
        lease = Lease(sequence, computed, len(prompt.ids) + prompt.max_new_tokens)
        self._running += 1
        self._reserved_tokens += lease.reserved_tokens
        self._longest_tokens = max(self._longest_tokens, len(prompt.ids))
        self._make_room()
        return lease

    def begin_with(self, source: Lease, lease: Lease, length: int) -> Lease:
        """Exchange a sequence that holds nothing for a copy of another one; as it was without the memory for that.

        Args:
            source: Whose sequence is copied.
            lease: What `begin` gave.
            length: How many tokens `source` holds.
        """
        copy = self._copy_of(source.sequence)
        if copy is None:
            return lease
        self._model.close(lease.sequence)
        return replace(lease, sequence=copy, computed=length)

    def end(self, lease: Lease, conversation: str | None, ids: Sequence[int], adapter: str | None) -> None:
        """Take a sequence back, for the conversation's next turn, or for nobody when that was forgotten.

        Args:
            lease: What `begin` gave.
            conversation: None closes the sequence.
            ids: The tokens that it holds.
            adapter: What it was computed with.
        """
        self._running -= 1
        self._reserved_tokens -= lease.reserved_tokens
        self._longest_tokens = max(self._longest_tokens, len(ids))
        if conversation is None:
            self._model.close(lease.sequence)
            return
        self.forget(conversation)
        self._keep(conversation, Kept(lease.sequence, tuple(ids), adapter))

    def shared_is_wanted(self, prompt: EnginePrompt, adapter: str | None) -> bool:
        """Tell whether a copy of the prompt's shared beginning should be kept once it is computed."""
        return 0 < prompt.shared_tokens <= self._room_tokens() and shared_key(prompt, adapter) not in self._kept

    def keep_shared(self, sequence: SequenceId, prompt: EnginePrompt, adapter: str | None) -> None:
        """Keep a copy of a prompt's shared beginning, which is what `sequence` holds."""
        copy = self._model.fork(sequence)
        self._keep(shared_key(prompt, adapter), Kept(copy, prompt.ids[: prompt.shared_tokens], adapter))

    def forget(self, conversation: str) -> None:
        """Drop what is kept for a conversation."""
        self._drop(conversation)

    def _best_start(self, conversation: str, prompt: EnginePrompt, adapter: str | None) -> tuple[SequenceId, int]:
        kept = self._kept.get(conversation)
        own = common_prefix(kept.ids, prompt.ids) if kept is not None and kept.adapter == adapter else 0
        own = min(own, len(prompt.ids) - 1)
        shared = self._kept.get(shared_key(prompt, adapter))
        least = len(shared.ids) if shared is not None else 1
        if kept is not None and own >= least:
            own = self._model.truncate(kept.sequence, own)
        if kept is not None and own >= least:
            del self._kept[conversation]
            self._kept_tokens -= len(kept.ids)
            return kept.sequence, own
        self._drop(conversation)
        if shared is not None and len(shared.ids) < len(prompt.ids):
            self._kept.move_to_end(shared_key(prompt, adapter))
            copy = self._copy_of(shared.sequence)
            if copy is not None:
                return copy, len(shared.ids)
        return self._model.open(adapter), 0

    def _copy_of(self, source: SequenceId) -> SequenceId | None:
        """Begin a sequence with the system text that another one holds; None without the memory for it."""
        try:
            return self._model.fork(source)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, this answer does not need the copy
            log.warning("the system text is computed again, for no copy of it was to be had: %s", describe(error))
            return None

    def _keep(self, key: str | SharedKey, kept: Kept) -> None:
        self._kept[key] = kept
        self._kept_tokens += len(kept.ids)
        self._make_room()

    def _make_room(self) -> None:
        while self._kept and not self._has_room():
            self._drop(next(iter(self._kept)))

    def _has_room(self) -> bool:
        if self._streams is None:
            return self._kept_tokens + self._reserved_tokens <= self._limit_tokens
        # Of the conversations that wait, those that spoke last lie in the streams in which nobody is answered.
        waiting = (len(kept.ids) for key, kept in reversed(self._kept.items()) if isinstance(key, str))
        lying_tokens = sum(itertools.islice(waiting, max(self._streams.count - self._running, 0)))
        return self._kept_tokens - lying_tokens <= self._room_tokens()

    def _room_tokens(self) -> int:
        """How many tokens may be kept outside of streams."""
        if self._streams is None:
            return self._limit_tokens
        streams_tokens = self._streams.count * self._streams.room_tokens(self._longest_tokens)
        return max(self._limit_tokens - streams_tokens, int(LEAST_SHARE * self._limit_tokens))

    def _drop(self, key: str | SharedKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept_tokens -= len(kept.ids)
            self._model.close(kept.sequence)


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike.

    >>> common_prefix([1, 2, 3], [1, 2, 4]), common_prefix([1], [1, 2])
    (2, 1)
    """
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def shared_key(prompt: EnginePrompt, adapter: str | None) -> SharedKey:
    """Return what one copy of a system text serves: its tokens, and what they are computed with."""
    return prompt.ids[: prompt.shared_tokens], adapter
