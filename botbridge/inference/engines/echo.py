"""An engine without a model: it answers with what was said, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import botbridge
from botbridge.answers import FinishReason, RequestId, Sampling, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.engines.base import EngineInfo, EnginePrompt, EngineStats, TokenEvent, describe
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

CONTEXT_TOKENS = 32_768


@dataclass(slots=True)
class _Answer:
    """A request on its way: the pieces still to say and the number of those said."""

    pieces: Iterator[str]
    total: int
    limit: int
    said: int = 0


class EchoEngine:
    """Says the newest turn back. A prompt token is a byte, an answer token a word, its id the word's place."""

    def __init__(self) -> None:
        self._context_tokens = CONTEXT_TOKENS
        self._answers: dict[RequestId, _Answer] = {}
        self._tokens_total = 0

    def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:  # noqa: ARG002 - needs no files
        """Get ready at once."""
        self._context_tokens = options.context_tokens or CONTEXT_TOKENS
        return EngineInfo("echo", f"botbridge {botbridge.__version__}", self._context_tokens)

    def prompt(self, system: str, turns: tuple[Turn, ...], max_new_tokens: int) -> EnginePrompt:  # noqa: ARG002
        """Spell the newest turn as bytes; everything before it is of no use to an echo.

        Raises:
            PromptTooLong: it has more bytes than the context has tokens.
        """
        ids = tuple(turns[-1].text.encode("utf-8", "replace"))
        if len(ids) > self._context_tokens:
            raise PromptTooLong(f"the newest message has {len(ids)} tokens, the context {self._context_tokens}")
        return EnginePrompt(ids, used_turns=1, max_new_tokens=max_new_tokens)

    def submit(
        self,
        request_id: RequestId,
        conversation: str,  # noqa: ARG002 - nothing is ever cached
        prompt: EnginePrompt,
        sampling: Sampling,  # noqa: ARG002 - nothing is left to chance
        adapter: str | None = None,
    ) -> int:
        """Take a request on.

        Raises:
            ValueError: an adapter is named; there is none.
        """
        if adapter is not None:
            raise ValueError(f"an echo has no adapter {adapter!r}")
        pieces = re.findall(r"\s*\S+", bytes(prompt.ids).decode().strip())
        self._answers[request_id] = _Answer(iter(pieces), len(pieces), prompt.max_new_tokens)
        self._tokens_total += len(prompt.ids)
        return 0

    def step(self) -> list[TokenEvent]:
        """Say the next word of every answer; one that raises ends with its failure, and the others go on."""
        events = [self._advanced(request_id) for request_id in self._answers]
        for event in events:
            if event.is_last:
                del self._answers[event.request_id]
        return events

    def cancel(self, request_id: RequestId) -> tuple[int, ...]:
        """Let go of a request; the places of the words that were said."""
        answer = self._answers.pop(request_id)
        return tuple(range(answer.said))

    def forget(self, conversation: str) -> None:
        """Do nothing: nothing is kept."""

    def stats(self) -> EngineStats:
        """Bytes read and words said."""
        return EngineStats(self._tokens_total)

    def advance(self, request_id: RequestId) -> TokenEvent:
        """Say the next word of one answer."""
        answer = self._answers[request_id]
        text = next(answer.pieces, "")
        if text:
            answer.said += 1
            self._tokens_total += 1
        reason = None
        if answer.said == answer.total:
            reason = FinishReason.STOP
        elif answer.said == answer.limit:
            reason = FinishReason.LENGTH
        return TokenEvent(
            request_id, text, answer.said, tuple(range(answer.said)) if reason is not None else (), finish_reason=reason
        )

    def _advanced(self, request_id: RequestId) -> TokenEvent:
        try:
            return self.advance(request_id)
        except Exception as error:  # noqa: BLE001 - one that goes wrong, as in echo_faults, must end its own request only
            return TokenEvent(request_id, failure=describe(error))
