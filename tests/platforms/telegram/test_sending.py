"""What the bot says reaches the chat once, in the form and at the pace that Telegram allows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from botbridge.errors import (
    BadToken,
    ChatClosed,
    DeliveryUnknown,
    MessageGone,
    PlatformUnavailable,
    RateLimited,
    ReplyRejected,
)
from botbridge.messages import Address, BotId, ChatId, ChatKind, MessageId, ThreadId, UserId
from botbridge.platforms.telegram.adapter import TelegramPlatform, Timing
from botbridge.platforms.telegram.translate import TELEGRAM
from tests.fakes.telegram.client import Chat, FakeTelegram, Person
from tests.platforms.telegram.conftest import Taken, outbox_part, platform_on

SARA, OMAR = Person(42), Person(43, "Omar")
TEAM, SUPERGROUP = Chat(-1001), Chat(-1002)
PRIVATE = Address(TELEGRAM, BotId("7000000001"), ChatId("42"), ChatKind.PRIVATE)
OTHER = replace(PRIVATE, chat_id=ChatId("43"))
GROUP = Address(TELEGRAM, BotId("7000000001"), ChatId("-1001"), ChatKind.GROUP)


@pytest.fixture
async def chats(telegram: FakeTelegram) -> FakeTelegram:
    """A server that knows two people and a group."""
    await telegram.say(SARA, "hi")
    await telegram.say(OMAR, "hi")
    await telegram.say(SARA, "hi", chat=TEAM)
    return telegram


@pytest.fixture
async def platform(chats: FakeTelegram, taken: Taken) -> AsyncIterator[TelegramPlatform]:
    async with platform_on(chats, taken) as platform:
        yield platform


async def test_a_private_reply_quotes_nothing_and_shows_no_preview(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    (part,) = platform.render("see **this**: http://example.org")
    message_id = await platform.send(outbox_part(PRIVATE, part.text, part.markup))
    (sent,) = (await chats.ledger()).sent
    assert str(sent.message_id) == message_id
    assert (sent.text, sent.reply_to) == ("see this: http://example.org", None)
    assert [entity["type"] for entity in sent.entities] == ["bold"]
    assert sent.options["preview"] == {"is_disabled": True}


async def test_a_group_reply_quotes_the_question(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    said = await chats.say(SARA, "@OurBot hi", chat=TEAM)
    await platform.send(outbox_part(replace(GROUP, reply_to=MessageId(str(said.message_id))), "hello"))
    assert (await chats.ledger()).sent[0].reply_to == said.message_id


async def test_a_reply_to_a_question_that_was_deleted_arrives_all_the_same(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    said = await chats.say(SARA, "@OurBot hi", chat=TEAM)
    await chats.change(delete={"chat_id": TEAM.id, "message_id": said.message_id})
    await platform.send(outbox_part(replace(GROUP, reply_to=MessageId(str(said.message_id))), "hello"))
    assert (await chats.ledger()).sent[0].reply_to is None


async def test_a_reply_stays_in_its_topic(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    await chats.say(SARA, "@OurBot hi", chat=TEAM, thread=17)
    await platform.send(outbox_part(replace(GROUP, thread_id=ThreadId("17")), "hello"))
    assert (await chats.ledger()).sent[0].thread_id == 17


async def test_a_long_answer_with_code_arrives_whole(chats: FakeTelegram, taken: Taken) -> None:
    """2,049 emoji and a program over the cut: all parts are taken, none twice."""
    await chats.change(limits=False)
    async with platform_on(chats, taken, clock=itertools.count(0, 2).__next__) as unhurried:
        parts = unhurried.render("😀" * 2049 + "\n\n```python\n" + "print('hello')\n" * 400 + "```")
        for part in parts:
            await unhurried.send(outbox_part(PRIVATE, part.text, part.markup))
    sent = (await chats.ledger()).sent
    assert len(sent) == len(parts)
    assert "".join(message.text for message in sent).count("😀") == 2049
    assert "".join(message.text for message in sent).count("print") == 400
    assert all(message.entities[-1]["type"] == "pre" for message in sent if "print" in message.text)


async def test_formatting_that_is_refused_is_left_out(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    """The text arrives as it is, once."""
    wrong = '[{"type": "bold", "offset": 0, "length": 500}]'
    await platform.send(outbox_part(PRIVATE, "a < b *c*", wrong))
    message_id = await platform.send(outbox_part(PRIVATE, "first"))
    await platform.send(outbox_part(PRIVATE, "second", wrong, edits=message_id))
    assert [sent.text for sent in (await chats.ledger()).sent] == ["a < b *c*", "second"]


async def test_code_whose_formatting_is_refused_calls_nobody(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    wrong = '[{"type": "code", "offset": 0, "length": 500}]'
    message_id = await platform.send(outbox_part(PRIVATE, "@robert", wrong))
    await platform.send(outbox_part(PRIVATE, "so @robert", wrong, edits=message_id))
    (sent,) = (await chats.ledger()).sent
    assert (sent.edits, sent.text) == (("@\u2060robert",), "so @\u2060robert")


async def test_an_edit_replaces_and_an_equal_one_is_success(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    message_id = await platform.send(outbox_part(PRIVATE, "one"))
    await platform.edit(PRIVATE, message_id, "two")
    await platform.edit(PRIVATE, message_id, "two")
    (sent,) = (await chats.ledger()).sent
    assert (sent.text, sent.edits) == ("two", ("one",))


async def test_an_edit_of_a_deleted_message_says_that_it_is_gone(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    message_id = await platform.send(outbox_part(PRIVATE, "one"))
    await chats.change(delete={"chat_id": 42, "message_id": int(message_id)})
    with pytest.raises(MessageGone):
        await platform.edit(PRIVATE, message_id, "two")


async def test_what_is_said_to_a_group_that_became_a_supergroup_arrives_there(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    """It quotes nothing there: the numbers of messages begin anew, and the question's may be another's."""
    said = await chats.say(SARA, "@OurBot hi", chat=TEAM)
    await chats.change(upgrade={"chat_id": TEAM.id, "to": SUPERGROUP.id})
    await chats.say(OMAR, "hi", chat=SUPERGROUP)
    await platform.send(outbox_part(replace(GROUP, reply_to=MessageId(str(said.message_id + 1))), "hello"))
    (sent,) = (await chats.ledger()).sent
    assert (sent.chat_id, sent.text, sent.reply_to) == (SUPERGROUP.id, "hello", None)


async def test_what_stands_in_a_group_that_became_a_supergroup_is_gone(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    """So the answer that was to replace it becomes a message of its own, which follows the group."""
    message_id = await platform.send(outbox_part(GROUP, "Writing…"))
    await chats.change(upgrade={"chat_id": TEAM.id, "to": SUPERGROUP.id})
    with pytest.raises(MessageGone):
        await platform.edit(GROUP, message_id, "half")
    with pytest.raises(MessageGone):
        await platform.send(outbox_part(GROUP, "the answer", edits=message_id))
    await platform.send(outbox_part(GROUP, "the answer"))
    assert [(sent.chat_id, sent.text) for sent in (await chats.ledger()).sent] == [
        (TEAM.id, "Writing…"), (SUPERGROUP.id, "the answer")
    ]  # fmt: skip


@pytest.mark.parametrize("reason", ["bot was blocked by the user", "user is deactivated"])
async def test_a_chat_that_shut_the_bot_out_rejects_the_reply(
    chats: FakeTelegram, platform: TelegramPlatform, reason: str
) -> None:
    await chats.change(shut={"chat_id": 42, "description": reason})
    with pytest.raises(ChatClosed, match=reason):
        await platform.send(outbox_part(PRIVATE, "hello"))


async def test_typing_tells_of_a_chat_that_shut_the_bot_out(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    """Whoever computes an answer for it learns it so, before there is anything to send."""
    await chats.change(shut={"chat_id": 42, "description": "bot was blocked by the user"})
    with pytest.raises(ChatClosed):
        await platform.typing(PRIVATE)


async def test_a_chat_that_is_unknown_rejects_the_reply(platform: TelegramPlatform) -> None:
    with pytest.raises(ReplyRejected, match="[Cc]hat not found"):
        await platform.send(outbox_part(replace(PRIVATE, chat_id=ChatId("999")), "hello"))


async def test_a_pause_is_kept_by_its_chat_and_no_other(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    """Nothing is sent into the pause, so that it is not made longer."""
    await chats.break_calls("sendMessage", "flood", retry_after=30, chat_id=42)
    with pytest.raises(RateLimited) as first:
        await platform.send(outbox_part(PRIVATE, "hello"))
    assert first.value.retry_after_s == 30
    with pytest.raises(RateLimited) as second:
        await platform.send(outbox_part(PRIVATE, "hello"))
    assert 29 < second.value.retry_after_s <= 30
    await platform.send(outbox_part(OTHER, "hello"))
    record = await chats.ledger()
    assert record.early_calls == 0
    assert [sent.chat_id for sent in record.sent] == [43]


async def test_the_bot_never_runs_into_the_limits_of_a_group(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    """What is too fast is refused here, before Telegram would."""
    for number in range(30):
        with pytest.raises(RateLimited) if number >= 4 else nullcontext():
            await platform.send(outbox_part(GROUP, f"message {number}"))
    record = await chats.ledger()
    assert record.count("refused") == 0
    assert len(record.sent) == 4


async def test_an_answer_that_never_comes_leaves_the_delivery_unknown(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    """Telegram took the message; a second try would be a second copy."""
    await chats.break_calls("sendMessage", "accept_and_hang")
    with pytest.raises(DeliveryUnknown):
        await platform.send(outbox_part(PRIVATE, "hello"))
    assert len((await chats.ledger()).sent) == 1


async def test_an_answer_that_trickles_for_ever_is_given_up(chats: FakeTelegram, taken: Taken) -> None:
    """Each byte is in time, so that only a limit on the whole ends it."""
    impatient = Timing(poll_s=0, connect_s=0.2, answer_s=0.5)
    await chats.break_calls("sendMessage", "trickle")
    async with platform_on(chats, taken, timing=impatient) as platform, asyncio.timeout(20):
        with pytest.raises(DeliveryUnknown):
            await platform.send(outbox_part(PRIVATE, "hello"))


async def test_an_edit_whose_answer_never_comes_may_be_repeated(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    message_id = await platform.send(outbox_part(PRIVATE, "one"))
    await chats.break_calls("editMessageText", "accept_and_hang")
    with pytest.raises(PlatformUnavailable):
        await platform.send(outbox_part(PRIVATE, "two", edits=message_id))
    await platform.send(outbox_part(PRIVATE, "two", edits=message_id))
    (sent,) = (await chats.ledger()).sent
    assert (sent.text, sent.edits) == ("two", ("one",))


async def test_a_connection_that_is_cut_leaves_the_delivery_unknown(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    await chats.break_calls("sendMessage", "cut")
    with pytest.raises(DeliveryUnknown):
        await platform.send(outbox_part(PRIVATE, "hello"))


async def test_a_refused_connection_may_be_tried_again(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    await chats.change(listening=False)
    with pytest.raises(PlatformUnavailable):
        await platform.send(outbox_part(PRIVATE, "hello"))
    await chats.change(listening=True)
    await platform.send(outbox_part(PRIVATE, "hello"))
    assert len((await chats.ledger()).sent) == 1


async def test_a_failed_handshake_of_tls_may_be_tried_again(chats: FakeTelegram, taken: Taken) -> None:
    """No byte of the message has left."""
    async with platform_on(chats, taken, api_base_url=chats.url.replace("http:", "https:")) as platform:
        with pytest.raises(PlatformUnavailable):
            await platform.send(outbox_part(PRIVATE, "hello"))
    assert (await chats.ledger()).sent == ()


@pytest.mark.parametrize("status", [504, 522, 524])
@pytest.mark.parametrize("kind", ["accept_and_status", "page"])
async def test_a_gateway_that_gave_up_waiting_leaves_the_delivery_unknown(
    chats: FakeTelegram, platform: TelegramPlatform, status: int, kind: str
) -> None:
    """What it waited for may be done all the same; whether Telegram's own words come with it or not."""
    await chats.break_calls("sendMessage", kind, status=status, description="Gateway Timeout")
    with pytest.raises(DeliveryUnknown, match=str(status)):
        await platform.send(outbox_part(PRIVATE, "hello"))


async def test_an_edit_that_a_gateway_gave_up_may_be_repeated(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    message_id = await platform.send(outbox_part(PRIVATE, "one"))
    await chats.break_calls("editMessageText", "accept_and_status", status=504)
    with pytest.raises(PlatformUnavailable):
        await platform.send(outbox_part(PRIVATE, "two", edits=message_id))


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_error_may_be_tried_again(chats: FakeTelegram, platform: TelegramPlatform, status: int) -> None:
    await chats.break_calls("sendMessage", "status", status=status)
    with pytest.raises(PlatformUnavailable):
        await platform.send(outbox_part(PRIVATE, "hello"))
    await platform.send(outbox_part(PRIVATE, "hello"))
    assert len((await chats.ledger()).sent) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 502])
async def test_what_another_than_telegram_says_is_an_outage(
    chats: FakeTelegram, platform: TelegramPlatform, status: int
) -> None:
    """A proxy that knows no such page says nothing of the token, one that forbids it nothing of the chat."""
    await chats.break_calls("sendMessage", "page", status=status)
    with pytest.raises(PlatformUnavailable, match=str(status)):
        await platform.send(outbox_part(PRIVATE, "hello"))
    await platform.send(outbox_part(PRIVATE, "hello"))
    assert len((await chats.ledger()).sent) == 1


async def test_a_withdrawn_token_is_a_bad_token(chats: FakeTelegram, platform: TelegramPlatform) -> None:
    await chats.break_calls("sendMessage", "status", status=401, description="Unauthorized")
    with pytest.raises(BadToken):
        await platform.send(outbox_part(PRIVATE, "hello"))


async def test_typing_is_shown_and_other_failures_of_it_are_not_told(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    await platform.typing(PRIVATE)
    await platform.typing(PRIVATE)
    await chats.break_calls("sendChatAction", "status", status=500)
    await platform.typing(OTHER)
    assert (await chats.ledger()).count("action", action="typing") == 1


@pytest.mark.parametrize(
    ("status", "is_admin"),
    [("creator", True), ("administrator", True), ("member", False), ("left", False), ("unknown", False)],
)
async def test_a_chats_admins_are_asked_of_telegram_each_time(
    chats: FakeTelegram, platform: TelegramPlatform, status: str, is_admin: bool
) -> None:
    user = {"chat_id": TEAM.id, "user_id": 42}
    await chats.change(member=user | {"status": "member" if is_admin else "administrator"})
    assert await platform.is_chat_admin(GROUP, UserId("42")) is not is_admin
    await chats.change(member=user | {"status": status})
    assert await platform.is_chat_admin(GROUP, UserId("42")) is is_admin


async def test_a_private_chat_is_administered_by_its_person_alone(platform: TelegramPlatform) -> None:
    assert await platform.is_chat_admin(PRIVATE, UserId("42"))
    assert not await platform.is_chat_admin(PRIVATE, UserId("43"))


async def test_rights_that_cannot_be_asked_are_an_error_and_not_a_yes(
    chats: FakeTelegram, platform: TelegramPlatform
) -> None:
    await chats.break_calls("getChatMember", "status", status=500)
    with pytest.raises(PlatformUnavailable):
        await platform.is_chat_admin(GROUP, UserId("42"))
