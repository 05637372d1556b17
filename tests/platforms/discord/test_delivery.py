"""What the bot says on Discord, and what becomes of it when Discord is difficult."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace

import pytest

from botbridge.errors import ChatClosed, MessageGone, PlatformUnavailable, RateLimited, ReplyRejected
from botbridge.messages import Address, BotId, ChatId, ChatKind, MessageId, Part
from botbridge.platforms.discord.adapter import nonce_of
from botbridge.platforms.discord.render import MESSAGE_LIMIT, fit, render
from botbridge.platforms.discord.translate import DISCORD
from botbridge.platforms.splitting import utf16_units
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot, OpenBot

HERE = Address(DISCORD, BotId("1"), ChatId("2"), ChatKind.GROUP)


async def test_an_answer_quotes_the_question_in_a_channel_and_rings_nobody(server: FakeDiscord, bot: Bot) -> None:
    question_id = await server.say("who?", person="ana")
    ana = await server.person("ana")
    incoming = await bot.next()
    await bot.answer(incoming, f"@everyone @here <@{ana}> <@&1> <@!{ana}>")
    sent = await server.wait_until("sent")
    assert sent["reply_to"] == question_id
    assert sent["pings"] == []
    assert sent["allowed_mentions"] == {"parse": [], "replied_user": False}
    assert sent["flags"] == 4  # embeds suppressed


async def test_every_send_and_edit_forbids_mentions(server: FakeDiscord, bot: Bot) -> None:
    """In channels, threads and private, fresh and edited, and as the answer to a command."""
    await server.say("a")
    await server.say("b", thread="boats")
    await server.say("c", direct=True)
    for incoming in [await bot.next() for _ in range(3)]:
        message_id = await bot.answer(incoming, "@everyone")
        await bot.platform.edit(incoming.address, message_id, "@here")
        await bot.answer(incoming, "@everyone @here", edits=message_id)
    await server.slash("help")
    command = await bot.next()
    await bot.answer(command, "@everyone")
    await bot.answer(command, "@here")
    written = await server.ledger("sent", "edited", "followed_up", "answer_edited")
    assert len(written) == 11
    assert all(entry["pings"] == [] for entry in written)
    assert all(entry["allowed_mentions"]["parse"] == [] for entry in written)


async def test_a_direct_answer_quotes_nothing(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello", direct=True)
    await bot.answer(await bot.next(), "hello")
    assert (await server.wait_until("sent"))["reply_to"] is None


async def test_an_answer_in_a_thread_stays_there(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello", thread="boats")
    incoming = await bot.next()
    await bot.answer(incoming, "hello")
    assert (await server.wait_until("sent"))["channel_id"] == incoming.address.thread_id


async def test_an_answer_to_a_deleted_question_still_comes(server: FakeDiscord, bot: Bot) -> None:
    await server.delete(await server.say("gone"))
    await bot.answer(await bot.next(), "hello")
    assert (await server.wait_until("sent"))["reply_to"] is None


async def test_a_long_answer_arrives_in_parts_with_its_fences_whole(server: FakeDiscord, bot: Bot) -> None:
    await server.say("code, please", direct=True)
    incoming = await bot.next()
    text = "Here:\n```python\n" + "print('😀')\n" * 400 + "```\nDone."
    parts = bot.platform.render(text)
    assert len(parts) > 2
    for part in parts:
        await bot.answer(incoming, part.text)
    sent = [entry["content"] for entry in await server.ledger("sent")]
    assert len(sent) == len(parts)
    assert all(content.count("```") % 2 == 0 for content in sent)
    assert sum(content.count("print") for content in sent) == 400


def test_every_part_fits_in_utf16_units_and_blank_text_is_one_part() -> None:
    assert all(utf16_units(part.text) <= MESSAGE_LIMIT for part in render("😀" * 2049))
    assert render("  ") == (Part(""),)
    assert render("a\ud800b") == (Part("a\ufffdb"),)


def test_a_status_text_is_cut_to_one_message() -> None:
    assert fit("short") == "short"
    assert utf16_units(fit("word " * 1000)) <= MESSAGE_LIMIT
    assert fit("word " * 1000).endswith("…")
    assert fit("") == ""


async def test_the_same_part_sent_again_is_one_message(server: FakeDiscord, bot: Bot) -> None:
    """A crash between Discord's yes and our note of it leads here."""
    await server.say("hello")
    incoming = await bot.next()
    first = await bot.answer(incoming, "once", number=7)
    assert await bot.answer(incoming, "once", number=7) == first
    assert await bot.answer(incoming, "once", number=8) != first
    assert len(await server.ledger("sent")) == 2
    assert len(await server.ledger("repeated")) == 1


async def test_a_part_tried_long_ago_is_looked_for_before_it_is_sent_again(server: FakeDiscord, bot: Bot) -> None:
    """Discord forgets a nonce after some minutes."""
    await server.say("hello")
    incoming = await bot.next()
    first = await bot.answer(incoming, "once", number=7)
    await server.advance(3600)
    assert await bot.answer(incoming, "once", number=7, attempts=1) == first
    assert await bot.answer(incoming, "never sent", number=9, attempts=1) != first
    assert len(await server.ledger("sent")) == 2


async def test_an_equal_text_from_before_the_question_is_no_earlier_try(server: FakeDiscord, bot: Bot) -> None:
    """In private nothing is quoted: the question's own place in the history tells them apart."""
    await server.say("hello", direct=True)
    first = await bot.answer(await bot.next(), "Hello!")
    await server.say("hello again", direct=True)
    again = await bot.next()
    second = await bot.answer(again, "Hello!", attempts=1, number=9)
    assert second != first
    await server.advance(3600)
    assert await bot.answer(again, "Hello!", attempts=1, number=9) == second


async def test_an_equal_text_that_is_another_part_is_no_earlier_try(server: FakeDiscord, bot: Bot) -> None:
    """Two questions at once in private, with the same answer: of the second nobody knows whether it was sent."""
    await server.say("hello", direct=True)
    await server.say("hello", direct=True)
    one, two = await bot.next(), await bot.next()
    first = await bot.answer(one, "Hello!", number=7)
    second = await bot.answer(two, "Hello!", number=9, attempts=1, others=frozenset({first}))
    assert second != first
    await server.advance(3600)
    assert await bot.answer(two, "Hello!", number=9, attempts=1, others=frozenset({first})) == second


async def test_an_earlier_try_is_found_when_its_question_was_deleted(server: FakeDiscord, bot: Bot) -> None:
    await server.delete(await server.say("gone"))
    incoming = await bot.next()
    first = await bot.answer(incoming, "hello", number=7)
    await server.advance(3600)
    assert await bot.answer(incoming, "hello", number=7, attempts=1) == first


async def test_a_send_that_was_not_answered_long_ago_is_looked_for_by_the_same_process(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """Discord accepts, the network dies for an hour, the nonce is forgotten."""
    ahead_s = 0.0
    async with open_bot(server, timeout_s=0.5, now_s=lambda: time.monotonic() + ahead_s) as bot:
        await server.say("hello")
        incoming = await bot.next()
        await server.fail("swallow", method="POST", path="/messages")
        with pytest.raises(PlatformUnavailable):
            await bot.answer(incoming, "once", number=7)
        assert await server.ledger("history_read") == []
        ahead_s = 3600.0
        await server.advance(ahead_s)
        await bot.answer(incoming, "once", number=7)
    assert len(await server.ledger("sent")) == 1


async def test_a_send_that_is_never_answered_can_be_repeated_as_one_message(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    async with open_bot(server, timeout_s=0.5) as bot:
        await server.say("hello")
        incoming = await bot.next()
        await server.fail("swallow", method="POST", path="/messages")
        with pytest.raises(PlatformUnavailable):
            await bot.answer(incoming, "once", number=7)
        await bot.answer(incoming, "once", number=7)
    assert len(await server.ledger("sent")) == 1


async def test_server_errors_are_waited_out(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("status", method="POST", path="/messages", status=502)
    await bot.answer(incoming, "hello")
    assert len(await server.ledger("sent")) == 1


@pytest.mark.parametrize("code", [0, 130000])
async def test_a_server_that_only_fails_is_unavailable(server: FakeDiscord, bot: Bot, code: int) -> None:
    """With or without a code of its own (130000: overloaded)."""
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("refuse", method="POST", path="/messages", status=503, code=code, times=9)
    with pytest.raises(PlatformUnavailable):
        await bot.answer(incoming, "hello")


async def test_a_short_limit_is_waited_out_and_a_long_one_is_told(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("rate_limit", path="/messages", retry_after_s=0.1)
    await bot.answer(incoming, "soon")
    await server.fail("rate_limit", path="/messages", retry_after_s=120.0)
    with pytest.raises(RateLimited) as limited:
        await bot.answer(incoming, "late")
    assert limited.value.retry_after_s == pytest.approx(120.0)


@pytest.mark.parametrize("retry_after_s", [8.0, 120.0])
async def test_a_limited_channel_delays_no_other(server: FakeDiscord, bot: Bot, retry_after_s: float) -> None:
    """A pause that is waited out inside, and one that is told."""
    await server.say("hello", channel="limited")
    await server.say("hello", channel="free")
    limited, free = await bot.next(), await bot.next()
    path = f"/channels/{limited.address.chat_id}/messages"
    await server.fail("rate_limit", path=path, retry_after_s=retry_after_s, times=1)
    waiting = asyncio.create_task(bot.answer(limited, "later"))
    await server.wait_until("refused")
    await bot.answer(free, "now")
    assert [entry["content"] for entry in await server.ledger("sent")] == ["now"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_while_a_channel_is_limited_it_is_not_asked_again(server: FakeDiscord, open_bot: OpenBot) -> None:
    """10,000 refused calls within ten minutes shut the whole address out."""
    ahead_s = 0.0
    async with open_bot(server, now_s=lambda: time.monotonic() + ahead_s) as bot:
        await server.say("hello")
        incoming = await bot.next()
        await server.fail("rate_limit", path="/messages", retry_after_s=120.0)
        for _ in range(3):
            with pytest.raises(RateLimited):
                await bot.answer(incoming, "late", number=7)
            with pytest.raises(RateLimited) as limited:
                await bot.platform.edit(incoming.address, MessageId("1"), "late")
            assert 60.0 < limited.value.retry_after_s <= 120.0
            await bot.platform.typing(incoming.address)
        assert len(await server.ledger("refused")) == 1
        assert await server.ledger("typing") == []
        ahead_s = 121.0
        await bot.answer(incoming, "late", number=7)
    assert len(await server.ledger("sent")) == 1


async def test_a_limit_at_the_edge_is_told(server: FakeDiscord, bot: Bot) -> None:
    """Cloudflare answers 429 without Discord's words; hammering on would prolong it."""
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("status", path="/messages", status=429)
    with pytest.raises(RateLimited):
        await bot.answer(incoming, "hello")


@pytest.mark.parametrize(("status", "code"), [(403, 50013), (403, 50007), (404, 10003), (400, 50035), (400, 0)])
async def test_a_refusal_is_final(server: FakeDiscord, bot: Bot, status: int, code: int) -> None:
    """No permission, private messages closed, channel gone, bad content, bad form."""
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("refuse", method="POST", path="/messages", status=status, code=code)
    with pytest.raises(ReplyRejected):
        await bot.answer(incoming, "hello")


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_what_another_than_discord_says_is_an_outage(server: FakeDiscord, bot: Bot, status: int) -> None:
    """A page of a proxy, or of Discord's own edge."""
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("status", method="POST", path="/messages", status=status)
    with pytest.raises(PlatformUnavailable):
        await bot.answer(incoming, "hello")
    await bot.answer(incoming, "hello")


async def test_a_token_that_is_no_longer_known_keeps_replies_for_later(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("refuse", method="POST", path="/messages", status=401)
    with pytest.raises(PlatformUnavailable):
        await bot.answer(incoming, "hello")


async def test_a_status_message_becomes_the_answer(server: FakeDiscord, bot: Bot) -> None:
    question_id = await server.say("hello")
    incoming = await bot.next()
    status_id = await bot.answer(incoming, "one moment")
    await bot.platform.edit(incoming.address, status_id, "hel")
    await bot.platform.edit(incoming.address, status_id, "hel")
    assert await bot.answer(incoming, "hello!", edits=status_id) == status_id
    reply = await server.wait_for_reply(question_id, until=lambda text: text == "hello!")
    assert reply.message_id == status_id


async def test_an_edit_of_a_deleted_message_says_so(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello")
    incoming = await bot.next()
    status_id = await bot.answer(incoming, "one moment")
    await server.delete(status_id)
    with pytest.raises(MessageGone):
        await bot.platform.edit(incoming.address, status_id, "hello")
    with pytest.raises(MessageGone):
        await bot.answer(incoming, "hello", edits=status_id)


async def test_what_stands_in_an_archived_thread_is_gone_and_a_message_of_its_own_arrives(
    server: FakeDiscord, bot: Bot
) -> None:
    """A thread is put aside when nobody has written in it for long, or by hand; only a send brings it back."""
    await server.say("hello", thread="boats")
    incoming = await bot.next()
    status_id = await bot.answer(incoming, "Writing…")
    await server.archive(incoming.address.thread_id)
    with pytest.raises(MessageGone):
        await bot.platform.edit(incoming.address, status_id, "half")
    with pytest.raises(MessageGone):
        await bot.answer(incoming, "the answer", edits=status_id)
    answer_id = await bot.answer(incoming, "the answer")
    assert answer_id != status_id
    assert await bot.answer(incoming, "more", edits=answer_id) == answer_id


async def test_a_locked_thread_takes_neither_edits_nor_messages(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello", thread="boats")
    incoming = await bot.next()
    status_id = await bot.answer(incoming, "Writing…")
    await server.archive(incoming.address.thread_id, locked=True)
    for edits in (status_id, None):
        with pytest.raises(MessageGone):
            await bot.answer(incoming, "the answer", edits=edits)
    assert len(await server.ledger("sent")) == 1


async def test_typing_is_shown_and_a_failure_of_it_is_not_told(server: FakeDiscord, bot: Bot) -> None:
    """A bare 403 is none of the channel: so Discord switched typing off for everybody once."""
    await server.say("hello", thread="boats")
    incoming = await bot.next()
    await bot.platform.typing(incoming.address)
    assert (await server.wait_until("typing"))["channel_id"] == incoming.address.thread_id
    await server.fail("status", path="/typing", status=403)
    await bot.platform.typing(incoming.address)


@pytest.mark.parametrize(("status", "code"), [(403, 50001), (403, 50007), (403, 50013), (404, 10003)])
async def test_typing_tells_of_a_channel_that_is_closed_or_gone(
    server: FakeDiscord, bot: Bot, status: int, code: int
) -> None:
    """Whoever computes an answer for it learns it so, before there is anything to send."""
    await server.say("hello")
    incoming = await bot.next()
    await server.fail("refuse", path="/typing", status=status, code=code)
    with pytest.raises(ChatClosed):
        await bot.platform.typing(incoming.address)


async def test_before_the_login_nothing_can_be_sent_and_nothing_is_lost() -> None:
    bot = Bot()
    with pytest.raises(PlatformUnavailable):
        await bot.platform.send(bot.part(HERE, "hello"))
    await bot.platform.typing(HERE)


async def test_after_the_intake_has_ended_replies_still_go_out(server: FakeDiscord, bot: Bot) -> None:
    """A shutdown first stops listening, then delivers."""
    other = Bot(server)
    before = len(await server.ledger())
    running = asyncio.create_task(other.platform.run(other.intake))
    await server.wait_until("ready", after=before)
    await server.say("hello", direct=True)
    incoming = await other.next()
    running.cancel()
    await asyncio.wait([running])
    assert await other.answer(incoming, "bye")
    await other.platform.aclose()
    with pytest.raises(PlatformUnavailable):
        await other.answer(incoming, "too late")


def test_edits_are_paced_by_the_kind_of_chat() -> None:
    platform = Bot().platform
    assert platform.edit_interval_s(HERE) > platform.edit_interval_s(replace(HERE, chat_kind=ChatKind.PRIVATE)) >= 1
    assert platform.edit_interval_s(replace(HERE, interaction="a:b")) == math.inf


def test_nonces_fit_and_differ_by_part_place_and_text() -> None:
    bot = Bot()
    part = bot.part(HERE, "hello", number=1)
    others = [
        bot.part(HERE, "hello", number=2),
        bot.part(HERE, "hello!", number=1),
        bot.part(replace(HERE, chat_id=ChatId("3")), "hello", number=1),
        bot.part(replace(HERE, reply_to=MessageId("9")), "hello", number=1),
    ]
    assert len({nonce_of(one) for one in [part, *others]}) == 5
    assert nonce_of(part) == nonce_of(replace(part, attempts=3))
    assert len(nonce_of(part)) <= 25


def test_the_token_is_in_no_repr() -> None:
    assert "s3cret" not in repr(Bot(token="s3cret").platform)
