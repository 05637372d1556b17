"""A `StepModel` in a few lines: the next token follows from the tokens so far, and every call is noted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from botbridge.inference.engines.base import EngineInfo, EnginePrompt
from botbridge.inference.engines.dialogue import Dialogue
from botbridge.inference.engines.step import LoadedModel, SequenceId, Streams
from botbridge.inference.prompt import ChatTemplate, PromptBuilder, plain_template
from botbridge.inference.sampling import Logits

VOCABULARY = 1000
STOP_ID = 0

NextToken = Callable[[Sequence[int]], int]


class ScriptedStepModel:
    """Holds sequences as lists of tokens.

    Attributes:
        sequences: What each open sequence holds.
        steps: The tokens given to each `forward`, in order.
        poison: A token that makes `forward` raise, half-way, as a real model would.
        is_full: Copies of a sequence find no memory.
        cuttable_to: Sequences can be cut to multiples of this length only.
    """

    def __init__(self, next_token: NextToken) -> None:
        self.sequences: dict[SequenceId, list[int]] = {}
        self.adapters: dict[SequenceId, str | None] = {}
        self.steps: list[list[list[int]]] = []
        self.poison: int | None = None
        self.is_full = False
        self.cuttable_to = 1
        self._next_token = next_token
        self._serial = itertools.count(1)

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence; `poet` is the one adapter."""
        if adapter not in (None, "poet"):
            raise ValueError(f"there is no adapter {adapter!r}")
        sequence = SequenceId(next(self._serial))
        self.sequences[sequence] = []
        self.adapters[sequence] = adapter
        return sequence

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append, and let the script choose with a margin of 1."""
        assert len({sequence for sequence, _ in work}) == len(work)
        assert all(tokens for _, tokens in work)
        self.steps.append([list(tokens) for _, tokens in work])
        logits = np.zeros((len(work), VOCABULARY), np.float32)
        for row, (sequence, tokens) in enumerate(work):
            self.sequences[sequence] += tokens
            if self.poison in tokens:
                raise IndexError("poisoned")
            logits[row, self._next_token(self.sequences[sequence])] = 1
        return logits

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Cut, to what can be."""
        held = self.sequences[sequence]
        if length < len(held):
            del held[length // self.cuttable_to * self.cuttable_to :]
        return len(held)

    def fork(self, source: SequenceId) -> SequenceId:
        """Copy."""
        if self.is_full:
            raise MemoryError("no room for a copy")
        forked = self.open(self.adapters[source])
        self.sequences[forked] = list(self.sequences[source])
        return forked

    def close(self, sequence: SequenceId) -> None:
        """Forget."""
        del self.sequences[sequence], self.adapters[sequence]


class NumberTokenizer:
    """A token is a number; a person's text is numbers between blanks."""

    control_ids = frozenset({STOP_ID})

    def encode(self, text: str, after: int | None = None) -> list[int]:
        """Nothing but the template is encoded here, and it is dropped."""
        return []

    def encode_plain(self, text: str, after: int | None = None) -> list[int]:
        """Numbers."""
        return [int(word) for word in text.split()]


def scripted(
    model: ScriptedStepModel,
    *,
    can_truncate: bool = True,
    bytes_per_token: int = 1,
    streams: Streams | None = None,
    context_tokens: int = 10_000,
) -> LoadedModel:
    """The model, as if it had been loaded; an answer's text is its tokens, with a blank before each."""
    builder = PromptBuilder(NumberTokenizer(), ChatTemplate(plain_template), context_tokens)
    dialogue = Dialogue(builder, lambda ids: "".join(f" {token_id}" for token_id in ids), frozenset({STOP_ID}))
    return LoadedModel(
        EngineInfo("scripted", "1", context_tokens), model, dialogue, bytes_per_token, can_truncate, streams
    )


def prompt(*ids: int, shared_tokens: int = 0, max_new_tokens: int = 100) -> EnginePrompt:
    """A prompt of these tokens."""
    return EnginePrompt(ids, 1, max_new_tokens, shared_tokens)
