"""What became of everything that was said: one verdict over the platforms' ledgers and the database, pure.

Every word of every question is unique in the world (`q12w3`: word 3 of question
12), and the model says back what it is told. So an answer belongs to the one
message whose words it has; a word that the bot shows twice was answered twice,
unless `/again` asked for it, and one that it shows elsewhere was shown to
others. What is no answer has to be one of `sentences`, word for word. Nothing
here is read from the product.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.sentences import IN_DOUBT, may_end
from tests.journey.town import is_status

PAGE_MESSAGES, MISSED_PER_CHANNEL, MISSED_IN_ALL = 100, 50, 100
"""What of a channel's history has to be fetched, as docs/reliability.md promises (D10)."""

FETCHED_LATE_S = 3.0
"""What was accepted so long after it was said may have been fetched; on a busy machine it was perhaps only slow."""

WORD = re.compile(r"\bq(\d+)w\d+\b")
ENDS = ("answered", "refused", "cancelled", "expired", "quarantined")


@dataclass(frozen=True)
class Said:
    """A question or a command as its platform knows it.

    Attributes:
        place: `PLATFORM:CHAT`.
        person: Who said it, by any name that tells two people of a platform apart.
        text: As it was said, without the bot's name.
        by_menu: A command of Discord's menu, which stands in no history.
        is_void: Discord told its sender that it failed, because nobody acknowledged it in time.
    """

    number: int
    place: str
    message_id: str
    person: str
    text: str
    by_menu: bool = False
    is_void: bool = False

    @property
    def repeats(self) -> bool:
        """It asks for words that were said before."""
        return self.text == "/again"

    @property
    def stops(self) -> bool:
        """It ends what its sender said before it in this place and has under way."""
        return self.text in ("/cancel", "/reset")

    @property
    def is_question(self) -> bool:
        """It is for the model."""
        return not self.text.startswith("/")

    def is_with(self, other: Said) -> bool:
        """Whether both were said by one person in one place."""
        return (self.place, self.person) == (other.place, other.person)


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

    @property
    def is_notice(self) -> bool:
        """It tells that another part of the reply is in doubt."""
        return _same_words(self.text, IN_DOUBT)


@dataclass(frozen=True)
class Accepted:
    """A row of the inbox.

    Attributes:
        late_s: How long after it was said it was accepted, in seconds.
    """

    id: int
    place: str
    message_id: str
    state: str
    late_s: float = 0.0


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
    """What has to be fetched of the messages that nobody heard, as docs/reliability.md promises (D10).

    What was heard as it was said divides the messages of a platform into gaps.
    Of a gap all channels are read from their last message that was heard so:
    the first of each, then the second of each, and so on, up to the bounds.
    """

    def __init__(self, said: Sequence[Said], rows: Mapping[tuple[str, str], Accepted], shown: Sequence[Shown]) -> None:
        typed = [one for one in said if not one.by_menu]
        numbered = [row for row in rows.values() if row.message_id.isdigit()]
        self._missed = [(one.place, int(one.message_id)) for one in typed]
        self._known = [(row.place, int(row.message_id)) for row in numbered]
        self._heard = [(row.place, int(row.message_id)) for row in numbered if row.late_s < FETCHED_LATE_S]
        self._written = [*self._missed, *((one.place, int(one.message_id)) for one in shown)]

    def gives(self, one: Said) -> bool:
        """Whether a message had to be found: the bot was spoken to there before, and no bound lies between."""
        platform, message_id = one.place.partition(":")[0], int(one.message_id)
        if one.by_menu or not any(place == one.place and known_id < message_id for place, known_id in self._known):
            return False
        here = max((heard for place, heard in self._heard if place == one.place and heard < message_id), default=0)
        anywhere = [heard for place, heard in self._heard if place.startswith(platform)]
        begins = max((heard for heard in anywhere if heard < message_id), default=0)
        ends = min((heard for heard in anywhere if heard > message_id), default=message_id + 1)
        return (
            _between(self._written, here, message_id, one.place) < PAGE_MESSAGES
            and _between(self._missed, here, message_id, one.place) < MISSED_PER_CHANNEL
            and _between(self._missed, begins, ends, platform) <= MISSED_IN_ALL
        )


def _between(written: Iterable[tuple[str, int]], first_id: int, last_id: int, where: str) -> int:
    """How many messages lie between two ids, in one place or on a whole platform."""
    return sum(first_id < one_id < last_id and where in (place, place.partition(":")[0]) for place, one_id in written)


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

    >>> judge([Said(1, "telegram:7", "5", person="7", text="q1w0")], [], [], []).lost
    ['question 1 was never accepted']
    """
    verdict = Verdict()
    accepted = list(accepted)
    rows = {(row.place, row.message_id): row for row in accepted}
    parts: defaultdict[int, list[Owed]] = defaultdict(list)
    for part in owed:
        parts[part.inbox_id].append(part)
    wanted: Counter[tuple[int, str]] = Counter()
    history, seen = History(said, rows, shown), {(one.place, one.message_id): one for one in shown}
    heard = {one.number: row for one in said if (row := rows.get((one.place, one.message_id))) is not None}
    for one in said:
        row = heard.get(one.number)
        if row is not None:
            told = [part for part in parts[row.id] if not part.is_status]
            _look_at_parts(one, row, told, seen, verdict)
            _look_at_end(one, row, told, _with(one, said, heard), verdict)
            is_unknown = any(part.state == "delivery_unknown" for part in told)
            verdict.ends["unknown" if is_unknown else row.state] += 1
            verdict.void += one.is_void
            if one.repeats:
                wanted.update(word for part in told for word in words_of(part.text))
        elif one.place.partition(":")[0] not in tells_once:
            verdict.lost.append(f"question {one.number} was never accepted")
        elif history.gives(one):
            verdict.lost.append(f"question {one.number} was never fetched")
        else:
            verdict.unheard += 1
    _look_at_words(shown, {one.number: one.place for one in said}, wanted, verdict)
    _look_for_strays(shown, accepted, parts, verdict)
    for inbox_id in sorted({row.id for row in accepted} - {row.id for row in heard.values()}):
        verdict.doubled.append(f"message {inbox_id} was accepted, and nobody said it, or it was accepted before")
    return verdict


def _with(one: Said, said: Sequence[Said], heard: Mapping[int, Accepted]) -> list[tuple[Said, Accepted]]:
    """What the same person said in the same place, as far as it was accepted, in the order of that."""
    theirs = [(other, heard[other.number]) for other in said if other.number in heard and other.is_with(one)]
    return sorted(theirs, key=lambda pair: pair[1].id)


def _look_at_parts(
    one: Said, row: Accepted, told: Sequence[Owed], seen: Mapping[tuple[str, str], Shown], verdict: Verdict
) -> None:
    """Find parts that their person cannot see, or was not told of that they may not see them."""
    for part in told:
        if part.state == "sent":
            message = seen.get((row.place, part.message_id or ""))
            if message is None or not _same_words(message.text, part.text):
                verdict.lost.append(f"question {one.number}: a part is noted as sent and cannot be seen")
        elif part.state != "delivery_unknown" and not one.is_void:
            verdict.lost.append(f"question {one.number}: a part is {part.state}")
    notices = sum(part.is_notice for part in told)
    owed_notices = int(any(part.state == "delivery_unknown" and not part.is_notice for part in told))
    if notices < owed_notices:
        verdict.lost.append(f"question {one.number}: a part is in doubt, and nobody was told")
    elif notices > owed_notices:
        verdict.doubled.append(f"question {one.number}: told {notices} times of a doubt, {owed_notices} were owed")


def _look_at_end(
    one: Said, row: Accepted, told: Sequence[Owed], theirs: Sequence[tuple[Said, Accepted]], verdict: Verdict
) -> None:
    """Find messages that did not end, and those whose sender was told what does not belong to them or to their end."""
    reply = " ".join(part.text for part in told if not part.is_notice)
    before = [other.text for other, known in theirs if other.is_question and known.id < row.id]
    if row.state not in ENDS:
        verdict.lost.append(f"question {one.number} is still {row.state}")
    elif not told:
        verdict.lost.append(f"question {one.number} is {row.state}, and nobody was told")
    elif not may_end(one.text, row.state, reply, inbox_id=row.id, repeatable=before[-1:]):
        verdict.lost.append(f"question {one.number} is {row.state}, and its sender was told {reply[:200]!r}")
    elif row.state == "cancelled" and not any(other.stops and known.id > row.id for other, known in theirs):
        verdict.lost.append(f"question {one.number} is cancelled, and its sender did not ask for that after it")


def _same_words(text: str, other: str) -> bool:
    return text.split() == other.split()


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
    """Find messages that no row accounts for, such as a second copy, and those that two parts claim."""
    claimed: Counter[tuple[str, str]] = Counter()
    in_doubt: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for part in parts.get(row.id, ()):
            if part.message_id is not None:
                claimed[row.place, part.message_id] += not part.is_status
            elif part.state == "delivery_unknown":
                in_doubt[row.place, " ".join(part.text.split())] += 1
    for place, message_id in sorted(where for where, parts_there in claimed.items() if parts_there > 1):
        verdict.lost.append(f"{place}: message {message_id} is noted for several parts, of which it can show one")
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
