"""The line: one answer at a time for each conversation and person, fair between people by what answers cost."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.conversation import line as lines
from botbridge.conversation.line import Line, person_of
from botbridge.messages import ChatId, ConversationKey, InboxId, InboxRow, InboxState, UserId
from tests.fakes.in_memory_platform import InMemoryPlatform

PLATFORM = InMemoryPlatform()
COST = 100.0


def row(number: int, user: str, conversation: str | None = None, *, shared: bool = True) -> InboxRow:
    """The message `number` of a user: in their private conversation, or in a chat, shared or their own there."""
    incoming = PLATFORM.message("hello", user=user, chat=conversation)
    key = ConversationKey(
        incoming.address.platform,
        incoming.address.bot_id,
        ChatId(conversation or user),
        None,
        UserId(user) if conversation is None or not shared else None,
    )
    return InboxRow(InboxId(number), key, 1, incoming, InboxState.QUEUED)


def filled(*rows: InboxRow, cost: float = COST) -> Line:
    line = Line()
    for each in rows:
        line = lines.join(line, each, cost)
    return line


def begun(line: Line, inbox_id: int) -> Line:
    """The line after this message was begun, whoever is next."""
    return lines.start(line, next(entry for entry in line.waiting if entry.row.id == inbox_id))


def served(line: Line) -> list[int]:
    """Ids in the order of service when every answer ends before the next begins, at the cost that was thought."""
    order = []
    while (chosen := lines.next_entry(line, 1)) is not None:
        order.append(int(chosen.row.id))
        line = lines.leave(lines.start(line, chosen), chosen.row.id, spent=chosen.cost)
    return order


def forecast(line: Line, slots: int = 1, spent: dict[InboxId, float] | None = None) -> list[tuple[int, float]]:
    """Who is begun after how many seconds, where each stream has ten tokens a second however many there are."""
    found = lines.forecast(line, slots, spent or {}, lambda streams: 10.0 * streams)
    return [(int(row.id), wait_s) for row, wait_s in found]


def test_what_came_after_a_command_of_its_conversation_is_not_begun_and_all_else_is() -> None:
    line = filled(row(1, "a"), row(4, "a"), row(5, "b"), row(6, "c", "chat"))
    left = lines.without_followers(line, [row(3, "a"), row(2, "a"), row(7, "c", "chat")])
    assert [entry.row.id for entry in left.waiting] == [1, 5, 6]
    assert lines.without_followers(line, []) is line


def test_first_come_first_served_between_people_who_ask_for_as_much() -> None:
    assert served(filled(row(2, "b"), row(1, "a"), row(3, "c"))) == [1, 2, 3]


def test_a_person_with_many_messages_does_not_keep_others_waiting() -> None:
    assert served(filled(row(1, "a"), row(2, "a"), row(3, "a"), row(4, "b"), row(5, "c"))) == [1, 4, 5, 2, 3]


def test_people_share_tokens_and_not_messages() -> None:
    """One long answer weighs as much as four short ones."""
    line = Line()
    for number in range(1, 4):
        line = lines.join(line, row(number, "long"), 400.0)
    for number in range(4, 14):
        line = lines.join(line, row(number, "short"), 100.0)
    assert served(line) == [4, 5, 6, 1, 7, 8, 9, 10, 2, 11, 12, 13, 3]


def test_whoever_needs_little_goes_before_whoever_needs_much() -> None:
    """As if both were answered a word each in turn: the short answer would be whole first."""
    assert served(lines.join(filled(row(1, "much"), cost=500.0), row(2, "little"), 50.0)) == [2, 1]


def test_what_an_answer_really_took_counts_and_not_what_was_thought() -> None:
    def after(spent: float) -> list[int]:
        line = begun(filled(row(1, "a"), row(2, "a"), row(3, "b"), row(4, "b")), 1)
        return served(lines.leave(line, InboxId(1), spent))

    assert after(spent=COST) == [3, 2, 4]
    assert after(spent=5 * COST) == [3, 4, 2]
    assert after(spent=0.0) == [2, 3, 4]


def test_a_pause_earns_no_credit() -> None:
    """Somebody was served ten times while another kept silent; from then on they share alike."""
    line = Line()
    for number in range(1, 11):
        line = begun(lines.join(line, row(number, "busy"), COST), number)
        line = lines.leave(line, InboxId(number), COST)
    for number in range(11, 17):
        line = lines.join(line, row(number, "busy" if number % 2 else "back"), COST)
    assert served(line) == [11, 12, 13, 14, 15, 16]


def test_one_running_answer_per_conversation_even_with_free_slots() -> None:
    line = begun(filled(row(1, "a", "g"), row(2, "b", "g")), 1)
    assert lines.next_entry(line, slots=8) is None


def test_one_running_answer_per_person_even_with_free_slots() -> None:
    """Otherwise a person with many conversations would hold every slot when the next person comes."""
    line = begun(filled(row(1, "a"), row(2, "a", "g"), row(3, "b", "h")), 1)
    chosen = lines.next_entry(line, slots=8)
    assert chosen is not None
    assert chosen.row.id == 3
    assert lines.next_entry(begun(line, 3), slots=8) is None


def test_nobody_overtakes_inside_a_shared_conversation() -> None:
    assert served(filled(row(1, "a", "g"), row(2, "a", "g"), row(3, "b", "g"))) == [1, 2, 3]


def test_a_person_whose_oldest_message_waits_for_others_is_answered_elsewhere() -> None:
    line = begun(filled(row(1, "a", "g"), row(2, "b", "g"), row(3, "b")), 1)
    chosen = lines.next_entry(line, slots=2)
    assert chosen is not None
    assert chosen.row.id == 3


def test_no_more_than_the_slots_run() -> None:
    line = begun(filled(row(1, "a"), row(2, "b")), 1)
    assert lines.next_entry(line, slots=1) is None
    second = lines.next_entry(line, slots=2)
    assert second is not None
    assert second.row.id == 2


def test_a_message_whose_attempt_failed_keeps_its_place() -> None:
    line = filled(row(1, "a"), row(2, "b"), row(3, "c"))
    again = lines.put_back(begun(line, 1), InboxId(1))
    assert served(lines.join(again, row(4, "d"), COST)) == [1, 2, 3, 4]
    assert lines.put_back(line, InboxId(1)) == line


def test_a_suspect_is_answered_while_nobody_else_is() -> None:
    """It waits until the others are done, and the others until it is."""
    line = begun(filled(row(1, "a"), row(2, "b"), row(3, "c")), 1)
    line = lines.put_back(begun(line, 2), InboxId(1), alone=True)
    assert lines.next_entry(line, slots=8) is None
    line = lines.leave(line, InboxId(2), COST)
    suspect = lines.next_entry(line, slots=8)
    assert suspect is not None
    assert (suspect.row.id, suspect.alone) == (1, True)
    line = lines.start(line, suspect)
    assert lines.next_entry(line, slots=8) is None
    following = lines.next_entry(lines.leave(line, InboxId(1), COST), slots=8)
    assert following is not None
    assert following.row.id == 3


def test_a_message_that_crashed_a_worker_before_a_restart_is_answered_alone() -> None:
    """A8: the next start knows it by its count."""
    line = filled(replace(row(1, "a"), crashes=1), row(2, "b"))
    suspect = lines.next_entry(line, 4)
    assert suspect is not None
    assert suspect.row.id == 1
    assert lines.next_entry(lines.start(line, suspect), 4) is None


def test_an_answer_that_is_computed_gives_up_its_slot_and_not_its_persons_turn() -> None:
    line = begun(filled(row(1, "a"), row(2, "a"), row(3, "b")), 1)
    assert lines.next_entry(line, slots=1) is None
    line = lines.computed(line, InboxId(1))
    following = lines.next_entry(line, slots=1)
    assert following is not None
    assert following.row.id == 3
    assert forecast(line) == [(3, 0.0), (2, 10.0)]
    assert lines.next_entry(begun(line, 3), slots=2) is None


def test_an_answer_that_has_to_be_computed_again_takes_a_slot_again() -> None:
    line = begun(filled(row(1, "a"), row(2, "b")), 1)
    line = begun(lines.put_back(lines.computed(line, InboxId(1)), InboxId(1)), 1)
    assert lines.next_entry(line, slots=1) is None


def test_nothing_is_kept_of_people_who_left() -> None:
    line = filled(row(1, "a"), row(2, "b"))
    for inbox_id in (1, 2):
        line = lines.leave(begun(line, inbox_id), InboxId(inbox_id), COST)
    assert dict(line.tags) == {}
    beyond = lines.leave(begun(lines.join(line, row(3, "a"), COST), 3), InboxId(3), 3 * COST)
    assert list(beyond.tags) == [person_of(row(3, "a"))]
    later = begun(lines.join(beyond, row(4, "b"), 9 * COST), 4)
    assert list(later.tags) == [person_of(row(4, "b"))]


arrivals = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "g", "h"]), st.booleans(), st.integers(1, 500)),
    max_size=14,
)


def line_of(came: Iterable[tuple[str, str | None, bool, int]]) -> Line:
    line = Line()
    for number, (user, chat, shared, cost) in enumerate(came, start=1):
        line = lines.join(line, row(number, user, chat, shared=shared), float(cost))
    return line


@given(arrivals)
def test_everybody_is_served_once_and_in_order_within_each_conversation(
    came: list[tuple[str, str | None, bool, int]],
) -> None:
    line = line_of(came)
    order = served(line)
    assert sorted(order) == list(range(1, len(came) + 1))
    for key in {entry.row.key for entry in line.waiting}:
        mine = [int(entry.row.id) for entry in line.waiting if entry.row.key == key]
        assert [number for number in order if number in mine] == mine


@given(arrivals, st.integers(1, 4))
def test_no_slot_is_idle_while_somebody_could_be_answered(
    came: list[tuple[str, str | None, bool, int]], slots: int
) -> None:
    line = line_of(came)
    while line.waiting:
        while (chosen := lines.next_entry(line, slots)) is not None:
            line = lines.start(line, chosen)
        people = {entry.person for entry in line.running}
        keys = {entry.row.key for entry in line.running}
        assert len(people) == len(keys) == len(line.running) <= slots
        first: dict[ConversationKey, InboxId] = {}
        for entry in line.waiting:
            first.setdefault(entry.row.key, entry.row.id)
        if len(line.running) < slots:
            free = [e for e in line.waiting if e.person not in people and e.row.key not in keys]
            assert not [entry for entry in free if first[entry.row.key] == entry.row.id]
        line = lines.leave(line, line.running[0].row.id, spent=line.running[0].cost)


@given(arrivals, st.integers(1, 4))
def test_the_forecast_is_what_happens_when_every_guess_is_right(
    came: list[tuple[str, str | None, bool, int]], slots: int
) -> None:
    line = line_of(came)
    foreseen = forecast(line, slots)
    happened, ends, now_s = [], {}, 0.0
    while len(happened) < len(came):
        while (chosen := lines.next_entry(line, slots)) is not None:
            line = lines.start(line, chosen)
            happened.append((int(chosen.row.id), now_s))
            ends[chosen.row.id] = now_s + chosen.cost / 10.0
        ended = min(ends, key=lambda inbox_id: (ends[inbox_id], inbox_id))
        now_s = ends.pop(ended)
        line = lines.leave(line, ended, next(entry.cost for entry in line.running if entry.row.id == ended))
    assert [number for number, _ in foreseen] == [number for number, _ in happened]
    assert [wait_s for _, wait_s in foreseen] == pytest.approx([at_s for _, at_s in happened])


@given(st.integers(1, 10), st.integers(1, 10))
def test_a_newcomer_waits_for_at_most_one_message_of_each_other_person(heavy: int, others: int) -> None:
    rows = [row(n, "heavy") for n in range(1, heavy + 1)]
    rows += [row(100 + n, f"other{n}") for n in range(others)]
    newcomer = row(1000, "newcomer")
    assert served(filled(*rows, newcomer)).index(1000) <= others + 1


@given(
    st.integers(1, 90), st.lists(st.integers(5, 60), min_size=1, max_size=6), st.lists(st.integers(5, 60), min_size=1)
)
def test_nobody_starves_while_newcomers_keep_coming(cost: int, present: list[int], coming: list[int]) -> None:
    """However many come later: of N people in line each gets an Nth of the tokens until the patient one is begun."""
    line = Line()
    for number, other in enumerate(present, start=1):
        line = lines.join(line, row(number, f"present{number}"), float(other))
    line = lines.join(line, row(50, "patient"), float(cost))
    room, number, before = len(line.waiting), 100, 0.0
    while (chosen := lines.next_entry(line, 1)) is not None and chosen.row.id != 50:
        before += chosen.cost
        line = lines.leave(lines.start(line, chosen), chosen.row.id, spent=chosen.cost)
        while len(line.waiting) < room:
            line = lines.join(line, row(number, f"newcomer{number}"), float(coming[number % len(coming)]))
            number += 1
        assert before <= sum(present) + room * cost
    assert chosen is not None


def test_a_wait_counts_the_busy_slots_and_what_is_left_of_their_answers() -> None:
    line = begun(filled(row(1, "a"), row(2, "b"), row(3, "c")), 1)
    assert forecast(line) == [(2, 10.0), (3, 20.0)]
    assert forecast(line, spent={InboxId(1): 40.0}) == [(2, 6.0), (3, 16.0)]
    assert forecast(line, slots=2) == [(2, 0.0), (3, 10.0)]


def test_a_forecast_counts_what_a_person_is_given_meanwhile() -> None:
    """While `b` waits for a shared chat only their long message can be next; that passes with the short one."""
    line = begun(filled(row(1, "a", "g"), cost=10.0), 1)
    for number, (user, chat, cost) in enumerate(
        [("b", "g", 10.0), ("b", None, 100.0), ("c", None, 20.0), ("d", None, 105.0)], start=2
    ):
        line = lines.join(replace(line, virtual_time=0.0), row(number, user, chat), cost)
    assert [number for number, _ in forecast(line, slots=2)] == [4, 2, 5, 3]


def test_an_answer_that_takes_longer_than_thought_is_taken_to_be_nearly_done() -> None:
    line = begun(filled(row(1, "a"), row(2, "b")), 1)
    assert forecast(line, spent={InboxId(1): 900.0}) == [(2, 1.0)]


def test_a_person_is_one_per_platform() -> None:
    """The same number on two platforms is two people."""
    here = row(1, "42")
    there = replace(here, incoming=InMemoryPlatform("discord").message("x", user="42"))
    assert person_of(here) != person_of(there)
