"""Commands, scopes, access and limits: the rules that need no I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.conversation.access import Access, AccessMode, Powers, Right, right_to_reset
from botbridge.conversation.commands import Command, parse
from botbridge.conversation.limits import Excess, Limits, MessageRate, TokensSpent, excess
from botbridge.conversation.line import Line, join
from botbridge.conversation.scope import Scope, key_for, spoken, unspoken
from botbridge.messages import ConversationKey, InboxId, InboxRow, InboxState, PlatformName, Spent, UserId
from tests.fakes.in_memory_platform import InMemoryPlatform

TELEGRAM = InMemoryPlatform("telegram")
NOBODY = Powers(operator=False, chat_admin=False)
CHAT_ADMIN = Powers(operator=False, chat_admin=True)
OPERATOR = Powers(operator=True, chat_admin=False)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/reset", Command("reset")),
        ("/new", Command("reset")),
        ("/reset all  confirm ", Command("reset", ("all", "confirm"))),
        ("/reset\n@sara", Command("reset", ("@sara",))),
        ("reset", None),
        ("/etc/passwd is what?", None),
        ("//", None),
        ("/", None),
        ("please /reset", None),
        ("/RESET", None),
    ],
)
def test_what_is_a_command(text: str, command: Command | None) -> None:
    assert parse(text) == command


def test_a_private_chat_is_the_persons_whatever_the_scope() -> None:
    key = key_for(TELEGRAM.message("x", user="5"), {TELEGRAM.name: Scope.CHAT})
    assert key.user_id == "5"


def test_in_a_group_each_person_and_each_topic_is_apart_by_default() -> None:
    keys = {
        key_for(TELEGRAM.message("x", user=user, chat="-1", thread=thread), {})
        for user in ("1", "2")
        for thread in (None, "8")
    }
    assert len(keys) == 4


def test_shared_scopes_put_people_together() -> None:
    def keys(scope: Scope) -> set[ConversationKey]:
        return {
            key_for(TELEGRAM.message("x", user=user, chat="-1", thread=thread), {TELEGRAM.name: scope})
            for user in ("1", "2")
            for thread in ("8", "9")
        }

    assert len(keys(Scope.THREAD)) == 2
    assert len(keys(Scope.CHAT)) == 1


def test_the_same_number_on_two_platforms_is_two_conversations() -> None:
    discord = InMemoryPlatform("discord")
    assert key_for(TELEGRAM.message("x", user="5"), {}) != key_for(discord.message("x", user="5"), {})


IDS = st.text(max_size=4) | st.sampled_from(["1", "-1", "-", "=1", "/", "1/2", "%2F"])
KEYS = st.builds(ConversationKey, IDS, IDS, IDS, st.none() | IDS, st.none() | IDS)


@given(KEYS, KEYS)
def test_unequal_conversations_have_unequal_names(one: ConversationKey, other: ConversationKey) -> None:
    """The name is what the history and the model's cache are found by."""
    assert (one.text == other.text) == (one == other)


@given(st.data())
def test_two_people_or_places_never_share_a_conversation_by_default(data: st.DataObject) -> None:
    """Equal numbers on two platforms, a group and a private chat, two threads."""
    small = st.sampled_from(["1", "2"])

    def drawn() -> tuple[str, str, str | None, str | None]:
        return data.draw(
            st.tuples(st.sampled_from(["telegram", "discord"]), small, st.none() | small, st.none() | small)
        )

    def key(who: tuple[str, str, str | None, str | None]) -> ConversationKey:
        platform, user, chat, thread = who
        return key_for(InMemoryPlatform(platform).message("x", user=user, chat=chat, thread=thread), {})

    def meaning(who: tuple[str, str, str | None, str | None]) -> tuple[object, ...]:
        platform, user, chat, thread = who
        return platform, user, chat or user, thread

    one, other = drawn(), drawn()
    assert (key(one) == key(other)) == (meaning(one) == meaning(other))


def test_the_speaker_is_named_only_where_several_share() -> None:
    message = TELEGRAM.message("hello", user="5", chat="-1")
    assert spoken(message, key_for(message, {})) == "hello"
    assert spoken(message, key_for(message, {TELEGRAM.name: Scope.CHAT})) == "User 5: hello"


@pytest.mark.parametrize("scopes", [{}, {TELEGRAM.name: Scope.CHAT}], ids=["alone", "shared"])
@pytest.mark.parametrize("text", ["hello", "User 5: hello"])
def test_what_the_model_read_can_be_read_back_whatever_it_begins_with(
    scopes: dict[PlatformName, Scope], text: str
) -> None:
    message = TELEGRAM.message(text, user="5", chat="-1")
    key = key_for(message, scopes)
    assert unspoken(spoken(message, key), message, key) == text


def test_open_access_lets_everybody_talk_but_the_blocked() -> None:
    access = Access(block=frozenset({(TELEGRAM.name, UserId("9"))}))
    assert access.may_talk((TELEGRAM.name, UserId("1")))
    assert not access.may_talk((TELEGRAM.name, UserId("9")))


def test_listed_access_admits_the_listed_and_the_operators() -> None:
    access = Access(
        AccessMode.LISTED,
        allow=frozenset({(TELEGRAM.name, UserId("1"))}),
        operators=frozenset({(TELEGRAM.name, UserId("2"))}),
    )
    assert access.may_talk((TELEGRAM.name, UserId("1")))
    assert access.may_talk((TELEGRAM.name, UserId("2")))
    assert not access.may_talk((PlatformName("discord"), UserId("1")))


def test_whose_conversation_may_be_reset_by_whom() -> None:
    own = key_for(TELEGRAM.message("x", user="1", chat="-1"), {})
    command = TELEGRAM.message("/reset", user="2", chat="-1")
    elsewhere = TELEGRAM.message("/reset", user="2", chat="-2")
    shared = ConversationKey(own.platform, own.bot_id, own.chat_id, None, None)
    assert right_to_reset(own, TELEGRAM.message("/reset", user="1", chat="-1"), NOBODY) is Right.OWN
    assert right_to_reset(own, command, NOBODY) is None
    assert right_to_reset(own, command, CHAT_ADMIN) is Right.CHAT_ADMIN
    assert right_to_reset(own, elsewhere, CHAT_ADMIN) is None
    assert right_to_reset(own, elsewhere, OPERATOR) is Right.OPERATOR
    assert right_to_reset(shared, TELEGRAM.message("/reset", user="1", chat="-1"), NOBODY) is None
    assert right_to_reset(shared, command, CHAT_ADMIN) is Right.CHAT_ADMIN


def test_the_same_number_on_another_platform_gives_no_right() -> None:
    own = key_for(TELEGRAM.message("x", user="1"), {})
    assert right_to_reset(own, InMemoryPlatform("discord").message("/reset", user="1"), NOBODY) is None


def _waiting(user: str, count: int) -> Line:
    line = Line()
    for number in range(count):
        incoming = TELEGRAM.message("x", user=user)
        row = InboxRow(InboxId(number), key_for(incoming, {}), 1, incoming, InboxState.QUEUED)
        line = join(line, row, cost=1.0)
    return line


def test_each_limit_stops_the_message_that_would_break_it() -> None:
    limits = Limits(message_chars=5, waiting_per_person=2, queue=4)
    person = (TELEGRAM.name, UserId("1"))
    assert excess("12345", person, Line(), limits) is None
    assert excess("123456", person, Line(), limits) is Excess.LENGTH
    assert excess("x", person, _waiting("1", 1), limits) is None
    assert excess("x", person, _waiting("1", 2), limits) is Excess.WAITING
    assert excess("x", person, _waiting("2", 2), limits) is None
    assert excess("x", person, _waiting("2", 4), limits) is Excess.QUEUE


def test_sizes_are_looked_at_in_one_order() -> None:
    """Characters, tokens a minute, places in the line."""
    limits = Limits(message_chars=5, waiting_per_person=2, queue=4, tokens_per_minute=100)
    person = (TELEGRAM.name, UserId("1"))
    assert excess("x", person, Line(), limits, spent_tokens=99) is None
    assert excess("x", person, Line(), limits, spent_tokens=100) is Excess.TOKENS
    assert excess("123456", person, Line(), limits, spent_tokens=100) is Excess.LENGTH
    assert excess("x", person, _waiting("2", 4), limits, spent_tokens=100) is Excess.TOKENS
    assert excess("x", person, _waiting("1", 2), limits, spent_tokens=100) is Excess.TOKENS


def test_tokens_are_counted_over_a_sliding_minute_per_person() -> None:
    operator = (TELEGRAM.name, UserId("9"))
    spent = TokensSpent({operator})
    me, you = (TELEGRAM.name, UserId("1")), (TELEGRAM.name, UserId("2"))
    spent.load([Spent(*me, 10, 50.0), Spent(*you, 7, 20.0)], now_s=100.0)
    spent.add(me, 5, 105.0)
    spent.add(me, 0, 105.0)
    spent.add(operator, 1000, 105.0)
    assert [spent.of(who, 105.0) for who in (me, you, operator)] == [15, 7, 0]
    assert [spent.of(me, at_s) for at_s in (109.9, 110.0, 164.9, 165.0)] == [15, 5, 5, 0]
    assert spent.of(you, 165.0) == 0


def test_the_rate_is_counted_over_a_sliding_minute_per_person() -> None:
    rate = MessageRate(2)
    me, you = (TELEGRAM.name, UserId("1")), (TELEGRAM.name, UserId("2"))
    assert [rate.admit(me, at) for at in (0.0, 30.0, 59.0)] == [True, True, False]
    assert rate.admit(you, 59.0)
    assert rate.admit(me, 60.0)
    assert not rate.admit(me, 89.0)


def test_a_flood_is_told_once_a_minute() -> None:
    rate = MessageRate(1)
    me = (TELEGRAM.name, UserId("1"))
    assert [rate.should_tell(me, at) for at in (0.0, 10.0, 59.0, 60.0)] == [True, False, False, True]
