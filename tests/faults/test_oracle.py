"""The oracle sees each way in which the promise can be broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.oracle import Accepted, Owed, Said, Shown, Verdict, judge
from tests.faults.soak import is_good

ANA = "telegram:7"
SAID = Said(1, ANA, "5")
ROW = Accepted(1, ANA, "5", "answered")
PART = Owed(1, "sent", "q1w0 q1w1", "6", is_status=False)
SHOWN = Shown(ANA, "6", "q1w0 q1w1")


def verdict(*, row: Accepted = ROW, parts: tuple[Owed, ...] = (PART,), shown: tuple[Shown, ...] = (SHOWN,)) -> Verdict:
    return judge([SAID], [row], parts, shown)


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


def test_a_part_of_which_nobody_knows_whether_it_arrived_may_be_seen_once() -> None:
    unknown = replace(PART, state="delivery_unknown", message_id=None)
    for shown in ((), (SHOWN,)):
        found = verdict(parts=(unknown,), shown=shown)
        assert found.is_good
        assert found.ends == {"unknown": 1}


def test_a_status_line_without_an_answer_is_only_counted() -> None:
    found = verdict(shown=(SHOWN, Shown(ANA, "7", "Writing…")))
    assert found.is_good
    assert found.leftovers == 1


def test_what_is_asked_again_may_be_seen_as_often_as_it_was_asked() -> None:
    again = Said(2, ANA, "8", repeats=True)
    row = Accepted(2, ANA, "8", "answered")
    part = replace(PART, inbox_id=2, message_id="9")
    copies = [SHOWN, replace(SHOWN, message_id="9"), replace(SHOWN, message_id="10")]
    assert judge([SAID, again], [ROW, row], [PART, part], copies[:2]).is_good
    assert (
        judge([SAID, again], [ROW, row], [PART, part], copies).doubled[0] == "question 1: words of it are shown twice"
    )
    assert not judge([SAID, replace(again, repeats=False)], [ROW, row], [PART, part], copies[:2]).is_good


HERE = "discord:7"
HEARD = Accepted(1, HERE, "100", "answered")


def unheard(*said: Said, heard: Accepted = HEARD, shown: tuple[Shown, ...] = ()) -> tuple[list[str], int]:
    """What is lost, and how many are only unheard, when a message was heard and answered before these were said."""
    first = Said(1, heard.place, heard.message_id)
    answer = Shown(heard.place, "99", PART.text)
    part = replace(PART, message_id="99")
    found = judge([first, *said], [heard], [part], [answer, *shown])
    return found.lost, found.unheard


def test_what_no_event_told_of_is_lost_where_the_bot_was_spoken_to_before() -> None:
    """It stands in the channel's history, and has to be fetched."""
    assert unheard(Said(2, HERE, "101")) == (["question 2 was never fetched"], 0)


def test_first_words_and_commands_of_the_menu_are_in_no_history() -> None:
    assert unheard(Said(2, HERE, "98"), Said(3, "discord:8", "101"), Said(4, HERE, "102", by_menu=True)) == ([], 3)


def test_what_lies_beyond_the_bounds_of_the_search_is_counted_apart() -> None:
    """A page of a hundred messages, fifty of them for the bot in one channel, a hundred in all."""
    many = [Said(number, HERE, str(100 + number)) for number in range(2, 62)]
    lost, left = unheard(*many)
    assert (len(lost), left) == (50, 10)
    chatter = tuple(Shown(HERE, str(101 + number), "…") for number in range(100))
    assert unheard(Said(2, HERE, "300"), shown=chatter)[1] == 1
    elsewhere = [Said(number, f"discord:other{number}", str(100 + number)) for number in range(2, 103)]
    assert unheard(*elsewhere, Said(200, HERE, "300")) == ([], 102)


def test_a_command_that_discord_declared_failed_is_counted_apart() -> None:
    """Nobody acknowledged it in time, which its sender was told; what it would have been answered has nowhere to go."""
    said = Said(1, HERE, "100", by_menu=True, is_void=True)
    part = replace(PART, state="undeliverable", text="Done.", message_id=None)
    found = judge([said], [HEARD], [part], [])
    assert (found.lost, found.void) == ([], 1)
    assert judge([replace(said, is_void=False)], [HEARD], [part], []).lost == ["question 1: a part is undeliverable"]


SOAKED = {
    "lost": 0, "doubled": 0, "in_a_wrong_chat": 0, "defects": [], "unknown_parts_unexplained": 0,
    "rss_most_mb": 140.0, "descriptors_most": 60, "threads_most": 20,
    "rss_slope_mb_a_minute": 1.5, "descriptors_slope_a_minute": 0.0, "last_life_s": 170,
}  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        {"lost": 1}, {"doubled": 1}, {"in_a_wrong_chat": 1}, {"defects": ["a process is left"]},
        {"unknown_parts_unexplained": 1}, {"rss_most_mb": 900.0}, {"descriptors_most": 4000}, {"threads_most": 900},
        {"rss_slope_mb_a_minute": 50.0}, {"descriptors_slope_a_minute": 40.0},
    ],
)  # fmt: skip
def test_a_soak_is_not_good_that_lost_something_or_grew(found: dict[str, object]) -> None:
    assert is_good(SOAKED)
    assert not is_good(SOAKED | found)


def test_a_short_life_is_not_judged_by_its_slope() -> None:
    assert is_good(SOAKED | {"rss_slope_mb_a_minute": 50.0, "last_life_s": 40})
