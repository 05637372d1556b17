"""What became of everything that was said: one verdict over the platforms' ledgers and the database, pure.

Every word of every question is unique in the world (`q12w3`: word 3 of question
12), and the model says back what it is told. So a word that the bot shows twice
was answered twice, and one that it shows elsewhere was shown to others.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.journey.town import is_status

WORD = re.compile(r"\bq(\d+)w\d+\b")
ENDS = ("answered", "refused", "cancelled", "expired", "quarantined")


@dataclass(frozen=True)
class Said:
    """A question as its platform knows it; `place` is `PLATFORM:CHAT`."""

    number: int
    place: str
    message_id: str


@dataclass(frozen=True)
class Shown:
    """A message of the bot as it stands in the end."""

    place: str
    message_id: str
    text: str


@dataclass(frozen=True)
class Owed:
    """A row of the outbox."""

    inbox_id: int
    state: str
    text: str
    message_id: str | None
    is_status: bool


@dataclass(frozen=True)
class Accepted:
    """A row of the inbox."""

    id: int
    place: str
    message_id: str
    state: str


@dataclass
class Verdict:
    """What was found; the lists hold one sentence for each finding.

    Attributes:
        ends: Accepted messages by the one state in which they ended.
        unheard: Said on a platform that tells a thing once, while nobody listened.
        leftovers: Status lines that a death left behind; no answer stands in them.
    """

    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    in_a_wrong_chat: list[str] = field(default_factory=list)
    unheard: int = 0
    leftovers: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.doubled or self.in_a_wrong_chat)


def judge(
    said: Iterable[Said],
    accepted: Iterable[Accepted],
    owed: Iterable[Owed],
    shown: Sequence[Shown],
    *,
    tells_once: frozenset[str] = frozenset({"discord"}),
) -> Verdict:
    """Hold what was said against what was stored and what can be seen.

    Args:
        tells_once: Platforms on which a message that nobody hears is gone.

    >>> judge([Said(1, "telegram:7", "5")], [], [], []).lost
    ['question 1 was never accepted']
    """
    verdict = Verdict()
    rows = {(row.place, row.message_id): row for row in accepted}
    parts: defaultdict[int, list[Owed]] = defaultdict(list)
    for part in owed:
        parts[part.inbox_id].append(part)
    seen = {(one.place, one.message_id): one for one in shown}
    places: dict[int, str] = {}
    for one in said:
        places[one.number] = one.place
        row = rows.get((one.place, one.message_id))
        if row is not None:
            end = _end(one, row, [part for part in parts[row.id] if not part.is_status], seen, verdict)
            verdict.ends[end] += 1
        elif one.place.partition(":")[0] in tells_once:
            verdict.unheard += 1
        else:
            verdict.lost.append(f"question {one.number} was never accepted")
    _look_at_words(shown, places, verdict)
    _look_for_strays(shown, rows.values(), parts, verdict)
    return verdict


def _end(
    one: Said, row: Accepted, parts: Sequence[Owed], seen: Mapping[tuple[str, str], Shown], verdict: Verdict
) -> str:
    """The one state in which an accepted message ended; what its sender cannot see is lost."""
    if row.state not in ENDS:
        verdict.lost.append(f"question {one.number} is still {row.state}")
    elif not parts:
        verdict.lost.append(f"question {one.number} is {row.state}, and nobody was told")
    for part in parts:
        if part.state == "sent":
            message = seen.get((row.place, part.message_id or ""))
            if message is None or message.text.split() != part.text.split():
                verdict.lost.append(f"question {one.number}: a part is noted as sent and cannot be seen")
        elif part.state != "delivery_unknown":
            verdict.lost.append(f"question {one.number}: a part is {part.state}")
    return "unknown" if any(part.state == "delivery_unknown" for part in parts) else row.state


def _look_at_words(shown: Sequence[Shown], places: Mapping[int, str], verdict: Verdict) -> None:
    times: Counter[tuple[int, str]] = Counter()
    for message in shown:
        for match in WORD.finditer(message.text):
            number = int(match[1])
            times[number, match[0]] += 1
            if places.get(number) != message.place:
                verdict.in_a_wrong_chat.append(f"a word of question {number} is shown in {message.place}")
    for number in sorted({number for (number, _), count in times.items() if count > 1}):
        verdict.doubled.append(f"question {number}: words of it are shown twice")


def _look_for_strays(
    shown: Sequence[Shown], rows: Iterable[Accepted], parts: Mapping[int, Sequence[Owed]], verdict: Verdict
) -> None:
    """Find messages that no row accounts for, such as the second copy of a sentence without a question's words."""
    claimed: set[tuple[str, str]] = set()
    in_doubt: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for part in parts.get(row.id, ()):
            if part.message_id is not None:
                claimed.add((row.place, part.message_id))
            elif part.state == "delivery_unknown":
                in_doubt[row.place, " ".join(part.text.split())] += 1
    for message in shown:
        text = message.place, " ".join(message.text.split())
        if (message.place, message.message_id) in claimed:
            continue
        if in_doubt[text]:
            in_doubt[text] -= 1
        elif is_status(message.text):
            verdict.leftovers += 1
        else:
            verdict.doubled.append(f"{message.place}: {message.text[:60]!r} is accounted for by no row")
