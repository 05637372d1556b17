"""A question to a remote server, and its answer, turned into events of ours as it comes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from botbridge.answers import Completion, Delta, FinishReason, Provenance, Role, Sampling, Started, Turn
from botbridge.inference.remote_wire import Chunk, Fault, RemoteFault, Usage, in_short

ENGINE: Final = "remote"

MOST_CHARS_PER_TOKEN: Final = 64
"""No token of a usual vocabulary is longer; an answer beyond that is not the one that was asked for."""

ENDS: Final = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "eos_token": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "end_turn": FinishReason.STOP,
        "tool_calls": FinishReason.STOP,
        "function_call": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "max_tokens": FinishReason.LENGTH,
        "model_length": FinishReason.LENGTH,
        "repetition": FinishReason.LENGTH,
        "content_filter": FinishReason.FILTERED,
    }
)
"""What a `finish_reason` means. Any other says that the server gave the answer up, like a stream that breaks off.

OpenAI has stop, length, content_filter, tool_calls and function_call; vLLM stop, length, repetition (it cuts a model
that goes round in circles), abort and error; SGLang has abort for a request that it dropped; DeepSeek
insufficient_system_resource; Mistral model_length and error. TGI's and Anthropic's own names get through some proxies.
Source: https://platform.openai.com/docs/api-reference/chat-streaming; vLLM vllm/v1/engine/__init__.py (FinishReason);
SGLang python/sglang/srt/managers/schedule_batch.py (FINISH_ABORT); TGI router/src/lib.rs (FinishReason);
https://api-docs.deepseek.com/api/create-chat-completion; https://docs.mistral.ai/api;
https://docs.anthropic.com/en/api/messages.
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as a server is asked it.

    Attributes:
        key: The conversation's name towards servers.
        max_tokens: Longest answer; None lets the server fill what is left of its context.
    """

    model: str
    key: str
    system: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    max_tokens: int | None

    @property
    def spoken(self) -> tuple[Turn, ...]:
        """All that is sent, the system text first; what is no Unicode text is made such."""
        turns = (Turn(Role.SYSTEM, self.system), *self.turns) if self.system else self.turns
        return tuple(Turn(turn.role, turn.text.encode(errors="replace").decode()) for turn in turns)

    @property
    def chars(self) -> int:
        """How many characters that is."""
        return len(self.system) + sum(len(turn.text) for turn in self.turns)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is sent, as JSON."""
        messages = [{"role": turn.role.value, "content": turn.text} for turn in self.spoken]
        return hashlib.sha256(json.dumps(messages).encode()).hexdigest()


class RemoteAnswer:
    """Reads one answer.

    Servers count at the end. So `Started` holds an estimate and no cached
    tokens, unless the first event counts already, and the provenance the truth.

    Attributes:
        question: What was asked.
        begun: Whether anything of the answer was handed out.
    """

    def __init__(self, question: Question, url: str, server_version: str, tokens_per_char: float) -> None:
        self.question = question
        self.begun = False
        self._url = url
        self._server_version = server_version
        self._estimate_tokens = round(question.chars * tokens_per_char)
        self._pieces = 0
        self._chars = 0
        self._usage: Usage | None = None
        self._model = ""
        self._fingerprint = ""
        self._finish_reason: FinishReason | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """What the server counted; None if it did not."""
        return self._usage.prompt_tokens if self._usage is not None else None

    @property
    def is_whole(self) -> bool:
        """Whether the model has ended; what may still come are counts."""
        return self._finish_reason is not None

    def take(self, chunk: Chunk) -> list[Started | Delta]:
        """Return what an event of the server adds.

        Raises:
            RemoteFault: The answer is far longer than was asked for, or the server gave it up.
        """
        self._usage = chunk.usage or self._usage
        self._model = chunk.model or self._model
        self._fingerprint = chunk.system_fingerprint or self._fingerprint
        self._chars += len(chunk.text)
        if self._chars > self.question.sampling.max_new_tokens * MOST_CHARS_PER_TOKEN:
            raise RemoteFault(Fault.FAILED, f"{self._url} sent a longer answer than it was asked for")
        if chunk.finish_reason is not None:
            if chunk.finish_reason not in ENDS:
                reason = in_short(chunk.finish_reason)
                raise RemoteFault(Fault.FAILED, f"{self._url} gave an answer up, with the reason {reason!r}")
            self._finish_reason = ENDS[chunk.finish_reason]
        if not chunk.text:
            return []
        self._pieces += 1
        return [*self._started(), Delta(chunk.text, self._completion_tokens)]

    def require_whole(self) -> None:
        """Return when the model has ended.

        Raises:
            RemoteFault: The server has closed the stream, and the model has not.
        """
        if not self.is_whole:
            raise RemoteFault(Fault.FAILED, f"{self._url} ended an answer before it was whole")

    def end(self) -> list[Started | Completion]:
        """Return what is left to be told of a whole answer."""
        return [*self._started(), Completion(self._finish_reason or FinishReason.STOP, self._provenance())]

    @property
    def _completion_tokens(self) -> int:
        """As far as is known: servers send a token an event, or few."""
        return (self._usage.completion_tokens if self._usage is not None else None) or self._pieces

    def _started(self) -> list[Started]:
        if self.begun:
            return []
        self.begun = True
        return [Started(self._prompt_tokens, self._cached_tokens, len(self.question.turns))]

    @property
    def _prompt_tokens(self) -> int:
        return self.prompt_tokens or self._estimate_tokens

    @property
    def _cached_tokens(self) -> int:
        return self._usage.cached_tokens if self._usage is not None else 0

    def _provenance(self) -> Provenance:
        return Provenance(
            model=self._model or self.question.model,
            revision="",
            engine=ENGINE,
            engine_version=self._fingerprint or self._server_version,
            sampling=self.question.sampling,
            prompt_hash=self.question.digest,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            used_turns=len(self.question.turns),
            completion_ids=(),
            uncounted_tokens=self._completion_tokens,
        )
