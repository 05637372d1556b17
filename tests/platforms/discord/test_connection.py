"""Staying on Discord: what is lost when the line breaks (nothing), and when to give up (hardly ever)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from botbridge.errors import BadToken, PlatformUnavailable, StorageUnavailable
from botbridge.messages import IncomingMessage
from botbridge.platforms.discord.ingest import IngestClient
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot, InMemoryState, OpenBot


@pytest.mark.parametrize("how", ["drop", "reconnect", "close"])
async def test_a_connection_that_breaks_is_resumed_and_loses_nothing(server: FakeDiscord, bot: Bot, how: str) -> None:
    """Cut, asked to reconnect (op 7), closed with 4000."""
    await server.say("one")
    await server.upset_gateway(how)  # type: ignore[arg-type]
    await server.say("two")
    await server.say("three")
    assert [(await bot.next()).text for _ in range(3)] == ["one", "two", "three"]
    await server.wait_until("resumed")
    assert len(await server.ledger("identified")) == 1
    assert bot.heard.empty()


async def test_a_session_that_discord_has_forgotten_is_begun_anew(server: FakeDiscord, bot: Bot) -> None:
    """Op 9; what was said in between: `test_catch_up`."""
    await server.upset_gateway("invalidate")
    first = (await server.ledger("ready"))[0]["number"]
    await server.wait_until("ready", after=first)
    await server.say("again")
    assert (await bot.next()).text == "again"


async def test_a_gateway_that_is_back_after_a_moment_is_resumed(server: FakeDiscord, bot: Bot) -> None:
    """It turned the first tries away."""
    await server.upset_gateway("go_away")
    await server.say("one")
    await server.wait_until("turned_away")
    await server.upset_gateway("come_back")
    await server.wait_until("resumed")
    assert (await bot.next()).text == "one"
    assert len(await server.ledger("identified")) == 1


async def test_what_was_said_in_an_outage_that_is_too_long_for_a_pause_is_heard(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """Its session is given up; the next one begins with what was missed."""
    state = InMemoryState()
    async with open_bot(server, state=state) as bot:
        await server.say("one")
        await bot.next()
    async with open_bot(server, state=state, longest_pause_s=1.0) as bot:
        await server.upset_gateway("go_away")
        await server.say("two")
        logins = last = (await server.ledger())[-1]["number"]
        for _ in range(2):
            logins = (await server.wait_until("logged_in", after=logins))["number"]
            last = (await server.wait_until("turned_away", after=last))["number"]
        await server.upset_gateway("come_back")
        assert (await bot.next()).text == "two"


class Scripted(IngestClient):
    """Is told some events while it is connected, and then lives on for longer than a pause may last."""

    def __init__(self, *events: str) -> None:
        super().__init__(
            lambda _: None, message_content=False, begun=lambda: None, heartbeat_timeout_s=60.0, longest_pause_s=0.05
        )
        self._events = events

    async def connect(self, *, reconnect: bool = True) -> None:
        """Let the events happen as discord.py does."""
        del reconnect
        for event in self._events:
            await {"connect": self.on_connect, "resumed": self.on_resumed, "disconnect": self.on_disconnect}[event]()
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("events", [("connect",), ("connect", "disconnect", "resumed")])
async def test_who_is_connected_stays(events: tuple[str, ...]) -> None:
    await Scripted(*events).stay()


@pytest.mark.parametrize("events", [(), ("connect", "disconnect"), ("connect", "disconnect", "resumed", "disconnect")])
async def test_who_gets_no_gateway_within_the_longest_pause_begins_anew(events: tuple[str, ...]) -> None:
    with pytest.raises(TimeoutError):
        await Scripted(*events).stay()


class Deaf(Scripted):
    """Loses the first cancel, as `asyncio.wait_for` does when a failure comes in the same moment."""

    async def connect(self, *, reconnect: bool = True) -> None:
        """Be connected for ever."""
        with contextlib.suppress(asyncio.CancelledError):
            await super().connect(reconnect=reconnect)
        await asyncio.sleep(60)


async def test_a_cancel_that_is_lost_is_repeated() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await Deaf().stay()


async def until(condition: Callable[[], bool]) -> None:
    """Return when something has become true that nobody tells of."""
    while not condition():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)


async def test_a_gateway_that_has_gone_silent_is_left_and_the_session_resumed(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """A zombie; TCP itself would notice after many minutes, or never."""
    await server.beat_every(100)
    async with open_bot(server, heartbeat_timeout_s=0.5) as bot:
        await server.upset_gateway("deafen")
        await server.say("one")
        await server.wait_until("resumed")
        await server.say("two")
        assert [(await bot.next()).text for _ in range(2)] == ["one", "two"]
    assert len(await server.ledger("identified")) == 1


async def test_a_gateway_that_brings_events_and_acknowledges_nothing_is_left_and_the_session_resumed(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """Half a zombie: what we send no longer arrives."""
    await server.beat_every(100)
    async with open_bot(server, heartbeat_timeout_s=0.5) as bot:
        await server.upset_gateway("mute")
        resumed = asyncio.create_task(server.wait_until("resumed", timeout_s=5.0))
        while not resumed.done():
            await server.say("among others", mention=False)
        await resumed
        await server.say("one")
        assert (await bot.next()).text == "one"
    assert len(await server.ledger("identified")) == 1


async def test_the_age_of_the_last_acknowledged_heartbeat_is_known(server: FakeDiscord, open_bot: OpenBot) -> None:
    assert Bot(server).platform.health().last_good_s is None
    await server.beat_every(100)
    async with open_bot(server) as bot:
        await server.say("hello")
        await bot.next()
        assert bot.platform.health().is_on
        age_s = bot.platform.health().last_good_s
        assert age_s is not None
        await server.upset_gateway("mute")
        async with asyncio.timeout(5):
            await until(lambda: (bot.platform.health().last_good_s or 0.0) > age_s + 0.3)


async def test_an_open_gateway_that_acknowledges_nothing_is_not_called_on(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """Between two looks of the watch; health must not call a zombie alive, whatever it still brings."""
    await server.beat_every(50)
    async with open_bot(server, heartbeat_timeout_s=1.0) as bot:
        await server.upset_gateway("mute")
        off = asyncio.create_task(until(lambda: not bot.platform.health().is_on))
        async with asyncio.timeout(10):
            while not off.done():
                await server.say("among others", mention=False)
        assert await server.ledger("disconnected") == []


class Gateway:
    """An open gateway in the midst of a heartbeat: discord.py's thread waits for the loop to send it."""

    open = True

    def __init__(self) -> None:
        self._sent = threading.Event()
        self._keep_alive: threading.Thread | None = threading.Thread(target=self._sent.wait, daemon=True)
        self._keep_alive.start()
        self.beating = self._keep_alive

    async def close(self, code: int) -> None:
        """Forget the thread, as discord.py does; the loop sends the heartbeat in its next turn."""
        self._keep_alive = None
        asyncio.get_running_loop().call_soon(self._sent.set)


@pytest.mark.parametrize("leave", [IngestClient.hang_up, IngestClient.close])
async def test_no_thread_beats_on_when_discord_is_left(leave: Callable[[IngestClient], Awaitable[None]]) -> None:
    """It would call into a loop that is gone."""
    client = IngestClient(
        lambda _: None, message_content=False, begun=lambda: None, heartbeat_timeout_s=60.0, longest_pause_s=60.0
    )
    gateway = Gateway()
    client.ws = cast("Any", gateway)
    await leave(client)
    assert not gateway.beating.is_alive()


async def test_a_wrong_token_is_told_once_and_not_tried_again(server: FakeDiscord) -> None:
    bot = Bot(server, token="wrong")
    with pytest.raises(BadToken, match="DISCORD__TOKEN"):
        await bot.platform.run(bot.intake)
    assert len(await server.ledger("refused")) == 1


async def test_a_token_that_worked_is_tried_again_when_it_is_refused(server: FakeDiscord, open_bot: OpenBot) -> None:
    """Every outage of some length logs in anew, and one refusal of many would be the end until somebody comes."""
    async with open_bot(server, longest_pause_s=2.0) as bot:
        await server.fail("refuse", path="/users/@me", status=401, times=2)
        await server.upset_gateway("go_away")
        last = 0
        for _ in range(2):
            last = (await server.wait_until("refused", after=last, status=401))["number"]
        await server.upset_gateway("come_back")
        await server.wait_until("ready", after=last)
        await server.say("hello")
        assert (await bot.next()).text == "hello"


@pytest.mark.parametrize(("code", "word"), [(4004, "TOKEN"), (4014, "4014"), (4013, "4013")])
async def test_a_closure_for_good_ends_the_run_with_a_sentence(server: FakeDiscord, code: int, word: str) -> None:
    await server.upset_gateway("close", code=code)
    bot = Bot(server)
    with pytest.raises(BadToken, match=word):
        async with asyncio.timeout(10):
            await bot.platform.run(bot.intake)
    await bot.platform.aclose()


async def test_when_discord_has_shut_us_out_for_good_replies_are_kept_for_later(server: FakeDiscord) -> None:
    bot = Bot(server)
    running = asyncio.create_task(bot.platform.run(bot.intake))
    await server.wait_until("ready")
    await server.say("hello")
    incoming = await bot.next()
    await server.upset_gateway("close", code=4004)
    with pytest.raises(BadToken):
        await running
    with pytest.raises(PlatformUnavailable):
        await bot.answer(incoming, "hello")
    await bot.platform.aclose()


async def test_without_the_granted_intent_the_bot_says_so_and_goes_on_without_it(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    with capture_logs() as logs:
        async with open_bot(server, message_content=True) as bot:
            await server.say("hello")
            assert (await bot.next()).text == "hello"
    assert any("Message Content Intent" in line["event"] for line in logs)


async def test_a_discord_that_is_not_there_yet_is_waited_for(open_bot: OpenBot) -> None:
    """REST and gateway both refuse; then the server comes up on the same port."""
    async with FakeDiscord() as first:
        port = int(first.api_url.split(":")[2].split("/")[0])
    later = FakeDiscord()
    bot = Bot(first)
    running = asyncio.create_task(bot.platform.run(bot.intake))
    async with asyncio.timeout(10):
        await until(lambda: f"127.0.0.1:{port}" in bot.platform.health().detail)
    assert bot.platform.health().detail.startswith("not connected: ClientConnectorError: ")
    await later.start(port)
    try:
        await later.wait_until("ready")
        await later.say("hello")
        assert (await bot.next()).text == "hello"
        assert bot.platform.health().detail == ""
    finally:
        running.cancel()
        await asyncio.wait([running])
        await bot.platform.aclose()
        await later.stop()


async def test_a_login_that_is_never_answered_is_given_up_and_tried_again(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    await server.fail("swallow", path="/users/@me")
    async with open_bot(server, timeout_s=2.0) as bot:
        await server.say("hello")
        assert (await bot.next()).text == "hello"


async def test_a_gateway_that_is_not_there_yet_is_waited_for(server: FakeDiscord) -> None:
    """REST answers, the gateway does not: discord.py itself cannot cope with that at its first try."""
    away = server.gateway_url.replace("/gateway", "/nowhere")
    bot = Bot(server, gateway_url=away)
    running = asyncio.create_task(bot.platform.run(bot.intake))
    first = await server.wait_until("logged_in")
    await server.wait_until("logged_in", after=first["number"])
    assert bot.platform.health().detail.startswith("not connected: ")
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    await bot.platform.aclose()


async def test_a_message_waits_for_a_database_that_is_away(server: FakeDiscord, bot: Bot) -> None:
    """Discord sends a message only once: nothing asks for it again."""
    bot.errors += [StorageUnavailable("locked"), StorageUnavailable("locked")]
    await server.say("one")
    await server.say("two")
    assert [(await bot.next()).text for _ in range(2)] == ["one", "two"]


async def test_a_bug_of_ours_in_one_message_does_not_stop_the_next(server: FakeDiscord, bot: Bot) -> None:
    bot.errors.append(RuntimeError("a bug"))
    await server.say("one")
    await server.say("two")
    assert (await bot.next()).text == "two"


class SlowIntake:
    """Takes a message only once it is let, as while the database is away."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def __call__(self, incoming: IncomingMessage) -> None:
        self.entered.set()
        await self.gate.wait()
        await self._bot.intake(incoming)


async def test_a_message_in_hand_is_stored_before_the_run_ends(server: FakeDiscord) -> None:
    """Discord will not send it again."""
    bot = Bot(server)
    intake = SlowIntake(bot)
    running = asyncio.create_task(bot.platform.run(intake))
    await server.wait_until("ready")
    await server.say("last words")
    await intake.entered.wait()
    running.cancel()
    await server.wait_until("disconnected")
    intake.gate.set()
    await asyncio.wait([running])
    await bot.platform.aclose()
    assert bot.heard.get_nowait().text == "last words"


async def test_what_has_arrived_is_stored_while_nobody_is_logged_in(server: FakeDiscord) -> None:
    """The database was away when the gateway went, and Discord lets nobody in."""
    bot = Bot(server, longest_pause_s=1.0)
    intake = SlowIntake(bot)
    running = asyncio.create_task(bot.platform.run(intake))
    await server.wait_until("ready")
    await server.say("one")
    await intake.entered.wait()
    await server.say("two")
    await server.slash("help", person="somebody")
    await server.fail("refuse", path="/users/@me", status=503, times=1000)
    await server.upset_gateway("go_away")
    await server.wait_until("refused")
    intake.gate.set()
    assert [(await bot.next()).text for _ in range(3)] == ["one", "two", "/help"]
    before = (await server.ledger())[-1]["number"]
    await server.recover()
    await server.upset_gateway("come_back")
    await server.wait_until("ready", after=before)
    running.cancel()
    await asyncio.wait([running])
    await bot.platform.aclose()
