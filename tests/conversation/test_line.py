"""The line: one turn per conversation, first come first served, fair between people."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from botbridge.conversation import line as lines
from botbridge.conversation.line import Line, person_of
from botbridge.messages import ChatId, ConversationKey, InboxId, InboxRow, InboxState, UserId
from tests.fakes.in_memory_platform import InMemoryPlatform

PLATFORM = InMemoryPlatform()


def row(number: int, user: str, conversation: str | None = None) -> InboxRow:
    """The message `number` of a user, in a shared conversation or in their own."""
    incoming = PLATFORM.message("hello", user=user, chat=conversation)
    key = ConversationKey(
        incoming.address.platform,
        incoming.address.bot_id,
        ChatId(conversation or user),
        None,
        None if conversation else UserId(user),
    )
    return InboxRow(InboxId(number), key, 1, incoming, InboxState.QUEUED)


def filled(*rows: InboxRow) -> Line:
    line = Line()
    for each in rows:
        line = lines.join(line, each)
    return line


def served(line: Line, slots: int = 1) -> list[int]:
    """Ids in the order of service when every answer ends before the next begins."""
    order = []
    while (chosen := lines.next_row(line, slots)) is not None:
        order.append(int(chosen.id))
        line = lines.leave(line, chosen.id)
    return order


def test_first_come_first_served_between_people() -> None:
    assert served(filled(row(2, "b"), row(1, "a"), row(3, "c"))) == [1, 2, 3]


def test_a_person_with_many_messages_does_not_keep_others_waiting() -> None:
    line = filled(row(1, "a"), row(2, "a"), row(3, "a"), row(4, "b"), row(5, "c"))
    assert [int(r.id) for r in lines.ahead(line)] == [1, 4, 5, 2, 3]


def test_whoever_is_being_answered_waits_a_round() -> None:
    line = lines.start(filled(row(1, "a"), row(2, "a"), row(3, "b")), row(1, "a"))
    assert [int(r.id) for r in lines.ahead(line)] == [3, 2]


def test_one_running_turn_per_conversation_even_with_free_slots() -> None:
    first, second = row(1, "a"), row(2, "a")
    line = lines.start(filled(first, second), first)
    assert lines.next_row(line, slots=8) is None


def test_nobody_overtakes_inside_a_shared_conversation() -> None:
    line = filled(row(1, "a", "g"), row(2, "a", "g"), row(3, "b", "g"))
    assert served(line) == [1, 2, 3]


def test_no_more_than_the_slots_run() -> None:
    line = lines.start(filled(row(1, "a"), row(2, "b")), row(1, "a"))
    assert lines.next_row(line, slots=1) is None
    second = lines.next_row(line, slots=2)
    assert second is not None
    assert second.id == 2


def test_places_are_those_of_the_service_order() -> None:
    line = filled(row(1, "a"), row(2, "a"), row(3, "b"))
    assert [lines.place(line, InboxId(n)) for n in (1, 2, 3, 9)] == [1, 3, 2, 0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "g", "h"])), max_size=12))
def test_everybody_is_served_once_and_in_order_within_each_conversation(arrivals: list[tuple[str, str | None]]) -> None:
    rows = [row(number, user, chat) for number, (user, chat) in enumerate(arrivals, start=1)]
    order = served(filled(*rows))
    assert sorted(order) == [int(r.id) for r in rows]
    for key in {r.key for r in rows}:
        mine = [int(r.id) for r in rows if r.key == key]
        assert [n for n in order if n in mine] == mine


@given(st.integers(1, 10), st.integers(1, 10))
def test_a_newcomer_waits_for_at_most_one_message_of_each_other_person(heavy: int, others: int) -> None:
    rows = [row(n, "heavy") for n in range(1, heavy + 1)]
    rows += [row(100 + n, f"other{n}") for n in range(others)]
    newcomer = row(1000, "newcomer")
    assert lines.place(filled(*rows, newcomer), newcomer.id) <= others + 2


def test_expected_wait_counts_the_busy_slots() -> None:
    assert lines.expected_wait_s(1, slots=2, running_for_s=[3.0], answer_s=10.0) == 0.0
    assert lines.expected_wait_s(2, slots=1, running_for_s=[4.0], answer_s=10.0) == 16.0
    assert lines.expected_wait_s(1, slots=1, running_for_s=[99.0], answer_s=10.0) == 1.0


def test_a_person_is_one_per_platform() -> None:
    """The same number on two platforms is two people."""
    here = row(1, "42")
    there = replace(here, incoming=InMemoryPlatform("discord").message("x", user="42"))
    assert person_of(here) != person_of(there)
