"""An answer that was computed again: whether it is the one that was stored, and where it is another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botbridge.answers import GeneratorStatus, Provenance
from botbridge.models.files import TOKENIZER_NAME

TURNS_OF_AN_EXCHANGE: Final = 2


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first token in which two answers differ.

    Attributes:
        position: Its place in the answer, from 1.
        stored_id: What was chosen then; None where that answer had ended.
        now_id: What was chosen now; None where this answer had ended.
        margin: How clearly the present token was chosen (`sampling.Choice`): in
            logits at temperature 0, else as a share of 1. A difference in the
            arithmetic that is smaller than this cannot have been the reason.
            None where the engine does not tell.
    """

    position: int
    stored_id: int | None
    now_id: int | None
    margin: float | None


def first_divergence(stored: Sequence[int], now: Sequence[int], margins: Sequence[float]) -> Divergence | None:
    """Return where two answers part; None when they are the same.

    Args:
        stored: Token ids of the stored answer.
        now: Token ids of the one that was computed now.
        margins: How clearly each of these was chosen; may be empty.

    >>> first_divergence([5, 6, 2], [5, 7, 8], [0.9, 0.25, 0.5])
    Divergence(position=2, stored_id=6, now_id=7, margin=0.25)
    >>> first_divergence([5, 6], [5, 6], [0.9, 0.8]) is None
    True
    """
    for place in range(max(len(stored), len(now))):
        stored_id = stored[place] if place < len(stored) else None
        now_id = now[place] if place < len(now) else None
        if stored_id != now_id:
            return Divergence(place + 1, stored_id, now_id, margins[place] if place < len(margins) else None)
    return None


def goes_on(later: Provenance, earlier: Provenance) -> bool:
    """Tell whether an answer was computed from what an earlier one of its conversation had left.

    Not when no more of its prompt was known than of that one's, for what is
    known grows from turn to turn, nor when its history had been cut in between.

    Args:
        later: Of an answer.
        earlier: Of the one before it.
    """
    return (
        later.cached_tokens > earlier.cached_tokens
        and later.used_turns == earlier.used_turns + TURNS_OF_AN_EXCHANGE
        and bool(earlier.completion_ids)
        and made_by(later) == made_by(earlier)
        and later.adapter == earlier.adapter
    )


@dataclass(frozen=True, slots=True)
class Again:
    """An answer that was computed again, on the way to a later one of its conversation.

    Attributes:
        id: Of the stored answer.
        then: Where that came from.
        now: Where the second one came from.
        begins_anew: What had been computed before was forgotten for it, as less was known then.
    """

    id: int
    then: Provenance
    now: Provenance
    begins_anew: bool = False


def first_astray(course: Sequence[Again]) -> int | None:
    """Return the first of the answers that the last one went on from which came out otherwise; None if none did.

    One that knew another part of its prompt than then counts, too, but for the
    oldest: that began with the system text at most, which is computed by itself
    whoever does it.

    Args:
        course: Answers of a conversation in their order, the one that is asked for last.
    """
    oldest = max((place for place, again in enumerate(course) if again.begins_anew), default=0)
    for place, again in enumerate(course[oldest:-1]):
        is_alike = again.now.completion_ids == again.then.completion_ids
        if not is_alike or (place and again.now.cached_tokens != again.then.cached_tokens):
            return again.id
    return None


def made_by(origin: Provenance | GeneratorStatus, adapter: str | None = None) -> dict[str, str]:
    """Return what has to be the same for an answer to be computed again, by the name that people read.

    Args:
        origin: Of an answer, or what there is now.
        adapter: Of all that are there now, the one that the answer was computed with.
    """
    facts = {
        "model": origin.model,
        "revision": origin.revision,
        "engine": origin.engine,
        "engine version": origin.engine_version,
    }
    if isinstance(origin, Provenance):
        revision = origin.adapter_revision
    else:
        revision = next((known.revision for known in origin.adapters if known.name == adapter), None)
    return facts if revision is None else {**facts, "adapter revision": revision}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is another now, each as a clause that names both; what `now` does not know is left out.

    >>> changes({"engine": "echo", "revision": "a"}, {"revision": "b"})
    ('the revision was a and is b',)
    """
    return tuple(f"the {name} was {then[name]} and is {value}" for name, value in now.items() if value != then[name])


def token_text(directory: Path | None, token_id: int) -> str | None:
    """Return what a token says, special ones included; None where there is no tokenizer that tells.

    Args:
        directory: The model's files; None for an engine without a model.
        token_id: An id of its vocabulary.
    """
    if directory is None or not (directory / TOKENIZER_NAME).is_file():
        return None
    from tokenizers import Tokenizer  # noqa: PLC0415 - takes a while, and is needed after a divergence only

    tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_NAME))
    return str(tokenizer.decode([token_id], skip_special_tokens=False))
