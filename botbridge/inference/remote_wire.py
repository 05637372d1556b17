"""What remote servers say, read with care: they are of many makes and may be of ill will.

Covered: OpenAI's own form; what llama-server, vLLM and SGLang add to it; fields
that are missing, null or of the wrong type, which raise ValueError.
Not covered: answers to tools, refusals apart from the text, and thinking that is
sent apart from the text (it is not shown and not remembered).

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

LONGEST_MESSAGE_CHARS: Final = 200

# Source: llama.cpp tools/server (exceed_context_size_error), vLLM ("maximum context length", "longer than the maximum
# model length", "max_tokens must be at least 1, got -9"), SGLang ("longer than the model's context length"), OpenAI
# (context_length_exceeded), Groq ("reduce the length of the messages"), TGI ("`inputs` tokens + `max_new_tokens`").
_TOO_LONG: Final = re.compile(
    r"context[ _](length|size|window)|maximum (model|prompt) length|prompt is too long|too many tokens"
    r"|reduce the length|max_tokens must be at least 1|`inputs` tokens \+",
    re.IGNORECASE,
)


class Fault(StrEnum):
    """What may be done about a server's failure.

    `REFUSED`: nothing before the operator acts. `BUSY`: the same again after a
    pause. `UNREACHABLE` and `NOT_READY`: another server, and this one when it
    is well again. `FAILED` and `SILENT`: another server, or the same.
    `TOO_LONG`: the same server with less. `REJECTED`: nothing, this prompt is
    not taken.
    """

    REFUSED = "refused"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    NOT_READY = "not ready"
    FAILED = "failed"
    SILENT = "silent"
    TOO_LONG = "too long"
    REJECTED = "rejected"


class RemoteFault(Exception):
    """A server did not do what it should; stays inside `inference.remote`.

    Attributes:
        detail: One sentence for the operator, without secrets.
        pause_s: How long the server wants to be left alone; None if it did not say.
    """

    def __init__(self, fault: Fault, detail: str, pause_s: float | None = None) -> None:
        super().__init__(fault, detail, pause_s)
        self.fault = fault
        self.detail = detail
        self.pause_s = pause_s

    def __str__(self) -> str:
        return self.detail


class _Read(BaseModel):
    """Read from the SDK's objects, which are not checked, or from plain JSON."""

    model_config = ConfigDict(from_attributes=True)


class _PromptTokens(_Read):
    cached_tokens: int | None = None


class Usage(_Read):
    """What was counted; None for what was not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """How many prompt tokens did not have to be computed; 0 where the server does not tell."""
        return (self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None) or 0


class _Delta(_Read):
    content: str | None = None


class _Choice(_Read):
    delta: _Delta | None = None
    finish_reason: str | None = None


class Chunk(_Read):
    """One event of a streamed answer."""

    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[_Choice] | None = None
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """The next piece of the answer's text; often empty."""
        return "".join(choice.delta.content or "" for choice in self.choices or () if choice.delta)

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped; None while it goes on."""
        return next((choice.finish_reason for choice in self.choices or () if choice.finish_reason), None)


class _Model(_Read):
    id: str
    max_model_len: int | None = None  # vLLM and SGLang


class _Models(_Read):
    data: list[_Model]


class _Generation(_Read):
    n_ctx: int | None = None


class _Properties(_Read):
    default_generation_settings: _Generation


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says of itself.

    Attributes:
        models: Its models with their context in tokens, None where it does not
            tell; empty where it does not list them.
        version: What it calls itself; empty for nothing.
    """

    models: Mapping[str, int | None]
    version: str = ""


def read_models(found: object) -> dict[str, int | None]:
    """Read the answer to `/v1/models`: names and contexts.

    Raises:
        ValueError: It is no such answer.

    >>> read_models({"data": [{"id": "a", "max_model_len": 8192}, {"id": "b"}]})
    {'a': 8192, 'b': None}
    """
    return {model.id: model.max_model_len for model in _Models.model_validate(found).data}


def read_context(found: object) -> int | None:
    """Read llama-server's answer to `/props`: the context of one slot, in tokens.

    Raises:
        ValueError: It is no such answer.

    >>> read_context({"default_generation_settings": {"n_ctx": 1024}})
    1024
    """
    return _Properties.model_validate(found).default_generation_settings.n_ctx


def choose_model(wanted: str, offered: Sequence[str], *, takes_only: bool) -> str:
    """Return the model to ask for; a name without a tag is Ollama's for the tag `latest`.

    Source: https://docs.ollama.com/api/introduction, "Model names".

    Args:
        wanted: The name in the settings.
        offered: What the server lists; a server that lists nothing is believed to have it.
        takes_only: Whether a single one is taken whatever its name.

    Raises:
        ValueError: The server does not have it.

    >>> choose_model("a", [], takes_only=False), choose_model("a", ["b"], takes_only=True)
    ('a', 'b')
    >>> choose_model("llama3.2", ["llama3.2:1b", "llama3.2:latest"], takes_only=False)
    'llama3.2:latest'
    """
    if not offered or wanted in offered:
        return wanted
    if (tagged := f"{wanted}:latest") in offered:
        return tagged
    if takes_only and len(offered) == 1:
        return offered[0]
    raise ValueError(f"has no model {wanted!r} (BOTBRIDGE_INFERENCE__MODEL); it has {', '.join(map(repr, offered))}")


def fault_of_status(status: int, name: str, message: str, *, says_when: bool) -> Fault:
    """Classify an answer that is none.

    Args:
        status: HTTP status, 300 or more.
        name: The body's `code` and `type`.
        message: The body's message.
        says_when: Whether it says when to come again.

    >>> fault_of_status(400, "exceed_context_size_error", "", says_when=False)
    <Fault.TOO_LONG: 'too long'>
    """
    if status in {400, 413, 422} and _TOO_LONG.search(f"{name} {message}"):
        return Fault.TOO_LONG
    if status in {401, 402, 403, 404} or "insufficient_quota" in name:
        return Fault.REFUSED
    if status == 429 or (status == 503 and says_when):  # noqa: PLR2004 - HTTP's own numbers
        return Fault.BUSY
    if status == 503:  # noqa: PLR2004 - as above; llama-server and vLLM answer so while they load
        return Fault.NOT_READY
    if status in {408, 409, 425} or status >= 500:  # noqa: PLR2004 - as above
        return Fault.FAILED
    return Fault.REJECTED


def pause_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds a server asks to be left alone; None if it does not say, or not so that it can be read.

    Where it names a time, its own clock counts, if it tells that: ours may have been set.
    Source: RFC 9110, sections 10.2.3 and 6.6.1.

    Args:
        headers: Of its answer, by names in lower case.
        now: By our clock.

    >>> pause_of({"retry-after": "7"}, datetime.now(UTC))
    7.0
    """
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", asked):
        return float(asked)
    if (due := _date_in(asked)) is None:
        return None
    return max(0.0, (due - (_date_in(headers.get("date", "")) or now)).total_seconds())


def _date_in(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)


def in_short(message: str) -> str:
    """Return a server's message on one line, cut where it is long."""
    message = " ".join(message.split())
    return message if len(message) <= LONGEST_MESSAGE_CHARS else f"{message[:LONGEST_MESSAGE_CHARS]}…"
