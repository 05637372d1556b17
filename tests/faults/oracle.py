"""What became of everything that was said: one verdict over the platforms' ledgers and the database, pure.

Every word of every question is unique in the world (`q12w3`: word 3 of question
12), and the model says back what it is told. So a word that the bot shows twice
was answered twice, unless `/again` asked for it, and one that it shows elsewhere
was shown to others.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from botbridge.platforms.discord.catch_up import MISSED_IN_ALL, MISSED_PER_CHANNEL, PAGE_MESSAGES
from tests.journey.town import is_status

WORD = re.compile(r"\bq(\d+)w\d+\b")
ENDS = ("answered", "refused", "cancelled", "expired", "quarantined")


@dataclass(frozen=True)
class Said:
    """A question or a command as its platform knows it.

    Attributes:
        place: `PLATFORM:CHAT`.
        repeats: It is `/again`, and asks for words that were said before.
        by_menu: A command of Discord's menu, which stands in no history.
        is_void: Discord told its sender that it failed, because nobody acknowledged it in time.
    """

    number: int
    place: str
    message_id: str
    repeats: bool = False
    by_menu: bool = False
    is_void: bool = False


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
        unheard: Said on a platform that tells a thing once, while nobody listened, and beyond what is fetched later.
        void: Commands that their platform declared failed before anybody could answer them.
        leftovers: Status lines that a death left behind; no answer stands in them.
    """

    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    in_a_wrong_chat: list[str] = field(default_factory=list)
    unheard: int = 0
    void: int = 0
    leftovers: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.doubled or self.in_a_wrong_chat)


class History:
    """What is fetched of the messages that nobody heard, as `platforms/discord/catch_up.py` says."""

    def __init__(self, said: Sequence[Said], rows: Mapping[tuple[str, str], Accepted], shown: Sequence[Shown]) -> None:
        self._said = [one for one in said if not one.by_menu]
        self._heard = [(place, int(message_id)) for place, message_id in rows if message_id.isdigit()]
        self._written = [
            *((one.place, int(one.message_id)) for one in self._said),
            *((one.place, int(one.message_id)) for one in shown),
        ]

    def gives(self, one: Said) -> bool:
        """Whether a message had to be found: the bot was spoken to there before, and no bound lies between."""
        platform, message_id = one.place.partition(":")[0], int(one.message_id)
        before = [heard_id for place, heard_id in self._heard if place == one.place and heard_id < message_id]
        if one.by_menu or not before:
            return False
        anywhere = max(
            heard_id for place, heard_id in self._heard if place.startswith(platform) and heard_id < message_id
        )
        missed = [(said.place, int(said.message_id)) for said in self._said if said.place.startswith(platform)]
        return (
            _between(self._written, max(before), message_id, one.place) < PAGE_MESSAGES
            and _between(missed, max(before), message_id, one.place) < MISSED_PER_CHANNEL
            and _between(missed, anywhere, message_id) < MISSED_IN_ALL
        )


def _between(written: Iterable[tuple[str, int]], first_id: int, last_id: int, place: str = "") -> int:
    """How many messages lie between two ids, in one place or anywhere."""
    return sum(first_id < one_id < last_id and place in ("", where) for where, one_id in written)


def judge(
    said: Sequence[Said],
    accepted: Iterable[Accepted],
    owed: Iterable[Owed],
    shown: Sequence[Shown],
    *,
    tells_once: frozenset[str] = frozenset({"discord"}),
) -> Verdict:
    """Hold what was said against what was stored and what can be seen.

    Args:
        tells_once: Platforms that tell of a message once; what nobody heard has to be fetched.

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
    wanted: Counter[tuple[int, str]] = Counter()
    history = History(said, rows, shown)
    for one in said:
        places[one.number] = one.place
        row = rows.get((one.place, one.message_id))
        if row is not None:
            told = [part for part in parts[row.id] if not part.is_status]
            verdict.ends[_end(one, row, told, seen, verdict)] += 1
            verdict.void += one.is_void
            if one.repeats:
                wanted.update(word for part in told for word in words_of(part.text))
        elif one.place.partition(":")[0] not in tells_once:
            verdict.lost.append(f"question {one.number} was never accepted")
        elif history.gives(one):
            verdict.lost.append(f"question {one.number} was never fetched")
        else:
            verdict.unheard += 1
    _look_at_words(shown, places, wanted, verdict)
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
        elif part.state != "delivery_unknown" and not one.is_void:
            verdict.lost.append(f"question {one.number}: a part is {part.state}")
    return "unknown" if any(part.state == "delivery_unknown" for part in parts) else row.state


def words_of(text: str) -> list[tuple[int, str]]:
    """The words of questions in a text, each with the question's number.

    >>> words_of("well, q12w3 it is")
    [(12, 'q12w3')]
    """
    return [(int(match[1]), match[0]) for match in WORD.finditer(text)]


def _look_at_words(
    shown: Sequence[Shown],
    places: Mapping[int, str],
    wanted: Mapping[tuple[int, str], int],
    verdict: Verdict,
) -> None:
    """Find words in a wrong chat, and those that are shown more often than once and as often as `/again` owed them."""
    times: Counter[tuple[int, str]] = Counter()
    for message in shown:
        for number, word in words_of(message.text):
            times[number, word] += 1
            if places.get(number) != message.place:
                verdict.in_a_wrong_chat.append(f"a word of question {number} is shown in {message.place}")
    for number in sorted({word[0] for word, count in times.items() if count > 1 + wanted.get(word, 0)}):
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
