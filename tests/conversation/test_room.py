"""The line and the open turns, held together."""

from __future__ import annotations

from botbridge.answers import Delta, Started
from botbridge.conversation.line import person_of
from botbridge.conversation.live import Live
from botbridge.conversation.room import OpenTurn, Room
from botbridge.storage.memory import InMemoryOutbox
from botbridge.storage.memory_store import InMemoryStore
from tests.conversation.test_line import PLATFORM, row
from tests.fakes.asking import prompt_of


def joined(room: Room, number: int, user: str, cost: float = 100.0) -> OpenTurn:
    message = row(number, user)
    return room.join(message, Live(message, PLATFORM, InMemoryOutbox(InMemoryStore()), "…", lambda: None), cost)


def started(room: Room, tokens: int) -> OpenTurn:
    """The next turn, after so many tokens of its answer."""
    turn = room.next(slots=8)
    assert turn is not None
    turn.progress.begin(prompt_of("hello"), Started(10, 0, 1), prompt_weight=0.5, now_s=1.0)
    turn.progress.add(Delta("words", tokens), room.streams, now_s=2.0)
    return turn


def test_a_second_attempt_is_measured_from_its_own_beginning() -> None:
    room = Room(lambda: 0.0)
    joined(room, 1, "a")
    first = started(room, tokens=7)
    first.text = "half"
    room.rejoin(first)
    again = room.next(slots=1)
    assert again is first
    assert (again.text, again.progress.spent, again.progress.first_tokens) == ("", 0.0, 0)


def test_whoever_leaves_is_charged_what_was_computed_so_far() -> None:
    """Stopped by their own command, say: what was not computed is given back."""
    room = Room(lambda: 0.0)
    joined(room, 1, "a")
    joined(room, 2, "a")
    turn = started(room, tokens=20)
    assert room.line.tags[person_of(turn.row)] == 100.0
    room.leave(turn.row.id)
    assert room.line.tags[person_of(turn.row)] == 25.0


def test_a_forecast_knows_how_far_the_running_answers_have_come() -> None:
    room = Room(lambda: 0.0)
    joined(room, 1, "a")
    joined(room, 2, "b")
    started(room, tokens=45)
    [(turn, wait_s)] = room.forecast(slots=1, tokens_s=lambda _streams: 10.0)
    assert (turn.row.id, wait_s) == (2, 5.0)
