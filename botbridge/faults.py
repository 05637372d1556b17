"""The moments at which a process can die with the most to lose, by name; in the product nothing happens there.

Each is just before or just after a boundary: a commit, after which something
is known for good, or a send, after which somebody else knows of it. A test
builds the app with its own `Faults` and ends the process at one of them.

Not covered: what only asks (`getMe`, a channel's history), because a death
around it changes nothing anywhere; the 200 to a webhook's caller, whose bytes
leave when `INGEST` is over; the gateway of Discord, where nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, Protocol


class Boundary(StrEnum):
    """What is committed, or sent, as one.

    Every transaction that writes the database names its own, and so does every
    call that changes something on a platform.
    """

    INGEST = "ingest"
    """A message is accepted; after it, the platform does not know that yet."""
    IGNORE = "ignore"
    """What cannot be understood is put aside with its bytes."""
    QUEUE = "queue"
    """A message stands in the line."""
    CLAIM = "claim"
    """An attempt at the answer to a message is counted."""
    REQUEUE = "requeue"
    """A message is put back into the line, because the attempt at its answer failed."""
    RELEASE = "release"
    """At the start, the messages that an earlier process had claimed are put back into the line."""
    REPLY = "reply"
    """A message ends: its state, the turn and the parts of the reply; after it, nothing is sent yet."""
    OPEN_STATUS = "status.open"
    """It is noted that a status message is about to be sent."""
    SEND_STATUS = "status.send"
    """A status message is sent."""
    EDIT_STATUS = "status.edit"
    """A status message is made to show how far the answer has come."""
    MARK_SENDING = "mark.sending"
    """It is noted that a part of a reply is about to be sent."""
    SEND = "send"
    """A part is sent, or the status message becomes it; after it, that is not noted yet."""
    MARK_SENT = "mark.sent"
    """It is noted that the platform has taken a part or a status message."""
    MARK_AGAIN = "mark.again"
    """It is noted that a part has to be sent again."""
    MARK_UNDELIVERABLE = "mark.undeliverable"
    """It is noted that a part will not be delivered: refused for good, or a status message that was not sent."""
    SEND_ANEW = "send_anew"
    """The message that a part was to replace is gone: the part becomes a message of its own."""
    LOSE_SIGHT = "lose_sight"
    """Whether a part was delivered is in doubt, and a notice of that is owed."""
    ACKNOWLEDGE = "acknowledge"
    """Discord is told that a command was heard."""
    CONFIRM = "confirm"
    """Telegram is told, by the next poll, which updates it need not bring again."""
    TYPING = "typing"
    """A chat is shown that an answer is being written."""
    SET_MENU = "menu.set"
    """Telegram is told one of the command menus."""
    REGISTER = "register"
    """Discord is told the slash commands; after it, that it knows them is not noted yet."""
    SET_WEBHOOK = "webhook.set"
    """Telegram is told where to bring updates."""
    REMOVE_WEBHOOK = "webhook.remove"
    """Telegram is told to bring none, so that it can be polled."""
    RESET = "reset"
    """Conversations begin anew, and what is under way in them ends."""
    ADAPTER = "adapter"
    """Conversations are answered with another adapter."""
    AUDIT = "audit"
    """An act of power is recorded."""
    STATE = "state"
    """A small fact is kept: Discord's cursors, the rates of this machine, the menu that was told."""
    FORGET = "forget"
    """A person is erased from the tables."""
    SCRUB = "scrub"
    """The database's file is written anew without what was erased."""
    RETENTION = "retention"
    """What is old is deleted, some hundred rows at a time."""
    MIGRATION = "migration"
    """The schema is brought up to date; once more before it for each single migration."""


class Faults(Protocol):
    """What happens at these moments; neither method has to return."""

    def before(self, boundary: Boundary) -> None:
        """Learn that all of it is done but the commit, or but the bytes that leave."""
        ...

    def after(self, boundary: Boundary) -> None:
        """Learn that it is committed, or taken by whoever it was sent to, and that nothing else happened since."""
        ...


class NoFaults:
    """Nothing happens."""

    def before(self, boundary: Boundary) -> None:
        """Go on."""

    def after(self, boundary: Boundary) -> None:
        """Go on."""


NO_FAULTS: Final = NoFaults()


@contextmanager
def crossing(faults: Faults, boundary: Boundary) -> Iterator[None]:
    """Let faults happen before and after the call in the block; not after one that fails."""
    faults.before(boundary)
    yield
    faults.after(boundary)
