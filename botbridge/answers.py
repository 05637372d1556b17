"""The nouns of an answer: what a model is asked, what it says, and where that came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

RequestId = NewType("RequestId", str)


class Role(StrEnum):
    """Who speaks in a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """Why the model stopped: its own end of turn, the length limit, a cancel, or a filter that withheld the rest."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: Upper bound of the answer, the prompt not counted; 1 or more.
        temperature: 0 takes the likeliest token always; above 0 samples.
        top_p: Keep the smallest set of tokens that holds this share of the
            probability; 0 < top_p <= 1, 1 keeps all.
        repetition_penalty: Divides the logits of tokens that the answer already
            holds; 1 switches it off.
        seed: Makes sampling repeatable; None draws one, which is stored with
            the answer.
    """

    max_new_tokens: int = 512
    temperature: float = 0.2
    top_p: float = 0.9
    repetition_penalty: float = 1.1
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One contribution to a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Recent:
    """What a conversation brings along to its next answer.

    Attributes:
        turns: What was said last, oldest first, in question-answer pairs.
        adapter: The LoRA adapter that it is answered with; None is the bare model.
    """

    turns: tuple[Turn, ...] = ()
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked: a fixed system text, the turns so far, the newest last.

    Attributes:
        conversation: `ConversationKey.text`; a cache may be kept under it, and is dropped by `forget`.
        deadline_s: Seconds from now after which nobody waits for the answer.
        adapter: The LoRA adapter to use; None is the bare model.
    """

    request_id: RequestId
    conversation: str
    system: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    deadline_s: float
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The model has begun to read the prompt.

    Attributes:
        prompt_tokens: Length of the prompt that is really used.
        cached_tokens: How many of them were known when it began. Of the system text, which somebody else may be reading
            just then, it may get a copy later.
        used_turns: How many of the newest turns fitted into the context.
    """

    prompt_tokens: int
    cached_tokens: int
    used_turns: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer's text; joined, the pieces are the answer."""

    text: str
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an answer came from, enough to compute it again.

    Attributes:
        prompt_hash: SHA-256 (hex) of the prompt ids as little-endian int64; from
            a remote server, which does not tell them, of the messages as JSON.
        completion_ids: The ids that the model chose, stop id included; empty
            where the engine does not tell them.
        uncounted_tokens: Length of the answer where there are no ids to count.
        adapter_revision: The exact revision of the adapter; None without one.
        margins: How clearly each of them was chosen; not stored. Empty where
            the engine does not tell.
    """

    model: str
    revision: str
    engine: str
    engine_version: str
    sampling: Sampling
    prompt_hash: str
    prompt_tokens: int
    cached_tokens: int
    used_turns: int
    completion_ids: tuple[int, ...]
    adapter: str | None = None
    adapter_revision: str | None = None
    margins: tuple[float, ...] = ()
    uncounted_tokens: int = 0

    @property
    def completion_tokens(self) -> int:
        """Length of the answer."""
        return len(self.completion_ids) or self.uncounted_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an answer."""

    finish_reason: FinishReason
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Answer:
    """The turn to remember: what the person said and what the model answered.

    Attributes:
        system: The system text that the model was given; empty for none.
    """

    question: str
    text: str
    finish_reason: FinishReason
    provenance: Provenance
    system: str = ""


@dataclass(frozen=True, slots=True)
class KnownAdapter:
    """A LoRA adapter that lies beside the model.

    Attributes:
        obstacle: Why it cannot be used, in words that name it; empty when it can.
    """

    name: str
    revision: str
    obstacle: str = ""


class GeneratorState(StrEnum):
    """Whether answers can be had: not yet (loading or restarting), now, or not until something has changed."""

    STARTING = "starting"
    READY = "ready"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """Whether answers can be had now, and of which model.

    Attributes:
        detail: One sentence for the operator; empty when ready.
        slots: How many answers run side by side.
        notes: What the engine wants the operator to know.
        weights_bytes: How much of the weights is read for one token; 0 if unknown.
        adapters: Those that a prompt may name, and those that cannot be used; known once it is ready.
        shares_fate: Whether a prompt that ends what computes it takes all other answers with it, as in a process of
            ours; servers elsewhere lose one at a time.
    """

    state: GeneratorState
    detail: str = ""
    engine: str = ""
    engine_version: str = ""
    model: str = ""
    revision: str = ""
    context_tokens: int = 0
    slots: int = 1
    notes: tuple[str, ...] = ()
    weights_bytes: int = 0
    adapters: tuple[KnownAdapter, ...] = ()
    shares_fate: bool = True
