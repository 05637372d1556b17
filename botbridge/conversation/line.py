"""Who is answered next, and how long the others wait: pure functions over a frozen line.

People share the machine by fair queueing over tokens, not over messages. Each
message has a tag: where its person stood, or the line's own virtual time if
that is later, plus what its answer is thought to cost. The lowest tag is next.
So whoever asks for a lot waits as if everybody was answered at the same time,
a word each in turn; whoever comes back after a pause brings no credit along;
and nobody starves, because every message that is begun moves the virtual time
from which newcomers start past the tags of those who wait. What an answer
really cost replaces the guess when it ends.

The rules beside it: one running answer per conversation and per person, first
come first served inside both. A second answer for the same person would take
the place of somebody who comes a moment later, for as long as it lasts.

Covered: any number of messages of one person delays another person by one
answer at most. Not covered: that one answer. It is not interrupted, so with a
single slot whoever comes while a long one is written waits for its end.

Source: the tags are those of self-clocked fair queueing (Golestani 1994, "A
self-clocked fair queueing scheme for broadband applications", INFOCOM); the
cost is counted in weighted tokens and guessed from the person's last answers as
by the Virtual Token Counter (Sheng et al. 2024, "Fairness in Serving Large
Language Models", OSDI; arXiv:2401.00588).
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from botbridge.messages import ConversationKey, InboxId, InboxRow, PlatformName, UserId

PersonKey = tuple[PlatformName, UserId]

NEARLY_DONE = 0.1
"""An answer that has cost more than was thought is taken to need this share of the guess again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the line.

    Attributes:
        cost: What its answer is thought to take, in reply tokens (`rates` weighs prompt tokens); above 0.
        arrived: The virtual time when it joined.
        alone: It is answered while nobody else is, because it may be what ended the last worker.
        is_computed: Its answer is there and about to be stored, which can take long (a chat that does not take its
            last status text, a database that is away): it takes no slot any more, but still its person's turn.
    """

    row: InboxRow
    cost: float
    arrived: float = 0.0
    alone: bool = False
    is_computed: bool = False

    @property
    def person(self) -> PersonKey:
        """Whose turn it takes."""
        return person_of(self.row)


@dataclass(frozen=True, slots=True)
class Line:
    """The messages that wait, oldest first, and those being answered.

    Attributes:
        virtual_time: The highest tag that was ever begun, in reply tokens.
        tags: Where people stand who are in the line, or beyond the virtual time.
    """

    waiting: tuple[Entry, ...] = ()
    running: tuple[Entry, ...] = ()
    virtual_time: float = 0.0
    tags: Mapping[PersonKey, float] = field(default_factory=dict)

    @property
    def computing(self) -> tuple[Entry, ...]:
        """Those that take a slot."""
        return tuple(entry for entry in self.running if not entry.is_computed)


def person_of(row: InboxRow) -> PersonKey:
    """The person whose turn a message takes."""
    return row.incoming.address.platform, row.incoming.sender.user_id


def join(line: Line, row: InboxRow, cost: float, *, shares_fate: bool = True) -> Line:
    """The line with a message in it, at the place its age gives it.

    Args:
        shares_fate: As in `GeneratorStatus`: then one that failed before the last restart is answered alone.
    """
    return _with_waiting(line, Entry(row, cost, line.virtual_time, alone=shares_fate and row.crashes > 0))


def start(line: Line, entry: Entry) -> Line:
    """The line after a message went from waiting to running; its person is charged what it is thought to cost."""
    tag = _tag(line.tags, entry)
    return _pruned(
        replace(
            line,
            waiting=tuple(waiting for waiting in line.waiting if waiting.row.id != entry.row.id),
            running=(*line.running, entry),
            virtual_time=max(line.virtual_time, tag),
            tags={**line.tags, entry.person: tag},
        )
    )


def put_back(line: Line, inbox_id: InboxId, *, alone: bool = False) -> Line:
    """The line after an attempt failed: the message waits again as if it had never been begun.

    Args:
        alone: From its next attempt on it is to be the only one of its time; that stays, whatever fails then.
    """
    for entry in line.running:
        if entry.row.id == inbox_id:
            running = tuple(other for other in line.running if other is not entry)
            tags = {**line.tags, entry.person: line.tags[entry.person] - entry.cost}
            return _with_waiting(
                replace(line, running=running, tags=tags), replace(entry, alone=alone or entry.alone, is_computed=False)
            )
    return line


def computed(line: Line, inbox_id: InboxId) -> Line:
    """The line after the model has done with a message."""
    running = (replace(entry, is_computed=True) if entry.row.id == inbox_id else entry for entry in line.running)
    return replace(line, running=tuple(running))


def leave(line: Line, inbox_id: InboxId, spent: float) -> Line:
    """The line without a message, wherever it stood.

    Args:
        spent: What was computed for it, in reply tokens; replaces the guess its person was charged.
    """
    tags = dict(line.tags)
    for entry in line.running:
        if entry.row.id == inbox_id:
            tags[entry.person] += spent - entry.cost
    return _pruned(
        replace(
            line,
            waiting=tuple(entry for entry in line.waiting if entry.row.id != inbox_id),
            running=tuple(entry for entry in line.running if entry.row.id != inbox_id),
            tags=tags,
        )
    )


def without_followers(line: Line, commands: Collection[InboxRow]) -> Line:
    """The line without those that came after one of some commands in its conversation."""
    first: dict[ConversationKey, InboxId] = {}
    for row in commands:
        first[row.key] = min(row.id, first.get(row.key, row.id))
    if not first:
        return line
    waiting = (entry for entry in line.waiting if entry.row.id <= first.get(entry.row.key, entry.row.id))
    return replace(line, waiting=tuple(waiting))


def next_entry(line: Line, slots: int) -> Entry | None:
    """The message to answer now; None when all slots are busy, nobody can be served, or somebody has to be alone."""
    if not line.waiting or len(line.computing) >= slots or any(entry.alone for entry in line.computing):
        return None
    entry = _Contest(line).take()
    return None if entry is not None and entry.alone and line.computing else entry


def forecast(
    line: Line, slots: int, spent: Mapping[InboxId, float], tokens_s: Callable[[int], float]
) -> list[tuple[InboxRow, float]]:
    """The waiting messages in the order in which they will be begun, each with the seconds until then.

    The line is played through to its end, as if nobody else came and every
    guess was right.

    Args:
        line: As it stands now.
        slots: How many answers run side by side; 1 or more.
        spent: What was computed for each running message so far, in reply tokens.
        tokens_s: How many tokens a second a number of running answers have together.
    """
    contest = _Contest(line)
    # All running answers advance alike, so one number tells how far any of them has come.
    ends = [(_left(entry, spent), entry.row.id, entry) for entry in line.computing]
    for done in line.running:
        if done.is_computed:
            contest.release(done)
    heapq.heapify(ends)
    advanced, now_s = 0.0, 0.0
    begun: list[tuple[InboxRow, float]] = []
    while len(begun) < len(line.waiting):
        while len(ends) < slots and (entry := contest.take()) is not None:
            begun.append((entry.row, now_s))
            heapq.heappush(ends, (advanced + entry.cost, entry.row.id, entry))
        streams = len(ends)
        end, _, ended = heapq.heappop(ends)
        now_s += (end - advanced) * streams / tokens_s(streams)
        advanced = end
        contest.release(ended)
    return begun


def _left(entry: Entry, spent: Mapping[InboxId, float]) -> float:
    return max(entry.cost - spent.get(entry.row.id, 0.0), NEARLY_DONE * entry.cost)


def _with_waiting(line: Line, entry: Entry) -> Line:
    return replace(line, waiting=tuple(sorted((*line.waiting, entry), key=lambda waiting: waiting.row.id)))


def _tag(tags: Mapping[PersonKey, float], entry: Entry) -> float:
    return max(tags.get(entry.person, 0.0), entry.arrived) + entry.cost


def _pruned(line: Line) -> Line:
    """Forget where people stood who left and from whom nothing is to be taken off."""
    here = {entry.person for entry in (*line.waiting, *line.running)}
    kept = {person: tag for person, tag in line.tags.items() if person in here or tag > line.virtual_time}
    return replace(line, tags=kept)


class _Contest:
    """The choice of the next message, again and again, as messages begin and end; works on copies.

    Each person has one candidate: their oldest message that is the oldest of
    its conversation, while neither is being answered. Candidates lie in a heap
    by their tags and are looked at once more when they come out of it, because
    what made them candidates may have passed.
    """

    def __init__(self, line: Line) -> None:
        self._tags = dict(line.tags)
        self._busy = {busy for entry in line.running for busy in (entry.person, entry.row.key)}
        self._of_person: defaultdict[PersonKey, list[Entry]] = defaultdict(list)
        self._of_conversation: defaultdict[ConversationKey, deque[Entry]] = defaultdict(deque)
        for entry in line.waiting:
            self._of_person[entry.person].append(entry)
            self._of_conversation[entry.row.key].append(entry)
        self._candidates: list[tuple[float, InboxId, Entry]] = []
        for person in list(self._of_person):
            self._offer(person)

    def take(self) -> Entry | None:
        """Begin the next message; None when nobody can be served."""
        while self._candidates:
            tag, _, entry = heapq.heappop(self._candidates)
            if entry is self._candidate(entry.person) and tag == _tag(self._tags, entry):
                self._of_person[entry.person].remove(entry)
                self._of_conversation[entry.row.key].popleft()
                self._busy |= {entry.person, entry.row.key}
                self._tags[entry.person] = tag
                return entry
        return None

    def release(self, entry: Entry) -> None:
        """End a message: its person and its conversation may have another."""
        self._busy -= {entry.person, entry.row.key}
        self._offer(entry.person)
        if following := self._of_conversation[entry.row.key]:
            self._offer(following[0].person)

    def _offer(self, person: PersonKey) -> None:
        if (entry := self._candidate(person)) is not None:
            heapq.heappush(self._candidates, (_tag(self._tags, entry), entry.row.id, entry))

    def _candidate(self, person: PersonKey) -> Entry | None:
        if person in self._busy:
            return None
        return next(
            (
                entry
                for entry in self._of_person[person]
                if entry.row.key not in self._busy and self._of_conversation[entry.row.key][0] is entry
            ),
            None,
        )
