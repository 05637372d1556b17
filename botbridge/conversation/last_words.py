"""What an answer has become when the model has ended it: what is remembered of it, and what its person reads. Pure."""

from __future__ import annotations

from botbridge.answers import FinishReason
from botbridge.conversation.cleaning import visible
from botbridge.conversation.ending import end_cut_answer
from botbridge.conversation.texts import Language


def remembered(words: str, reason: FinishReason) -> str:
    """Return what counts as the answer; empty where nothing shows.

    >>> remembered("  Paris is the capital. It lies on", FinishReason.LENGTH)
    'Paris is the capital.'
    """
    text = words.strip() if visible(words).strip() else ""
    if text and reason in {FinishReason.LENGTH, FinishReason.FILTERED}:
        return end_cut_answer(text)
    return text


def shown(language: Language, answer: str, reason: FinishReason, *, has_attachment: bool) -> str:
    """Return what the person reads.

    Args:
        language: The person's.
        answer: What is remembered.
        reason: Why the model ended.
        has_attachment: Whether something came with the question that the model was not shown.
    """
    if reason is FinishReason.FILTERED:
        told = _withheld(language, answer)
    else:
        told = answer or language.say("The model had nothing to say to that. Please put it another way.")
    return _beside_attachment(language, told) if has_attachment else told


def _beside_attachment(language: Language, told: str) -> str:
    """What is shown as the answer to a text with which something came that the model was not shown."""
    note = language.say("I have read only the text of your message: I cannot see what is attached to it.")
    return f"{told}\n\n{note}"


def _withheld(language: Language, text: str) -> str:
    """What is shown of an answer of which a filter withheld the rest, or all.

    Args:
        language: The person's.
        text: What came before that; may be empty.
    """
    if not text:
        return language.say(
            "The server that I ask for answers withheld this one, because its filter objected. "
            "Please put it another way."
        )
    rest = language.say("The server that I ask for answers withheld the rest of this one, because its filter objected.")
    return f"{text}\n\n{rest}"
