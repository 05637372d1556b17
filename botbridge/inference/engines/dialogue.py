"""How a conversation becomes token ids and token ids become an answer, the same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from botbridge.answers import FinishReason, RequestId
from botbridge.inference.answer_text import AnswerText
from botbridge.inference.engines.base import TokenEvent
from botbridge.inference.prompt import PromptBuilder
from botbridge.inference.sampling import Choice


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a model's tokenizer and chat template give.

    Attributes:
        decode: Ids to text, without special tokens.
        stop_ids: Tokens that end an answer.
        stop_strings: Texts that do, where the template has no token for it.
        notes: What the operator should know of the template.
        opening: What the template has written of every answer; it is told as the answer's.
    """

    prompts: PromptBuilder
    decode: Callable[[Sequence[int]], str]
    stop_ids: frozenset[int]
    stop_strings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    opening: str = ""


class GrowingAnswer:
    """An answer, token by token, until the model or a limit ends it."""

    def __init__(self, request_id: RequestId, dialogue: Dialogue, max_new_tokens: int) -> None:
        self._request_id = request_id
        self._stop_ids = dialogue.stop_ids
        self._max_new_tokens = max_new_tokens
        self._text = AnswerText(dialogue.decode, dialogue.stop_strings)
        self._opening = dialogue.opening
        self._margins: list[float] = []
        self.ids: list[int] = []

    def push(self, choice: Choice) -> TokenEvent:
        """Say what a token means: more text, the end of the turn, or the end of the room."""
        self.ids.append(choice.token_id)
        self._margins.append(choice.margin)
        text, reason = self._opening, None
        self._opening = ""
        if choice.token_id in self._stop_ids:
            reason = FinishReason.STOP
        else:
            text += self._text.push(choice.token_id)
            if self._text.stopped:
                reason = FinishReason.STOP
            elif len(self.ids) >= self._max_new_tokens:
                reason = FinishReason.LENGTH
        if reason is None:
            return TokenEvent(self._request_id, text, len(self.ids))
        return TokenEvent(
            self._request_id,
            text + self._text.finish(),
            len(self.ids),
            completion_ids=tuple(self.ids),
            margins=tuple(self._margins),
            finish_reason=reason,
        )
