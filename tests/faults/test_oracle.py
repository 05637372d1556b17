"""The oracle sees each way in which the promise can be broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.oracle import Accepted, Owed, Said, Shown, Verdict, judge
from tests.faults.sentences import IN_DOUBT, QUARANTINED, STOPPED, TOO_LONG, TOO_MANY_WAIT, WAS_RESET

ANA = "telegram:7"
SAID = Said(1, ANA, "5", person="7", text="q1w0 q1w1")
ROW = Accepted(1, ANA, "5", "answered")
PART = Owed(1, "sent", "q1w0 q1w1", "6", is_status=False)
SHOWN = Shown(ANA, "6", "q1w0 q1w1")


NOTICE = replace(PART, text=IN_DOUBT, message_id="7")
NOTICE_SHOWN = replace(SHOWN, text=IN_DOUBT, message_id="7")
STOPS = Said(2, ANA, "8", person="7", text="/cancel")
STOPPING = Accepted(2, ANA, "8", "answered")
STOPPED_ONE = Owed(2, "sent", "Stopped 1 message.", "9", is_status=False)
STOPPED_ONE_SHOWN = Shown(ANA, "9", "Stopped 1 message.")


def verdict(*, row: Accepted = ROW, parts: tuple[Owed, ...] = (PART,), shown: tuple[Shown, ...] = (SHOWN,)) -> Verdict:
    return judge([SAID], [row], parts, shown)


def told(state: str, text: str, *, said: Said = SAID, who_stops: Said | None = STOPS) -> list[str]:
    """What is wrong when a message ended so, and its sender, who also says /cancel, was told and shown this text."""
    rows, parts = [replace(ROW, state=state)], [replace(PART, text=text)]
    shown, everything = [replace(SHOWN, text=text)], [said]
    if who_stops is not None:
        everything.append(who_stops)
        rows.append(STOPPING)
        parts.append(STOPPED_ONE)
        shown.append(STOPPED_ONE_SHOWN)
    found = judge(everything, rows, parts, shown)
    return [*found.lost, *found.doubled, *found.in_a_wrong_chat]


def test_a_message_that_was_answered_once_is_good() -> None:
    found = verdict()
    assert found.is_good
    assert found.ends == {"answered": 1}


def test_a_message_without_an_end_is_lost() -> None:
    assert verdict(row=replace(ROW, state="queued")).lost == ["question 1 is still queued"]


def test_an_end_that_nobody_was_told_of_is_lost() -> None:
    assert verdict(parts=(), shown=()).lost == ["question 1 is answered, and nobody was told"]


def test_a_part_that_was_given_up_is_lost() -> None:
    assert verdict(parts=(replace(PART, state="undeliverable"),)).lost == ["question 1: a part is undeliverable"]


def test_a_part_that_is_noted_as_sent_must_be_seen_where_it_belongs() -> None:
    assert len(verdict(shown=()).lost) == 1
    assert len(verdict(shown=(replace(SHOWN, text="q1w0"),)).lost) == 1


def test_an_answer_that_is_seen_twice_is_doubled() -> None:
    found = verdict(shown=(SHOWN, replace(SHOWN, message_id="7")))
    assert found.doubled[0] == "question 1: words of it are shown twice"


def test_half_an_answer_beside_a_whole_one_is_doubled() -> None:
    status = replace(PART, message_id="7", is_status=True)
    assert len(verdict(parts=(PART, status), shown=(SHOWN, Shown(ANA, "7", "q1w0"))).doubled) == 1


def test_a_sentence_that_no_row_accounts_for_is_doubled() -> None:
    assert len(verdict(shown=(SHOWN, Shown(ANA, "7", "Done. We start afresh."))).doubled) == 1


def test_words_in_another_chat_are_seen() -> None:
    assert verdict(shown=(SHOWN, Shown("telegram:8", "9", "q1w2"))).in_a_wrong_chat != []


UNKNOWN = replace(PART, state="delivery_unknown", message_id=None)


def test_a_part_of_which_nobody_knows_whether_it_arrived_may_be_seen_once() -> None:
    for shown in ((NOTICE_SHOWN,), (SHOWN, NOTICE_SHOWN)):
        found = verdict(parts=(UNKNOWN, NOTICE), shown=shown)
        assert found.is_good
        assert found.ends == {"unknown": 1}
    assert not verdict(parts=(UNKNOWN, NOTICE), shown=(SHOWN, replace(SHOWN, message_id="8"), NOTICE_SHOWN)).is_good


def test_of_a_part_in_doubt_its_sender_is_told_once() -> None:
    assert verdict(parts=(UNKNOWN,), shown=()).lost == ["question 1: a part is in doubt, and nobody was told"]
    twice = verdict(
        parts=(UNKNOWN, NOTICE, replace(NOTICE, message_id="8")),
        shown=(NOTICE_SHOWN, replace(NOTICE_SHOWN, message_id="8")),
    )
    assert twice.doubled == ["question 1: told 2 times of a doubt, 1 were owed"]
    without = verdict(parts=(PART, NOTICE), shown=(SHOWN, NOTICE_SHOWN))
    assert without.doubled == ["question 1: told 1 times of a doubt, 0 were owed"]
    other_words = replace(NOTICE, text="Something was lost.")
    assert not verdict(parts=(UNKNOWN, other_words), shown=(replace(NOTICE_SHOWN, text="Something was lost."),)).is_good


def test_a_notice_that_cannot_be_seen_was_not_given() -> None:
    assert len(verdict(parts=(UNKNOWN, NOTICE), shown=()).lost) == 1
    assert len(verdict(parts=(UNKNOWN, replace(NOTICE, state="undeliverable")), shown=()).lost) == 1


def test_a_notice_that_is_in_doubt_itself_brings_forth_no_other() -> None:
    assert verdict(parts=(UNKNOWN, replace(NOTICE, state="delivery_unknown", message_id=None)), shown=()).is_good


def test_an_answer_belongs_to_the_message_whose_words_it_has() -> None:
    assert told("answered", "q1w0 q1w1") == []
    assert told("answered", "q1w0") != []
    assert told("answered", "q1w0 q1w1 and more") != []
    assert told("answered", "Hello!") != []
    assert told("answered", TOO_MANY_WAIT) != []


def test_the_answer_to_another_message_of_the_same_chat_is_not_taken_for_its_own() -> None:
    other = Said(3, ANA, "10", person="7", text="q3w0")
    row, part = Accepted(3, ANA, "10", "answered"), Owed(3, "sent", "q3w0", "11", is_status=False)
    shown = Shown(ANA, "11", "q3w0")
    assert judge([SAID, other], [ROW, row], [PART, part], [SHOWN, shown]).is_good
    swapped = [replace(PART, inbox_id=3), replace(part, inbox_id=1)]
    assert len(judge([SAID, other], [ROW, row], swapped, [SHOWN, shown]).lost) == 2


def test_a_refusal_has_the_words_of_its_limit_and_a_reason() -> None:
    assert told("refused", TOO_MANY_WAIT) == []
    assert told("refused", "Not now.") != []
    assert told("refused", TOO_LONG.format(length=9)) != []  # that is not too long
    long = replace(SAID, text="q1w0 " * 4000)
    assert told("refused", TOO_LONG.format(length=20_000), said=long) == []
    assert told("refused", TOO_LONG.format(length=20_001), said=long) != []
    assert told("refused", TOO_MANY_WAIT, said=long) != []
    assert told("answered", long.text, said=long) != []


def test_what_is_cancelled_was_stopped_by_its_sender_and_ends_where_it_was() -> None:
    for words in (STOPPED, f"q1w0\n\n{STOPPED}", WAS_RESET):
        assert told("cancelled", words) == []
        assert told("cancelled", words, who_stops=None) != []
        assert told("cancelled", words, who_stops=replace(STOPS, person="8")) != []
    assert told("cancelled", f"q1w1\n\n{STOPPED}") != []
    assert told("cancelled", "q1w0") != []


def test_what_was_said_after_a_stop_is_not_stopped_by_it() -> None:
    rows = [replace(ROW, id=3, state="cancelled"), STOPPING]
    parts = [replace(PART, inbox_id=3, text=WAS_RESET), STOPPED_ONE]
    shown = [replace(SHOWN, text=WAS_RESET), STOPPED_ONE_SHOWN]
    found = judge([SAID, STOPS], rows, parts, shown)
    assert found.lost == ["question 1 is cancelled, and its sender did not ask for that after it"]


def test_what_is_given_up_names_itself() -> None:
    assert told("quarantined", QUARANTINED.format(inbox_id=1)) == []
    assert told("quarantined", QUARANTINED.format(inbox_id=2)) != []


def test_what_expired_says_so() -> None:
    assert told("expired", "I did not get to your message in time, so I gave it up. Please send it again.") == []
    assert told("expired", STOPPED) != []


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("/cancel", "answered", "There is nothing to stop."),
        ("/cancel", "answered", "Stopped 2 messages."),
        ("/reset", "answered", "Done. We start afresh."),
        (
            "/again",
            "refused",
            "I have not answered your last message yet. /again is for after that; /cancel stops it.",
        ),
    ],
)
def test_a_command_is_answered_with_its_own_words(text: str, state: str, words: str) -> None:
    command = replace(SAID, text=text)
    assert told(state, words, said=command) == []
    assert told(state, "Done.", said=command) != []
    assert told(state, words, said=replace(SAID, text="/unheard-of")) != []


def test_one_message_is_not_the_answer_to_two() -> None:
    """Two equal sentences, of which one was taken for the other and never sent."""
    both = [replace(SAID, text="/reset"), Said(3, ANA, "10", person="7", text="/reset")]
    rows = [ROW, Accepted(3, ANA, "10", "answered")]
    done = replace(PART, text="Done. We start afresh.")
    shown = [replace(SHOWN, text=done.text), Shown(ANA, "11", done.text)]
    assert judge(both, rows, [done, replace(done, inbox_id=3, message_id="11")], shown).is_good
    assert len(judge(both, rows, [done, replace(done, inbox_id=3)], shown[:1]).lost) == 1


def test_nothing_is_accepted_twice_or_out_of_nowhere() -> None:
    again = replace(ROW, id=2)
    assert len(judge([SAID], [ROW, again], [PART], [SHOWN]).doubled) == 1
    assert len(judge([SAID], [ROW, replace(again, message_id="99")], [PART], [SHOWN]).doubled) == 1


def test_a_status_line_without_an_answer_is_only_counted() -> None:
    found = verdict(shown=(SHOWN, Shown(ANA, "7", "Writing…")))
    assert found.is_good
    assert found.leftovers == 1


def test_what_is_asked_again_may_be_seen_as_often_as_it_was_asked() -> None:
    again = Said(2, ANA, "8", person="7", text="/again")
    row = Accepted(2, ANA, "8", "answered")
    part = replace(PART, inbox_id=2, message_id="9")
    copies = [SHOWN, replace(SHOWN, message_id="9"), replace(SHOWN, message_id="10")]
    assert judge([SAID, again], [ROW, row], [PART, part], copies[:2]).is_good
    assert (
        judge([SAID, again], [ROW, row], [PART, part], copies).doubled[0] == "question 1: words of it are shown twice"
    )
    assert not judge([SAID, replace(again, text="q2w0")], [ROW, row], [PART, part], copies[:2]).is_good


def test_what_is_answered_again_is_the_newest_question_of_whoever_asks() -> None:
    newer = Said(3, ANA, "10", person="7", text="q3w0")
    again = Said(4, ANA, "12", person="7", text="/again")
    rows = [ROW, Accepted(3, ANA, "10", "answered"), Accepted(4, ANA, "12", "answered")]
    parts = [PART, Owed(3, "sent", "q3w0", "11", is_status=False), Owed(4, "sent", "q3w0", "13", is_status=False)]
    shown = [SHOWN, Shown(ANA, "11", "q3w0"), Shown(ANA, "13", "q3w0")]
    assert judge([SAID, newer, again], rows, parts, shown).is_good
    older = [*parts[:2], replace(parts[2], text=PART.text)]
    assert len(judge([SAID, newer, again], rows, older, [*shown[:2], Shown(ANA, "13", PART.text)]).lost) == 1
    assert len(judge([SAID, replace(newer, person="8"), again], rows, parts, shown).lost) == 1
    later = [rows[0], replace(rows[1], id=5), rows[2]]
    assert len(judge([SAID, newer, again], later, [PART, replace(parts[1], inbox_id=5), parts[2]], shown).lost) == 1


HERE = "discord:7"
HEARD = Accepted(1, HERE, "100", "answered")


def asked(number: int, place: str, message_id: str, *, by_menu: bool = False) -> Said:
    return Said(number, place, message_id, person="7", text=f"q{number}w0", by_menu=by_menu)


def unheard(*said: Said, heard: Accepted = HEARD, shown: tuple[Shown, ...] = ()) -> tuple[list[str], int]:
    """What is lost, and how many are only unheard, when a message was heard and answered before these were said."""
    first = Said(1, heard.place, heard.message_id, person="7", text=PART.text)
    answer = Shown(heard.place, "99", PART.text)
    part = replace(PART, message_id="99")
    found = judge([first, *said], [heard], [part], [answer, *shown])
    return found.lost, found.unheard


def test_what_no_event_told_of_is_lost_where_the_bot_was_spoken_to_before() -> None:
    """It stands in the channel's history, and has to be fetched."""
    assert unheard(asked(2, HERE, "101")) == (["question 2 was never fetched"], 0)


def test_first_words_and_commands_of_the_menu_are_in_no_history() -> None:
    assert unheard(asked(2, HERE, "98"), asked(3, "discord:8", "101"), asked(4, HERE, "102", by_menu=True)) == ([], 3)


def test_what_lies_beyond_the_bounds_of_the_search_is_counted_apart() -> None:
    """A page of a hundred messages, fifty of them for the bot in one channel, a hundred in all."""
    many = [asked(number, HERE, str(100 + number)) for number in range(2, 62)]
    lost, left = unheard(*many)
    assert (len(lost), left) == (50, 10)
    chatter = tuple(Shown(HERE, str(101 + number), "…") for number in range(100))
    assert unheard(asked(2, HERE, "300"), shown=chatter)[1] == 1
    elsewhere = [asked(number, f"discord:other{number}", str(100 + number)) for number in range(2, 103)]
    assert unheard(*elsewhere, asked(200, HERE, "300")) == ([], 102)


@pytest.mark.parametrize(("missed", "lost", "left"), [(90, 1, 0), (110, 0, 10)])
def test_what_was_fetched_late_does_not_divide_what_was_missed(missed: int, lost: int, left: int) -> None:
    """The first of each channel come before the second of any: what is left lies among what was fetched."""
    said = [Said(1, HERE, "100", person="7", text=PART.text)]
    said += [asked(number, f"discord:{number % 3 + 7}", str(100 + number)) for number in range(2, missed + 2)]
    others = [Accepted(1000 + number, f"discord:{number + 7}", str(90 + number), "answered") for number in (1, 2)]
    heard = said[1:][: max(missed - 10, 100 if missed > 100 else missed - 1)]
    rows = [HEARD, *others, *(Accepted(one.number, one.place, one.message_id, "answered", 60.0) for one in heard)]
    parts = [Owed(row.id, "sent", f"q{row.id}w0", f"9000{row.id}", is_status=False) for row in rows[3:]]
    shown = [Shown(row.place, f"9000{row.id}", f"q{row.id}w0") for row in rows[3:]]
    parts.append(replace(PART, message_id="99"))
    shown.append(Shown(HERE, "99", PART.text))
    found = judge(said, rows, parts, shown)
    assert (found.lost, found.unheard) == ([f"question {missed + 1} was never fetched"] * lost, left)


def test_a_command_that_discord_declared_failed_is_counted_apart() -> None:
    """Nobody acknowledged it in time, which its sender was told; what it would have been answered has nowhere to go."""
    said = Said(1, HERE, "100", person="7", text="/reset", by_menu=True, is_void=True)
    part = replace(PART, state="undeliverable", text="Done. We start afresh.", message_id=None)
    found = judge([said], [HEARD], [part], [])
    assert (found.lost, found.void) == ([], 1)
    assert judge([replace(said, is_void=False)], [HEARD], [part], []).lost == ["question 1: a part is undeliverable"]
