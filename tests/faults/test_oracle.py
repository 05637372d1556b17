"""The oracle sees each way in which the promise can be broken."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.oracle import Accepted, Owed, Said, Shown, Verdict, judge

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


def test_what_is_said_once_while_nobody_listens_is_counted_apart() -> None:
    assert judge([Said(1, "discord:7", "5")], [], [], []).unheard == 1
