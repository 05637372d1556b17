"""What the worker asks of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from botbridge.answers import FinishReason, KnownAdapter, RequestId, Sampling, Turn
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, once it has loaded its model.

    Attributes:
        version: Every version that a repeated computation depends on.
        context_tokens: Prompt and answer together fit into this many tokens.
        notes: What the operator should know, e.g. of a fallback taken.
        weights_bytes: How much of the weights is read for one token; 0 where
            the engine does not tell.
        adapters: Those that a request may name, and those that could not be
            loaded; empty for an engine that computes none.
    """

    name: str
    version: str
    context_tokens: int
    notes: tuple[str, ...] = ()
    weights_bytes: int = 0
    adapters: tuple[KnownAdapter, ...] = ()


@dataclass(frozen=True, slots=True)
class EnginePrompt:
    """A prompt as the model reads it.

    Attributes:
        ids: All token ids, the template's included.
        used_turns: How many of the newest turns it holds.
        max_new_tokens: What was asked for, or the room that is left.
        shared_tokens: How many of the first ids are alike in every
            conversation: the system text and what the template puts around it.
    """

    ids: tuple[int, ...]
    used_turns: int
    max_new_tokens: int
    shared_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine has done since it was loaded."""

    tokens_total: int


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """What one step brought for one request.

    Attributes:
        text: The next piece of the answer; may be empty.
        completion_tokens: How many tokens the answer has so far.
        completion_ids: All of the answer's tokens, on the last event.
        margins: How clearly each of them was chosen (`sampling.Choice`), on the
            last event; empty where the engine does not tell.
        finish_reason: Set on the last event of a request that ends well.
        failure: Set on the last event of a request that does not.
    """

    request_id: RequestId
    text: str = ""
    completion_tokens: int = 0
    completion_ids: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()
    finish_reason: FinishReason | None = None
    failure: str | None = None

    @property
    def is_last(self) -> bool:
        """True when the engine has let go of the request."""
        return self.finish_reason is not None or self.failure is not None


class Engine(Protocol):
    """Computes answers, several at a time, one step after another; knows no queue and no process."""

    def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:
        """Get ready; may take minutes. Any exception means that it is not possible."""
        ...

    def prompt(self, system: str, turns: tuple[Turn, ...], max_new_tokens: int) -> EnginePrompt:
        """Turn a conversation into token ids.

        Raises:
            PromptTooLong: the newest turn alone leaves no room for an answer.
        """
        ...

    def submit(
        self,
        request_id: RequestId,
        conversation: str,
        prompt: EnginePrompt,
        sampling: Sampling,
        adapter: str | None = None,
    ) -> int:
        """Take a request on; how many prompt tokens need not be computed again. `sampling.seed` is set.

        Raises:
            ValueError: there is no adapter of this name.
        """
        ...

    def step(self) -> list[TokenEvent]:
        """Advance every request by at most one token (or one piece of its prompt)."""
        ...

    def cancel(self, request_id: RequestId) -> tuple[int, ...]:
        """Let go of a request; the ids that were chosen so far."""
        ...

    def forget(self, conversation: str) -> None:
        """Drop what is kept for a conversation."""
        ...

    def stats(self) -> EngineStats:
        """What was done so far."""
        ...


def describe(error: BaseException) -> str:
    r"""Put an exception into one line that may cross the process boundary.

    >>> describe(ValueError("no such\nthing"))
    'ValueError: no such thing'
    """
    text = " ".join(str(error).split()) or ("out of memory" if isinstance(error, MemoryError) else "")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
