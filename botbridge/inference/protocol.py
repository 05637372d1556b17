"""Everything that crosses between the service and the worker process.

Frozen dataclasses of text and numbers, nothing else; exceptions never cross.

Invariants, held by client, supervisor and worker together:

* every `Generate` gets exactly one `Done` or `Failed`;
* a worker's death fails exactly the requests that it held;
* a message of a wrong type or for an unknown request, or one that cannot be
  decoded, ends the worker's generation; its requests are failed with
  `WorkerDied` and may be tried again on the next, which has queues of its own;
* messages of an older generation are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from botbridge.answers import FinishReason, KnownAdapter, Provenance, RequestId, Sampling, Turn


class FailureKind(StrEnum):
    """Why a request failed; the client maps each to one class of the error tree."""

    PROMPT_TOO_LONG = "prompt_too_long"
    ADAPTER = "adapter"
    DEADLINE = "deadline"
    ENGINE = "engine"


# To the worker --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generate:
    """Answer a prompt; the newest turn stands last.

    Attributes:
        generation: The worker generation that is meant; another one drops the request.
        conversation: The name under which a cache may be kept.
        deadline_s: Seconds from receipt after which the answer is given up.
    """

    request_id: RequestId
    generation: int
    conversation: str
    system: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    deadline_s: float
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a request; it still ends with `Done(finish_reason=cancelled)`. Unknown ids are ignored."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop whatever is cached for a conversation."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Finish nothing, exit with 0."""


# From the worker ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded.

    Attributes:
        context_tokens: Prompt and answer together fit into this many tokens.
        slots: How many requests may be held at once.
        notes: What the operator should know, e.g. of a fallback taken.
        weights_bytes: How much of the weights is read for one token; 0 if unknown.
        adapters: Those that a request may name, and those that cannot be used.
    """

    generation: int
    engine: str
    engine_version: str
    model: str
    revision: str
    context_tokens: int
    slots: int
    notes: tuple[str, ...] = ()
    weights_bytes: int = 0
    adapters: tuple[KnownAdapter, ...] = ()


@dataclass(frozen=True, slots=True)
class Loading:
    """An engine that `auto` chose begins to load the model; should the worker die of it, the next one leaves it out."""

    generation: int
    engine: str


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model could not be loaded; the worker exits after this."""

    generation: int
    detail: str


@dataclass(frozen=True, slots=True)
class StartedMessage:
    """The prompt of a request is being read."""

    generation: int
    request_id: RequestId
    prompt_tokens: int
    cached_tokens: int
    used_turns: int


@dataclass(frozen=True, slots=True)
class DeltaMessage:
    """More text of an answer."""

    generation: int
    request_id: RequestId
    text: str
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer."""

    generation: int
    request_id: RequestId
    finish_reason: FinishReason
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a request that has no answer."""

    generation: int
    request_id: RequestId
    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker is alive.

    Attributes:
        tokens_total: All tokens computed so far, prompt tokens included; a
            worker with something running whose total stands still hangs.
    """

    generation: int
    running: int
    tokens_total: int


ToWorker = Generate | Cancel | Forget | Shutdown
FromWorker = Ready | Loading | LoadFailed | StartedMessage | DeltaMessage | Done | Failed | Heartbeat
