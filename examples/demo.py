"""A short conversation on Telegram and Discord, without a token and without the network: `make demo`.

Two test servers on this machine stand for the platforms; botbridge and its
model are the real ones. The transcript at the end is read from the servers'
own ledgers. The exit code is 0 when both platforms hold an answer whose stored
turn names the model's revision, else 1.

The model is taken from where `botbridge run` keeps it, and fetched first if it
is not there. Everything else lives in a temporary directory; none of your
settings and tokens reach the service.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botbridge.errors import BotBridgeError
from botbridge.models.catalogue import load_catalogue
from botbridge.models.ensure import ensure
from botbridge.models.files import ModelFiles
from botbridge.models.store import ModelStore
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import load_settings
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person, Record
from tests.journey.bridge import Bridge
from tests.journey.town import OPERATOR, settings_of

PULL_TIMEOUT_S = 1800.0
PLAY_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 120.0

SARA, STRANGER = Person(42, "Sara"), Person(43, "A stranger")
MODEL_SETTINGS = {
    "INFERENCE__ENGINE": "auto",
    "INFERENCE__MODEL": DEFAULT_MODEL,
    "INFERENCE__TEMPERATURE": "0",  # the same answers each time
    "INFERENCE__MAX_NEW_TOKENS": "64",
}
WIDTH = 100


@dataclass(frozen=True)
class Line:
    """Something that was said, as the ledger of a server has it."""

    who: str
    text: str


class ServiceEnded(Exception):
    """The service ended while it was needed."""


def main() -> int:
    """Play; 0 when both platforms hold an answer of the real model, 130 when interrupted."""
    try:
        return asyncio.run(_play_until_told_to_stop())
    except asyncio.CancelledError:
        say("Interrupted; nothing is left running.")
        return 130
    except (BotBridgeError, ServiceEnded) as error:
        say(str(error))
        return 1
    except TimeoutError as error:
        say(f"Not done in time: {error or 'this machine may be too busy'}")
        return 1


async def _play_until_told_to_stop() -> int:
    playing = asyncio.current_task()
    assert playing is not None
    # Ctrl-C, too: a shell that started us in the background has told the system to ignore it.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    model = await find_model()
    say(f"The model: {model.model}, revision {model.revision[:12]}")
    with tempfile.TemporaryDirectory(prefix="botbridge-demo-") as home:
        async with asyncio.timeout(PLAY_TIMEOUT_S), FakeTelegram() as telegram, FakeDiscord() as discord:
            say(f"Two test servers: Telegram on {telegram.url}, Discord on {discord.api_url}")
            settings = settings_of(telegram, discord) | MODEL_SETTINGS
            async with Bridge(Path(home), settings, models=model.directory.parent.parent) as bridge:
                await while_it_runs(bridge, play(bridge, telegram, discord))
                with step("Stopping botbridge with SIGTERM"):
                    await bridge.terminate()
                return await report(bridge, telegram, discord, model.revision)


async def find_model() -> ModelFiles:
    """The model where `botbridge run` keeps it, fetched if it is not there.

    Raises:
        BotBridgeError: it cannot be had, or your settings are wrong.
    """
    store = ModelStore(load_settings().home)
    say(f"Looking for the model {DEFAULT_MODEL}; if it is not here, it is fetched once (92 MB)")
    async with asyncio.timeout(PULL_TIMEOUT_S):
        return await ensure(load_catalogue().resolve(DEFAULT_MODEL), store, pull_missing=True, told=say)


async def while_it_runs(bridge: Bridge, work: Coroutine[Any, Any, None]) -> None:
    """Do something that needs the service.

    Raises:
        ServiceEnded: it ended before that was done.
        TimeoutError: it was not done in time.
    """
    working, ending = asyncio.create_task(work), asyncio.create_task(bridge.exited(PLAY_TIMEOUT_S))
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            last_words = "\n".join(bridge.log.splitlines()[-5:])
            raise ServiceEnded(f"botbridge ended by itself; its last words were:\n{last_words}")
        working.result()
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


async def play(bridge: Bridge, telegram: FakeTelegram, discord: FakeDiscord) -> None:
    """Let people talk to the bot and reset each other."""
    with step("`botbridge run` connects to both"):
        await discord.wait_until("ready", timeout_s=ANSWER_TIMEOUT_S)
        await telegram.wait_until(lambda record: bool(record.menus), ANSWER_TIMEOUT_S)
    with step("Telegram, private chat: Sara asks, and the model is loaded meanwhile"):
        await tell(bridge, telegram, SARA, "What is the capital of France?")
    with step("Telegram: Sara asks on"):
        await tell(bridge, telegram, SARA, "And of Italy?")
    with step("Discord, a channel: ana mentions the bot"):
        await ask(bridge, discord, "ana", "What colour is the sky?")
    with step("Telegram: a stranger tries to reset Sara's conversation, then the operator does"):
        await tell(bridge, telegram, STRANGER, f"/reset {SARA.id}")
        await tell(bridge, telegram, OPERATOR, f"/reset {SARA.id}")
    with step("Discord: a stranger tries to reset ana's, then somebody who manages the server does"):
        await discord.person("mia", manager=True)
        for person in ("carl", "mia"):
            used = await discord.slash("reset", person=person, options={"person": "ana"})
            await discord.wait_for_reply(used, timeout_s=ANSWER_TIMEOUT_S)
    with step("Discord: ana begins anew"):
        await ask(bridge, discord, "ana", "hello")


async def tell(bridge: Bridge, telegram: FakeTelegram, person: Person, text: str) -> None:
    """Write on Telegram and wait until the message has its end."""
    said = await telegram.say(person, text)
    await telegram.wait_until(lambda _: settled(bridge, str(said.message_id)), ANSWER_TIMEOUT_S)


async def ask(bridge: Bridge, discord: FakeDiscord, person: str, text: str) -> None:
    """Write on Discord and wait until the message has its end."""
    message_id = await discord.say(text, person=person)
    await discord.wait_for_reply(message_id, until=lambda _: settled(bridge, message_id), timeout_s=ANSWER_TIMEOUT_S)


def settled(bridge: Bridge, message_id: str) -> bool:
    """Whether a message has ended and its reply is on its way."""
    return bool(bridge.rows("SELECT 1 FROM inbox WHERE message_id = ? AND finished_at IS NOT NULL", message_id))


async def report(bridge: Bridge, telegram: FakeTelegram, discord: FakeDiscord, revision: str) -> int:
    """Print what the servers hold, and whether it is what it should be."""
    record = await telegram.ledger()
    show("Telegram, as its server's ledger has it", telegram_lines(record))
    show("Discord, as its server's ledger has it", await discord_lines(discord))
    held = {
        "telegram": {str(sent.message_id) for sent in record.sent},
        "discord": {entry["message_id"] for entry in await discord.ledger("sent")},
    }
    query = """
        SELECT conversation.platform, outbox.message_id, turn.model, turn.revision, turn.completion_tokens
        FROM turn JOIN conversation ON conversation.id = turn.conversation_id
                  JOIN outbox ON outbox.inbox_id = turn.inbox_id AND outbox.state = 'sent' AND NOT outbox.is_status
        WHERE turn.role = 'assistant'
    """
    print()
    code = 0
    for platform, messages in held.items():
        answers = [row for row in bridge.rows(query) if row["platform"] == platform and row["message_id"] in messages]
        good = [row for row in answers if row["revision"] == revision]
        if good:
            say(f"{platform}: {len(good)} of {len(answers)} answers are stored as {DEFAULT_MODEL}, {revision[:12]}")
        else:
            say(f"{platform}: NO answer is stored as one of {DEFAULT_MODEL}, revision {revision}")
            code = 1
    return code


def telegram_lines(record: Record) -> Iterator[Line]:
    """What was said on Telegram, by chat and in order."""
    by_chat: dict[int, list[tuple[int, Line]]] = {}
    for update in record.updates:
        message = json.loads(update["content"])["message"]
        line = Line(message["from"]["first_name"], message["text"])
        by_chat.setdefault(message["chat"]["id"], []).append((message["message_id"], line))
    for sent in record.sent:
        by_chat.setdefault(sent.chat_id, []).append((sent.message_id, Line("botbridge", sent.text)))
    for lines in by_chat.values():
        yield from (line for _, line in sorted(lines, key=lambda numbered: numbered[0]))


async def discord_lines(discord: FakeDiscord) -> list[Line]:
    """What was said on Discord, in order; what only one person sees, too."""
    names = {await discord.person(name): name for name in ("ana", "carl", "mia")}
    lines: dict[str, Line] = {}
    for entry in await discord.ledger():
        who = names.get(entry.get("user_id", ""), "botbridge")
        if entry["kind"] == "slash":
            lines[entry["interaction_id"]] = Line(who, f"/{entry['command']} person:@ana")
        elif entry.get("content"):
            text = entry["content"].replace(f"<@{discord.bot_id}>", "@botbridge")
            lines[entry["message_id"]] = Line(
                who, f"{text}  (only {names[entry['only_for']]} sees this)" if entry.get("only_for") else text
            )
    return list(lines.values())


def show(title: str, lines: Iterator[Line] | list[Line]) -> None:
    """Print a transcript."""
    print(f"\n{title}\n{'-' * len(title)}")
    for line in lines:
        first, *rest = textwrap.wrap(line.text, WIDTH - 15, replace_whitespace=False) or [""]
        print(f"{line.who:>12}: {first}")
        for more in rest:
            print(f"{'':14}{more}")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    print(f"demo: {what} ... ", end="", flush=True)
    begun_s = time.monotonic()
    try:
        yield
    except BaseException:
        print("not done", flush=True)
        raise
    print(f"{time.monotonic() - begun_s:.1f} s", flush=True)


def say(text: str) -> None:
    """Print a line at once."""
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
