"""What was said while nobody listened is answered once, within bounds, and nothing before that."""

from __future__ import annotations

import asyncio
import itertools

import discord
import pytest
from structlog.testing import capture_logs

from botbridge.errors import StorageUnavailable
from botbridge.messages import BotId, ChatId, ChatKind, MessageKind
from botbridge.platforms.discord.catch_up import (
    CATCH_UP_S,
    MISSED_IN_ALL,
    MISSED_PER_CHANNEL,
    CaughtUp,
    Missed,
    bounded,
    catch_up,
)
from botbridge.platforms.discord.cursors import KNOWN_CHANNELS, Cursor, Cursors
from botbridge.platforms.discord.ingest import IngestClient
from botbridge.platforms.discord.translate import Place
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot, InMemoryState, OpenBot

TOO_OLD_S = 31 * 60.0


@pytest.fixture
def state() -> InMemoryState:
    """What outlives a restart."""
    return InMemoryState()


async def known(server: FakeDiscord, open_bot: OpenBot, state: InMemoryState, *wheres: dict[str, object]) -> None:
    """Speak to the bot in some places, and stop it."""
    async with open_bot(server, state=state) as bot:
        for where in wheres:
            await server.say("before", **where)  # type: ignore[arg-type]
            await bot.next()


async def heard_until(bot: Bot, text: str) -> list[str]:
    """What the bot hears, up to and with a text."""
    texts = [(await bot.next()).text]
    while texts[-1] != text:
        texts.append((await bot.next()).text)
    return texts


async def test_what_was_said_while_the_bot_was_down_is_heard_once_and_oldest_first(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    places: tuple[dict[str, object], ...] = ({}, {"thread": "boats"}, {"direct": True})
    await known(server, open_bot, state, *places)
    said = [f"{number}" for number in range(6)]
    ids = [await server.say(text, **place) for text, place in zip(said, places * 2, strict=True)]  # type: ignore[arg-type]
    async with open_bot(server, state=state) as bot:
        missed = [await bot.next() for _ in said]
        await server.say("live")
        assert (await bot.next()).text == "live"
    assert [one.text for one in missed] == said
    assert [one.message_id for one in missed] == ids
    assert [one.address.chat_kind for one in missed[:3]] == [ChatKind.GROUP, ChatKind.GROUP, ChatKind.PRIVATE]
    assert missed[1].address.thread_id is not None
    assert missed[1].address.chat_id == missed[0].address.chat_id
    async with open_bot(server, state=state) as bot:
        await server.say("again")
        assert await heard_until(bot, "again") == ["again"]


async def test_what_was_said_between_two_sessions_of_one_process_is_heard(server: FakeDiscord, bot: Bot) -> None:
    """Op 9: the session cannot be resumed, so no event tells of it."""
    await server.say("one")
    await bot.next()
    await server.upset_gateway("invalidate")
    await server.say("two")
    first = (await server.ledger("ready"))[0]["number"]
    await server.wait_until("ready", after=first)
    await server.say("three")
    assert await heard_until(bot, "three") == ["two", "three"]


async def test_after_a_resume_no_history_is_read(server: FakeDiscord, bot: Bot) -> None:
    await server.say("one")
    await bot.next()
    await server.upset_gateway("drop")
    await server.say("two")
    await server.wait_until("resumed")
    assert (await bot.next()).text == "two"
    assert await server.ledger("history_read") == []


async def test_a_channel_in_which_nobody_spoke_to_the_bot_is_never_read(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """Else a bot that is invited to a server would answer what was said before it came."""
    async with open_bot(server, state=state):
        await server.say("among others", mention=False, channel="elsewhere")
    await server.say("at night", channel="elsewhere")
    async with open_bot(server, state=state) as bot:
        await server.say("live")
        assert await heard_until(bot, "live") == ["live"]
    assert await server.ledger("history_read") == []


async def test_what_is_older_than_half_an_hour_is_left(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {})
    ((name, _),) = [(name, value) for name, value in state.facts.items() if "cursors" in name]
    state.facts[name] = state.facts[name].rpartition(",")[0] + ", 1]]"
    await server.say("too late", ago_s=TOO_OLD_S)
    await server.say("in time", ago_s=TOO_OLD_S - 120)
    async with open_bot(server, state=state) as bot:
        await server.say("live")
        texts = await heard_until(bot, "live")
    assert "too late" not in texts
    assert "in time" in texts


async def test_no_more_than_fifty_of_a_channel_are_heard_and_the_rest_is_logged(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {})
    for number in range(MISSED_PER_CHANNEL + 3):
        await server.say(f"{number}")
    with capture_logs() as logs:
        async with open_bot(server, state=state) as bot:
            texts = await heard_until(bot, f"{MISSED_PER_CHANNEL - 1}")
            await server.say("live")
            assert await heard_until(bot, "live") == ["live"]
    assert texts == [f"{number}" for number in range(MISSED_PER_CHANNEL)]
    assert [line["left_out"] for line in logs if "left_out" in line] == [3]


def test_the_bounds_starve_no_channel() -> None:
    pages = [[(channel, number) for number in range(80)] for channel in range(4)]
    chosen = bounded(pages, MISSED_PER_CHANNEL, MISSED_IN_ALL)
    assert len(chosen) == MISSED_IN_ALL == 100
    assert {channel: sum(1 for one in chosen if one[0] == channel) for channel in range(4)} == dict.fromkeys(
        range(4), 25
    )
    assert len(bounded(pages[:1], MISSED_PER_CHANNEL, MISSED_IN_ALL)) == MISSED_PER_CHANNEL == 50
    assert bounded([], 1, 1) == []


async def test_others_and_programs_stay_unheard_and_move_the_cursor(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """The same rules as for what is live; what is withheld live is withheld here, too."""
    await known(server, open_bot, state, {})
    await server.say("among others", mention=False)
    await server.say("a bot", person="robot", bot=True)
    await server.say("a webhook", webhook=True)
    await server.say("for you")
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "for you"
        last = await server.say("a talk", mention=False)
        await server.say("elsewhere", direct=True)
        await bot.next()
    cursors = Cursors(state)
    await cursors.load(BotId(server.bot_id))
    assert str(cursors.newest_use_first()[1].message_id) == last


async def test_what_became_a_command_by_an_edit_is_no_command(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {"direct": True})
    await server.say("/reset all confirm", direct=True, edited=True)
    await server.say("/help", direct=True)
    await server.say("a better word", direct=True, edited=True)
    async with open_bot(server, state=state) as bot:
        heard = [await bot.next() for _ in range(2)]
    assert [(one.kind, one.text) for one in heard] == [
        (MessageKind.COMMAND, "/help"),
        (MessageKind.TEXT, "a better word"),
    ]


async def test_a_channel_that_cannot_be_read_costs_no_other(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    channels = ("closed", "open", "broken", "gone", "barred")
    await known(server, open_bot, state, *({"channel": channel} for channel in channels))
    for channel in channels:
        await server.say(channel, channel=channel)
    asked = [entry["channel_id"] for entry in await server.ledger("said")]
    await server.fail("refuse", method="GET", path=f"/channels/{asked[0]}/messages", status=403, code=50001)
    await server.fail("refuse", method="GET", path=f"/channels/{asked[2]}/messages", status=400, code=50035)
    await server.fail("refuse", method="GET", path=f"/channels/{asked[3]}/messages", status=404, code=10003)
    await server.fail("refuse", method="GET", path=f"/channels/{asked[4]}/messages", status=403, code=40333)
    with capture_logs() as logs:
        async with open_bot(server, state=state) as bot:
            await server.say("live")
            assert await heard_until(bot, "live") == ["open", "live"]
    assert any(str(line.get("channel_id")) == asked[2] for line in logs)
    assert [channel for channel in (asked[0], asked[3]) if channel in "".join(state.facts.values())] == []
    # A refusal that says nothing of the channel (40333: Discord's network) is no reason never to look there again.
    assert asked[4] in "".join(state.facts.values())


@pytest.mark.parametrize("status", [503, 502, 403, 404])
async def test_a_history_that_cannot_be_read_for_a_moment_is_read_again(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState, status: int
) -> None:
    """discord.py itself asks again after a 502 and not after a 503; a bare 403 or 404 is somebody else's word."""
    await known(server, open_bot, state, {})
    await server.say("missed")
    await server.fail("status", method="GET", path="/messages", status=status)
    async with open_bot(server, state=state) as bot:
        await server.say("live")
        assert await heard_until(bot, "live") == ["missed", "live"]


async def test_what_cannot_be_read_before_the_bot_is_stopped_is_heard_by_the_next(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """A live message that is handed over meanwhile does not pass over it."""
    await known(server, open_bot, state, {})
    await server.say("missed")
    await server.fail("status", method="GET", path="/messages", status=503, times=1000)
    async with open_bot(server, state=state) as bot:
        await server.say("live")
        # It has arrived when this has, which is not kept back. The stop hands over what is.
        await server.slash("help")
        assert (await bot.next()).text == "/help"
        await server.wait_until("deferred")
    assert bot.heard.get_nowait().text == "live"
    await server.recover()
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "missed"


async def test_what_can_be_read_late_is_handed_over_then_and_the_cursor_waits_for_it(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {"channel": "sick"}, {"channel": "well"})
    sick, well = [entry["channel_id"] for entry in await server.ledger("said")]
    missed = [await server.say(channel, channel=channel) for channel in ("sick", "well")]
    await server.fail("status", method="GET", path=f"/channels/{sick}/messages", status=503, times=1000)
    cursors, handed_over = Cursors(state), asyncio.Queue[list[Missed | CaughtUp]]()
    await cursors.load(BotId(server.bot_id))
    cursors.hold()
    before = {one.place.chat_id: one for one in cursors.newest_use_first()}
    async with new_client() as client:
        await client.login(server.token)
        searching = asyncio.create_task(
            catch_up(client, cursors, lambda found: handed_over.put_nowait(list(found)), wait_s=1.0)
        )
        first = await handed_over.get()
        assert [one.place.chat_id for one in first] == [well, well]
        assert str(getattr(first[1], "message_id", "")) == missed[1]
        await cursors.advance(before[ChatId(sick)].place, int(missed[1]), addressed=True)
        assert before[ChatId(sick)] in cursors.newest_use_first()
        await server.recover()
        await searching
    late = handed_over.get_nowait()
    assert [type(one) for one in late] == [CaughtUp, Missed]
    assert isinstance(late[0], CaughtUp)
    cursors.release(late[0].place, late[0].holds)
    await cursors.advance(late[0].place, int(missed[0]), addressed=True)
    assert Cursor(late[0].place, int(missed[0])) in cursors.newest_use_first()


async def test_a_server_that_is_never_told_of_holds_up_nothing(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """Discord leaves out those that it cannot reach itself."""
    await known(server, open_bot, state, {})
    missed = await server.say("missed")
    cursors, handed_over = Cursors(state), asyncio.Queue[list[Missed | CaughtUp]]()
    await cursors.load(BotId(server.bot_id))
    async with new_client() as client:
        await client.login(server.token)
        client._connection._add_guild(
            discord.Guild._create_unavailable(state=client._connection, guild_id=7, data=None)
        )
        async with asyncio.timeout(20):
            await catch_up(client, cursors, lambda found: handed_over.put_nowait(list(found)), servers_s=0.1)
    assert [str(getattr(one, "message_id", "")) for one in handed_over.get_nowait()][1:] == [missed]


def new_client() -> IngestClient:
    """A client that is not on line."""
    return IngestClient(
        lambda _: None, message_content=False, begun=lambda: None, heartbeat_timeout_s=60.0, longest_pause_s=60.0
    )


class Flawed(InMemoryState):
    """Fails once in a way that nobody foresaw, when a cursor has moved for the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    async def put(self, name: str, value: str) -> None:
        self.puts += "cursors" in name
        if self.puts == 2:
            self.puts += 1
            raise LookupError("a bug")
        await super().put(name, value)


async def test_cursors_are_written_after_a_failure_that_nobody_foresaw(server: FakeDiscord, open_bot: OpenBot) -> None:
    state = Flawed()
    async with open_bot(server, state=state) as bot:
        last = await server.say("one")
        assert (await bot.next()).text == "one"
        async with asyncio.timeout(20):
            while not any(last in value for value in state.facts.values()):  # noqa: ASYNC110 - a dict has no event
                await asyncio.sleep(0.02)
    assert state.puts > 2


async def test_a_message_that_cannot_be_read_is_put_aside_and_costs_no_other(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {})
    await server.say("one")
    await server.say("broken", edited="at no time")
    await server.say("two")
    async with open_bot(server, state=state) as bot:
        assert await heard_until(bot, "two") == ["one", "two"]
        assert len(bot.ignored) == 1


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_message_that_was_not_stored_when_the_process_ended_is_heard_by_the_next(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState, is_known: bool
) -> None:
    """The cursor stands still until the commit; that of a new channel stands before its first message."""
    await known(server, open_bot, state, *({},) if is_known else ())
    entered = asyncio.Event()

    async def hanging(_: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    first = Bot(server, state=state)
    running = asyncio.create_task(first.platform.run(hanging))
    await server.wait_until("ready", after=len(await server.ledger()))
    await server.say("important")
    await entered.wait()
    await first.platform.aclose()
    running.cancel()
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "important"
    await asyncio.wait([running])


async def test_a_command_that_overtakes_what_was_missed_does_not_pass_over_it(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """The process ends after the command and before the message that is older than it."""
    await known(server, open_bot, state, {})
    await server.say("missed")
    await server.fail("rate_limit", method="GET", path="/messages", retry_after_s=20.0)
    async with open_bot(server, state=state) as bot:
        await server.slash("help")
        assert (await bot.next()).text == "/help"
        await server.wait_until("deferred")
    await server.recover()
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "missed"


async def test_a_command_that_overtakes_a_message_of_a_new_channel_does_not_pass_over_it(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """The message is kept back behind what was missed elsewhere, and cannot be stored when the process ends."""
    await known(server, open_bot, state, {})
    await server.fail("rate_limit", method="GET", path="/messages", retry_after_s=20.0)
    async with open_bot(server, state=state) as bot:
        for text in ("overtaken", ""):
            before = (await server.ledger())[-1]["number"]
            await server.slash("help", channel="new")
            assert (await bot.next()).text == "/help"
            await server.wait_until("deferred", after=before)
            if text:
                await server.say(text, channel="new")
        bot.errors.append(RuntimeError("a bug"))
    assert bot.errors == []
    await server.recover()
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "overtaken"


async def test_where_a_command_was_chosen_messages_are_heard_from_then_on(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    async with open_bot(server, state=state) as bot:
        await server.slash("help")
        assert (await bot.next()).text == "/help"
        await server.wait_until("deferred")
    await server.say("missed")
    async with open_bot(server, state=state) as bot:
        assert (await bot.next()).text == "missed"


async def test_live_messages_stand_behind_the_missed_ones_and_commands_do_not_wait(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    await known(server, open_bot, state, {})
    await server.say("missed")
    await server.fail("rate_limit", method="GET", path="/messages", retry_after_s=1.0)
    async with open_bot(server, state=state) as bot:
        await server.say("live")
        await server.slash("help")
        assert [(await bot.next()).text for _ in range(3)] == ["/help", "missed", "live"]
        await server.wait_until("deferred")


async def test_what_is_kept_back_is_stored_when_the_session_ends_before_what_was_missed_is_found(
    server: FakeDiscord, open_bot: OpenBot, state: InMemoryState
) -> None:
    """Nobody knows when the next one begins."""
    await known(server, open_bot, state, {})
    await server.say("missed")
    await server.fail("rate_limit", method="GET", path="/messages", retry_after_s=29.0)
    async with open_bot(server, state=state, longest_pause_s=2.0) as bot:
        await server.say("live")
        await server.slash("help")
        assert (await bot.next()).text == "/help"
        await server.fail("refuse", path="/users/@me", status=503, times=1000)
        await server.upset_gateway("go_away")
        # Half of what catching up is waited for, at the end of which it would come in any case.
        assert (await bot.next(wait_s=CATCH_UP_S / 2)).text == "live"
        await server.recover()
        await server.upset_gateway("come_back")
        assert (await bot.next()).text == "missed"


async def test_a_cursor_never_goes_back_and_only_the_latest_channels_are_kept(state: InMemoryState) -> None:
    cursors = Cursors(state)
    await cursors.load(BotId("1"))
    places = [Place(ChatId(str(number)), ChatKind.GROUP) for number in range(KNOWN_CHANNELS + 1)]
    for number, place in zip(itertools.count(10), places, strict=False):
        await cursors.advance(place, number, addressed=True)
        # Written at once: nothing else would tell the next process of a new channel.
        assert f'["{place.chat_id}", "group", null, {number}]' in state.facts["discord.cursors.1"]
    await cursors.advance(places[5], 3, addressed=True)
    await cursors.advance(Place(ChatId("new"), ChatKind.GROUP), 3, addressed=False)
    await cursors.write()
    again = Cursors(state)
    await again.load(BotId("1"))
    kept = again.newest_use_first()
    assert [one.place.chat_id for one in kept][:2] == ["5", "100"]
    assert kept[0].message_id == 15
    assert len(kept) == KNOWN_CHANNELS
    other = Cursors(state)
    await other.load(BotId("2"))
    assert other.newest_use_first() == ()


async def test_what_was_read_for_one_session_frees_no_cursor_in_the_next(state: InMemoryState) -> None:
    """It may stand behind a database that is away; between the two sessions lies another gap."""
    cursors, place = Cursors(state), Place(ChatId("5"), ChatKind.GROUP)
    await cursors.load(BotId("1"))
    await cursors.advance(place, 10, addressed=True)
    cursors.hold()
    first = cursors.holds
    cursors.hold()
    cursors.release(place, first)
    await cursors.advance(place, 11, addressed=True)
    assert cursors.newest_use_first() == (Cursor(place, 10),)
    cursors.release(place, cursors.holds)
    await cursors.advance(place, 11, addressed=True)
    assert cursors.newest_use_first() == (Cursor(place, 11),)


async def test_cursors_that_cannot_be_written_are_written_later() -> None:
    class Sick(InMemoryState):
        is_sick = True

        async def put(self, name: str, value: str) -> None:
            if self.is_sick:
                raise StorageUnavailable("full")
            await super().put(name, value)

    state = Sick()
    cursors = Cursors(state)
    await cursors.load(BotId("1"))
    await cursors.advance(Place(ChatId("5"), ChatKind.PRIVATE), 7, addressed=True)
    assert state.facts == {}
    state.is_sick = False
    await cursors.write()
    assert "7" in state.facts["discord.cursors.1"]


async def test_a_place_that_cannot_be_stored_for_a_bug_does_not_hide_that_the_bot_was_stopped(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """Whoever stops it waits for the cancellation to arrive."""

    class Broken(InMemoryState):
        is_broken = False

        async def put(self, name: str, value: str) -> None:
            if self.is_broken and "cursors" in name:
                raise LookupError("a bug")
            await super().put(name, value)

    state = Broken()
    async with open_bot(server, state=state) as bot:
        await server.say("one")
        await bot.next()
        state.is_broken = True
        await server.say("two")
        await bot.next()
        running = next(task for task in asyncio.all_tasks() if "DiscordPlatform.run" in repr(task.get_coro()))
    assert running.cancelled()


@pytest.mark.parametrize("has_content", [True, False])
async def test_a_mention_of_the_bots_role_is_not_missed_either(
    discord_process: str, open_bot: OpenBot, has_content: bool
) -> None:
    """Servers come after the session has begun; without the intent what was said is withheld, and told to be."""
    state = InMemoryState()
    async with FakeDiscord(grant_message_content=has_content, running=discord_process) as server:
        await known(server, open_bot, state, {})
        await server.say("are you there?", mention=False, mention_role=True)
        await server.say("<@&123456789012345678> and you?", mention=False)
        await server.introduce_guilds_after(1.0)
        async with open_bot(server, state=state, message_content=has_content) as bot:
            await server.say("live")
            assert await heard_until(bot, "live") == ["are you there?" if has_content else "", "live"]


async def test_a_mention_of_the_role_between_two_sessions_is_heard(discord_process: str, open_bot: OpenBot) -> None:
    """The second one of a client knows of no server at first, either, though discord.py calls it ready."""
    async with (
        FakeDiscord(grant_message_content=True, running=discord_process) as server,
        open_bot(server, message_content=True) as bot,
    ):
        await server.say("one")
        await bot.next()
        await server.introduce_guilds_after(0.5)
        await server.upset_gateway("invalidate")
        await server.say("two", mention=False, mention_role=True)
        first = (await server.ledger("ready"))[0]["number"]
        await server.wait_until("ready", after=first)
        await server.say("three")
        assert await heard_until(bot, "three") == ["two", "three"]
