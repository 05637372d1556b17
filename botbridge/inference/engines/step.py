"""What a model must offer to be driven by `BatchEngine`: one forward pass over many sequences at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.dialogue import Dialogue
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits
from botbridge.models.files import ModelFiles

SequenceId = NewType("SequenceId", int)


class StepModel(Protocol):
    """A model with a memory: each open sequence holds what was computed of its tokens (its kv cache).

    There is no limit to how many sequences are open; how many of them lie in
    the model's own buffers at one time is the implementation's affair.
    """

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: There is no adapter of this name.
        """
        ...

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences and compute what may follow the last of each.

        Args:
            work: Each sequence once, with one token or more: a piece of a
                prompt for some, the newest token of an answer for others.

        Returns:
            (B, V) float32, a row for each element of `work`, in its order; the
            caller's own.

        When this raises, the sequences named may hold anything beyond their
        former length; `truncate` brings them back.
        """
        ...

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Let a sequence hold at most its first `length` tokens.

        Returns:
            How many it holds now. Fewer than `length` where the model cannot go
            back to there: what a sliding window left out of sight may be gone.
        """
        ...

    def fork(self, source: SequenceId) -> SequenceId:
        """Begin a sequence with all that another holds, which is left as it was."""
        ...

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's memory back."""
        ...


@dataclass(frozen=True, slots=True)
class Streams:
    """Memory for sequences that is taken whole, however little of it is used.

    Attributes:
        count: How many sequences lie in it.
        room_tokens: How long each of them may become, by how long the longest has been so far.
    """

    count: int
    room_tokens: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, how to talk to it, and what a token of its memory takes.

    Attributes:
        cache_bytes_per_token: What one token of one sequence occupies.
        can_truncate: False for models whose memory cannot be cut (recurrent
            states, say); nothing of theirs is reused.
        streams: Where the sequences lie that were used last; None where each
            takes as much as it is long.
    """

    info: EngineInfo
    model: StepModel
    dialogue: Dialogue
    cache_bytes_per_token: int
    can_truncate: bool = True
    streams: Streams | None = None


LoadModel = Callable[[ModelFiles | None, EngineOptions], LoadedModel]
"""Loads a model; any exception means that it is not possible, and its text says why."""
