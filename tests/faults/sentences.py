"""What the bot may say to somebody who speaks English, word for word: written down here, not read from the product.

A text that is not found here, for a message of this kind that ended in this
way, is no answer, whatever the database calls it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MESSAGE_CHARS = 16_000
WAITING_PER_PERSON = 3
"""What the service is set to; these are the defaults that the README names."""

TOO_LONG = "Your message has {length} characters; I take up to 16000. Please shorten it or send it in pieces."
TOO_MANY_WAIT = (
    "3 messages of yours are waiting already, so I do not take this one. "
    "Send it again when I have answered, or stop the others with /cancel."
)
LINE_IS_FULL = "Too many people are waiting just now. Please try again in a few minutes."
EXPIRED = (
    "I did not get to your message in time, so I gave it up. Please send it again.",
    "The answer took too long, so I stopped. Please ask again, perhaps more briefly.",
)
QUARANTINED = (
    "Something went wrong while I was answering, twice in a row, so I gave this message up. "
    "Others are not affected. Reference: {inbox_id}"
)
STOPPED = "⏹ Stopped."
WAS_RESET = "This conversation was reset, so I do not answer this any more."
IN_DOUBT = (
    "My connection failed while I sent you my last message, so I cannot tell whether you have all of it. "
    "I do not send it twice. If an answer is missing, send /again and I answer your last question again."
)
NOTHING_TO_STOP = "There is nothing to stop."
HAS_STOPPED = re.compile(r"Stopped (1 message|(?!1 )[1-9]\d* messages)\.")
STARTED_AFRESH = "Done. We start afresh."
WITHOUT_ADAPTER = "Done. This conversation is answered without an adapter."
NOT_ANSWERED_YET = "I have not answered your last message yet. /again is for after that; /cancel stops it."
NOTHING_TO_REPEAT = (
    "There is no question of yours here that I could answer again: I keep a question only once it is answered. "
    "Please write it anew."
)


def may_end(asked: str, state: str, told: str, *, inbox_id: int, repeatable: Sequence[str] = ()) -> bool:
    """Whether a message may end in a state with these words to its sender; white space does not count.

    Args:
        asked: What was said, to a model that says it back.
        told: All parts of the reply.
        inbox_id: The message's own, which a sentence may refer to.
        repeatable: The questions that `/again` may stand for.

    >>> may_end("one two", "answered", "one two", inbox_id=1)
    True
    >>> may_end("one two", "answered", "one", inbox_id=1)
    False
    >>> may_end("one two", "cancelled", "one ⏹ Stopped.", inbox_id=1)
    True
    """
    told = " ".join(told.split())
    match asked, state:
        case "/cancel", "answered":
            return told == NOTHING_TO_STOP or HAS_STOPPED.fullmatch(told) is not None
        case "/reset", "answered":
            return told == STARTED_AFRESH
        case "/adapter none", "answered":
            return told == WITHOUT_ADAPTER
        case "/again", "refused":
            return told in (NOT_ANSWERED_YET, NOTHING_TO_REPEAT, TOO_MANY_WAIT, LINE_IS_FULL)
        case "/again", _:
            return any(_question_may_end(question, state, told, inbox_id) for question in repeatable)
        case _:
            return not asked.startswith("/") and _question_may_end(asked, state, told, inbox_id)


def _question_may_end(question: str, state: str, told: str, inbox_id: int) -> bool:
    match state:
        case "answered":
            return len(question) <= MESSAGE_CHARS and told == " ".join(question.split())
        case "refused" if len(question) > MESSAGE_CHARS:
            return told == TOO_LONG.format(length=len(question))
        case "refused":
            return told in (TOO_MANY_WAIT, LINE_IS_FULL)
        case "cancelled":
            return told == WAS_RESET or _is_beginning(told, question)
        case "expired":
            return told in EXPIRED
        case "quarantined":
            return told == QUARANTINED.format(inbox_id=inbox_id)
        case _:
            return False


def _is_beginning(told: str, question: str) -> bool:
    """Whether words were said as far as they came, and that they were stopped.

    >>> _is_beginning("⏹ Stopped.", "one two"), _is_beginning("two ⏹ Stopped.", "one two")
    (True, False)
    """
    words, said = told.split(), question.split()
    mark = STOPPED.split()
    return words[-len(mark) :] == mark and words[: -len(mark)] == said[: len(words) - len(mark)]
