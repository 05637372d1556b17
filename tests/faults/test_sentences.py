"""What the oracle expects, written down apart from the product, is what the product says and does."""

from __future__ import annotations

from dataclasses import replace

from botbridge.conversation.limits import Excess, Limits
from botbridge.conversation.notices import lost_sight, not_answered_yet, nothing_to_repeat, refusal
from botbridge.conversation.texts import failure, load_texts, unforeseen
from botbridge.errors import GenerationTimeout, WorkerDied
from botbridge.platforms.discord import catch_up
from tests.contracts.examples import message
from tests.faults import oracle, sentences
from tests.faults.sentences import IN_DOUBT, may_end

ENGLISH = load_texts().language("en")


def test_each_refusal_is_known_word_for_word() -> None:
    for limit in (Excess.WAITING, Excess.QUEUE):
        assert may_end("one", "refused", refusal(ENGLISH, message(), limit, Limits()), inbox_id=1)
    long = replace(message(), text="x" * 16_001)
    assert may_end(long.text, "refused", refusal(ENGLISH, long, Excess.LENGTH, Limits()), inbox_id=1)
    for words in (not_answered_yet(ENGLISH), nothing_to_repeat(ENGLISH)):
        assert may_end("/again", "refused", words, inbox_id=1)


def test_each_failure_is_known_word_for_word() -> None:
    assert may_end("one", "expired", failure(ENGLISH, GenerationTimeout(""), reference="1"), inbox_id=1)
    assert may_end("one", "quarantined", failure(ENGLISH, WorkerDied(""), reference="1"), inbox_id=1)


def test_a_bug_of_ours_is_no_end_that_a_soak_lets_pass() -> None:
    assert not may_end("one", "quarantined", unforeseen(ENGLISH, reference="1"), inbox_id=1)


def test_the_notice_of_a_doubt_is_known_word_for_word() -> None:
    assert lost_sight(ENGLISH) == IN_DOUBT


def test_the_limits_are_those_of_the_product() -> None:
    limits = Limits()
    assert (limits.message_chars, limits.waiting_per_person) == (sentences.MESSAGE_CHARS, sentences.WAITING_PER_PERSON)
    page, channel, in_all = oracle.PAGE_MESSAGES, oracle.MISSED_PER_CHANNEL, oracle.MISSED_IN_ALL
    assert (page, channel, in_all) == (catch_up.PAGE_MESSAGES, catch_up.MISSED_PER_CHANNEL, catch_up.MISSED_IN_ALL)
