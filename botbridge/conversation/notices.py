"""The sentences that a waiting or refused person reads."""

from __future__ import annotations

from typing import Literal

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.conversation.limits import Excess, Limits
from botbridge.conversation.texts import Language, duration
from botbridge.messages import IncomingMessage

Reason = Excess | Literal["access", "rate"]


def refusal(language: Language, incoming: IncomingMessage, reason: Reason, limits: Limits) -> str:
    """Why a message is not answered, and what the person can do about it."""
    match reason:
        case "access":
            return language.say(
                "I answer only people whom my operator has listed. Your id here is {id}; send it to them.",
                id=incoming.sender.user_id,
            )
        case "rate":
            return language.count(
                "That was too fast: I take {number} message a minute from each person. "
                "Please wait a minute; what you send until then is not answered.",
                "That was too fast: I take {number} messages a minute from each person. "
                "Please wait a minute; what you send until then is not answered.",
                limits.messages_per_minute,
            )
        case Excess.LENGTH:
            return language.say(
                "Your message has {length} characters; I take up to {limit}. Please shorten it or send it in pieces.",
                length=len(incoming.text),
                limit=limits.message_chars,
            )
        case Excess.TOKENS:
            return language.say(
                "In the last minute I have read and written as much for you as I do for one person, so I do not take "
                "this message. Please wait a minute and send it again."
            )
        case Excess.WAITING:
            return language.count(
                "{number} message of yours is waiting already, so I do not take this one. "
                "Send it again when I have answered, or stop the others with /cancel.",
                "{number} messages of yours are waiting already, so I do not take this one. "
                "Send it again when I have answered, or stop the others with /cancel.",
                limits.waiting_per_person,
            )
        case Excess.QUEUE:
            return language.say("Too many people are waiting just now. Please try again in a few minutes.")


def unsupported(language: Language) -> str:
    """What is said to a sticker, a photo or an empty message."""
    return language.say(
        "I can only read text, and there was none I could see. Please write it; in a group, mention me in the message."
    )


def place_in_line(language: Language, place: int, wait_s: float) -> str:
    """Where a message stands and how long it will take."""
    return language.say("⏳ You are number {place} in the line: {wait}.", place=place, wait=duration(language, wait_s))


def not_ready(language: Language, status: GeneratorStatus) -> str:
    """Why nobody is answered at the moment."""
    if status.state is GeneratorState.STARTING:
        return language.say("⏳ The model is starting. I keep your message and answer as soon as it is ready.")
    return language.say(
        "⏳ The model cannot run at the moment; my operator can see why. "
        "I keep your message and answer when it is back."
    )


def lost_sight(language: Language) -> str:
    """What is said when nobody knows whether a reply arrived; it came from the model or from us."""
    return language.say(
        "My connection failed while I sent you my last message, so I cannot tell whether you have all of it. "
        "I do not send it twice. If an answer is missing, send /again and I answer your last question again."
    )


def refused(language: Language) -> str:
    """What is said when the platform refuses the text of a reply, or of a part of it."""
    return language.say(
        "This platform refused my last message, or a part of it, so you do not have all of it. "
        "Please put your question another way, or send /again and I answer your last question again."
    )


def nothing_to_repeat(language: Language) -> str:
    """Why `/again` answers nothing: there was no question, or its words are gone."""
    return language.say(
        "There is no question of yours here that I could answer again: I keep a question only once it is answered. "
        "Please write it anew."
    )


def not_answered_yet(language: Language) -> str:
    """Why `/again` has to wait."""
    return language.say("I have not answered your last message yet. /again is for after that; /cancel stops it.")
