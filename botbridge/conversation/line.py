"""Who is answered next, and how long the others wait: pure functions over a frozen line.

The rules: one running turn per conversation, first come first served inside
it, round-robin between people. A person's second message stands in the second
round, so somebody with ten messages never keeps ten others waiting, and nobody
starves: when the first is answered, the second moves to the first round and is
older than whatever came later.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from botbridge.messages import ConversationKey, InboxId, InboxRow, PlatformName, UserId

PersonKey = tuple[PlatformName, UserId]


@dataclass(frozen=True, slots=True)
class Line:
    """The messages that wait, oldest first, and those being answered."""

    waiting: tuple[InboxRow, ...] = ()
    running: tuple[InboxRow, ...] = ()


def person_of(row: InboxRow) -> PersonKey:
    """The person whose turn a message takes."""
    return row.incoming.address.platform, row.incoming.sender.user_id


def join(line: Line, row: InboxRow) -> Line:
    """The line with a message in it, at the place its age gives it."""
    return replace(line, waiting=tuple(sorted((*line.waiting, row), key=lambda waiting: waiting.id)))


def start(line: Line, row: InboxRow) -> Line:
    """The line after a message went from waiting to running."""
    left = leave(line, row.id)
    return replace(left, running=(*left.running, row))


def leave(line: Line, inbox_id: InboxId) -> Line:
    """The line without a message, wherever it stood."""
    return Line(
        waiting=tuple(row for row in line.waiting if row.id != inbox_id),
        running=tuple(row for row in line.running if row.id != inbox_id),
    )


def ahead(line: Line) -> tuple[InboxRow, ...]:
    """The waiting messages in the order in which they will be answered."""
    rounds: Counter[PersonKey] = Counter(person_of(row) for row in line.running)
    ranked: list[tuple[int, InboxId, InboxRow]] = []
    latest: dict[ConversationKey, int] = {}
    for row in line.waiting:
        # In a shared conversation nobody overtakes, whatever round they are in.
        rank = max(rounds[person_of(row)], latest.get(row.key, 0))
        rounds[person_of(row)] += 1
        latest[row.key] = rank
        ranked.append((rank, row.id, row))
    return tuple(row for _, _, row in sorted(ranked, key=lambda entry: entry[:2]))


def next_row(line: Line, slots: int) -> InboxRow | None:
    """The message to answer now; None when all slots are busy or nobody can be served."""
    if len(line.running) >= slots:
        return None
    busy = {row.key for row in line.running}
    return next((row for row in ahead(line) if row.key not in busy), None)


def place(line: Line, inbox_id: InboxId) -> int:
    """The place of a waiting message, 1 for the next one; 0 when it does not wait."""
    return next((number for number, row in enumerate(ahead(line), start=1) if row.id == inbox_id), 0)


def expected_wait_s(place: int, slots: int, running_for_s: Sequence[float], answer_s: float) -> float:
    """Seconds until the message at a place is begun.

    Args:
        place: 1 for the next one.
        running_for_s: How long each running answer has taken so far.
        answer_s: How long an answer takes on this machine, from start to end.

    >>> expected_wait_s(place=1, slots=1, running_for_s=[4.0], answer_s=10.0)
    6.0
    >>> expected_wait_s(place=3, slots=2, running_for_s=[0.0, 5.0], answer_s=10.0)
    15.0
    """
    # An answer that takes longer than usual is taken to be nearly done, not done.
    free_at_s = [max(answer_s - elapsed_s, 0.1 * answer_s) for elapsed_s in running_for_s]
    free_at_s += [0.0] * (slots - len(free_at_s))
    heapq.heapify(free_at_s)
    for _ in range(place - 1):
        heapq.heapreplace(free_at_s, free_at_s[0] + answer_s)
    return free_at_s[0]
