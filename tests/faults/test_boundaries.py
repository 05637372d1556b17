"""The service dies before and after each commit and each send; what is said is held against what came of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

import pytest

from botbridge.errors import ControlError
from botbridge.faults import Boundary
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.calls import unbounded_calls
from tests.faults.chaos import PLAIN
from tests.faults.dying import SIDES, died, dying, nothing_open
from tests.faults.load import Saying
from tests.faults.oracle import Said
from tests.faults.speaking import Speakers
from tests.faults.test_main_process import AT_A_COMMIT
from tests.faults.test_standing import OF_ITSELF
from tests.journey.bridge import LOOK_S, Bridge
from tests.journey.conftest import NewBridge
from tests.journey.test_health import until_health
from tests.journey.town import says

ROOT = Path(__file__).parents[2]
OPERATOR, ANA, BEN, CYRUS = 1, 2, 3, 4
FIRST_STRANGER = 10
DONE_S = 120.0
SLOW = "!slow:0.3 " + " ".join(f"q#w{number}" for number in range(4))
"""A second and a half of computing, in which a status message is sent and edited."""

SLOWER = "!slow:0.3 " + " ".join(f"q#w{number}" for number in range(9))
"""Long enough for somebody to delete that message."""


@dataclass
class Scene:
    """One service on both platforms, which dies and is started again while people speak to it."""

    bridge: Bridge
    telegram: FakeTelegram
    discord: FakeDiscord
    seen: int = 0
    has_deleted: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _strangers: Iterator[int] = field(default_factory=lambda: count(FIRST_STRANGER))

    def __post_init__(self) -> None:
        self.speakers = Speakers(self.telegram, self.discord)

    async def start(self, program: tuple[str, ...]) -> None:
        """Start the service; what was killed before is gone."""
        await self.bridge.kill_tree()
        self.seen = max((entry["number"] for entry in await self.discord.ledger()), default=0)
        await self.bridge.start(program=program)

    async def connected(self) -> None:
        """Return when Discord tells the service that was started last of what is said."""
        await self.discord.wait_until("ready", after=self.seen, timeout_s=DONE_S)

    async def on_telegram(self, text: str = "q#w0 q#w1", *, person: int | None = None) -> Said:
        """Let somebody write, who was never seen before and so waits for nobody, unless it is said who."""
        person = next(self._strangers) if person is None else person
        return await self.speakers.say(Saying(next(self._numbers), "telegram", person, None, text))

    async def on_discord(self, text: str = "q#w0 q#w1", *, channel: int = 1, by_menu: bool = False) -> Said:
        return await self.speakers.say(Saying(next(self._numbers), "discord", ANA, channel, text, by_menu=by_menu))


Provoke = Callable[[Scene], Awaitable[object]]


async def ask(scene: Scene) -> None:
    await scene.on_telegram()
    await scene.on_discord()


async def ask_when_the_model_is_ready(scene: Scene) -> None:
    """Nobody is told of a wait then, so that the answer is no edit: where its send is cut short, it is in doubt."""
    if not nothing_open(scene.bridge):
        return  # what the death before left in doubt brings a notice, which is sent, too
    await controlled(scene.bridge)
    await until_health(scene.bridge, lambda found: found["facts"]["model_state"] == "ready")
    await scene.on_telegram()


async def ask_for_long(scene: Scene) -> None:
    await scene.on_telegram(SLOW)


async def ask_for_what_kills_the_worker(scene: Scene) -> None:
    await scene.on_telegram("!exit0 q#w0")


async def ask_while_telegram_fails(scene: Scene) -> None:
    await scene.telegram.break_calls("sendMessage", "status", status=502)
    await scene.on_telegram()


async def ask_and_delete_the_status_message(scene: Scene) -> None:
    if scene.has_deleted:
        return  # its reply is owed still, and comes to where its message is gone by itself
    said = await scene.on_telegram(SLOWER)
    chat_id = int(said.place.partition(":")[2])
    record = await scene.telegram.wait_until(
        lambda record: any(sent.chat_id == chat_id for sent in record.sent), timeout_s=DONE_S
    )
    (status,) = [sent for sent in record.sent if sent.chat_id == chat_id]
    await scene.telegram.change(delete={"chat_id": chat_id, "message_id": status.message_id})
    scene.has_deleted = True


async def reset_in_mid_answer(scene: Scene) -> None:
    await scene.on_telegram(SLOW, person=CYRUS)
    await scene.on_telegram("/reset", person=CYRUS)


async def choose_an_adapter(scene: Scene) -> None:
    await scene.on_telegram("/adapter none", person=OPERATOR)


async def say_what_cannot_be_read(scene: Scene) -> None:
    await scene.telegram.offer_raw('{"message": {"text": 5}}')
    await scene.on_telegram()


async def choose_a_command(scene: Scene) -> None:
    await scene.connected()
    await scene.on_discord("/reset", by_menu=True)


async def speak_in_a_new_channel(scene: Scene) -> None:
    """The cursor of a channel is kept before the first message in it is."""
    await scene.connected()
    await scene.on_discord(channel=len(scene.speakers.said) + 2)


async def nothing_more(_scene: Scene) -> None:
    """What an earlier death left behind is enough: the next start comes to the boundary by itself."""


Death = tuple[Boundary, Provoke]

IN_ONE_LIFE: tuple[tuple[Death, ...], ...] = (
    (
        (Boundary.QUEUE, ask),
        (Boundary.CLAIM, ask),
        (Boundary.RELEASE, nothing_more),
        (Boundary.MARK_SENDING, ask),
        (Boundary.MARK_SENT, ask),
        (Boundary.CONFIRM, ask),
        (Boundary.MARK_AGAIN, ask_while_telegram_fails),
    ),
    (
        (Boundary.SEND, ask_when_the_model_is_ready),
        (Boundary.LOSE_SIGHT, nothing_more),
        (Boundary.REQUEUE, ask_for_what_kills_the_worker),
    ),
    (
        (Boundary.OPEN_STATUS, ask_for_long),
        (Boundary.MARK_UNDELIVERABLE, nothing_more),
        (Boundary.SEND_STATUS, ask_for_long),
        (Boundary.TYPING, ask_for_long),
        (Boundary.EDIT_STATUS, ask_for_long),
        (Boundary.SEND_ANEW, ask_and_delete_the_status_message),
    ),
    (
        (Boundary.RESET, reset_in_mid_answer),
        (Boundary.AUDIT, reset_in_mid_answer),
        (Boundary.ADAPTER, choose_an_adapter),
        (Boundary.IGNORE, say_what_cannot_be_read),
        (Boundary.ACKNOWLEDGE, choose_a_command),
        (Boundary.STATE, speak_in_a_new_channel),
    ),
)
"""What one service dies before and after, one after the other, and what brings it there."""

BY_PEOPLE_FORGET = (Boundary.FORGET, Boundary.SCRUB)
LEDGER: tuple[Boundary, ...] = (
    *(boundary for deaths in IN_ONE_LIFE for boundary, _ in deaths),
    *AT_A_COMMIT,
    *BY_PEOPLE_FORGET,
    *OF_ITSELF,
    Boundary.MIGRATION,
    Boundary.RETENTION,
)
"""Each boundary before and after which some test dies."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("deaths", IN_ONE_LIFE, ids=lambda deaths: deaths[0][0])
async def test_a_death_before_and_one_after_a_boundary_lose_nothing_and_double_nothing(
    new_bridge: NewBridge, telegram: FakeTelegram, discord: FakeDiscord, deaths: tuple[Death, ...]
) -> None:
    bridge = new_bridge(ADMINS__TELEGRAM=str(1_000 + OPERATOR))
    scene = Scene(bridge, telegram, discord)
    await scene.start(PLAIN)  # so that what is kept once and for all is kept before
    await scene.connected()
    await scene.on_discord()
    await ended(scene)
    for boundary, provoke in deaths:
        for side in SIDES:
            await scene.start(dying(side, boundary) + PLAIN[1:])
            await provoke(scene)
            await died(bridge, timeout_s=DONE_S)
    await scene.start(PLAIN)
    await scene.connected()
    await ended(scene)
    verdict = await scene.speakers.verdict(bridge)
    assert verdict.is_good, verdict
    assert sum(verdict.ends.values()) + verdict.unheard == len(scene.speakers.said)
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def controlled(bridge: Bridge) -> None:
    """Return when the service that was started last takes orders; a killed one leaves its socket behind."""
    async with asyncio.timeout(DONE_S):
        while True:
            with suppress(ControlError):
                await bridge.ask("queue")
                return
            await asyncio.sleep(LOOK_S)


async def ended(scene: Scene) -> None:
    """Return when both platforms were heard and nothing is owed to anybody any more."""
    last = [await scene.on_telegram(person=BEN), await scene.on_discord()]
    accepted = "SELECT message_id FROM inbox"
    await scene.bridge.until(
        lambda: {said.message_id for said in last} <= {row["message_id"] for row in scene.bridge.rows(accepted)},
        timeout_s=DONE_S,
    )
    await scene.bridge.until(lambda: nothing_open(scene.bridge), timeout_s=DONE_S)
    await scene.telegram.wait_until(lambda record: record.unconfirmed == (), timeout_s=DONE_S)


@pytest.fixture
async def bridge(new_bridge: NewBridge, telegram: FakeTelegram) -> Bridge:
    """A service on Telegram alone that runs, and has answered one message to its end."""
    bridge = new_bridge(DISCORD__TOKEN="")
    await bridge.start(program=PLAIN)
    await telegram.say(Person(11), "canary words")
    await telegram.wait_for_reply(Person(11), until=says("canary words"))
    await bridge.until(lambda: nothing_open(bridge))
    return bridge


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_who_is_erased_while_the_service_dies_is_erased_by_asking_again(
    bridge: Bridge, telegram: FakeTelegram
) -> None:
    await telegram.say(Person(12), "other words")
    await telegram.wait_for_reply(Person(12), until=says("other words"))
    await bridge.until(lambda: nothing_open(bridge))
    for boundary, side in product(BY_PEOPLE_FORGET, SIDES):
        await bridge.kill_tree()
        await bridge.start(program=dying(side, boundary))
        await controlled(bridge)
        with suppress(ControlError):
            await bridge.ask("forget", person="telegram:11")
        await died(bridge, timeout_s=DONE_S)
    await bridge.start(program=PLAIN)
    await controlled(bridge)
    await bridge.ask("forget", person="telegram:11")
    kept = b"".join(path.read_bytes() for path in bridge.home.glob("botbridge.db*"))
    assert b"canary" not in kept
    assert [row["text"] for row in bridge.rows("SELECT text FROM turn ORDER BY id")] == ["other words"] * 2


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_death_after_the_migrations_leaves_a_schema_with_which_the_next_start_goes_on(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """One between them is in `test_main_process`."""
    bridge = new_bridge(DISCORD__TOKEN="")
    await bridge.start(program=dying("after", Boundary.MIGRATION))
    await telegram.say(Person(11), "first words")
    await died(bridge, timeout_s=DONE_S)
    await bridge.start(program=PLAIN)
    await telegram.wait_for_reply(Person(11), until=says("first words"))


TIDY = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.retention import delete_older
from tests.faults.serve import Dying

async def run():
    faults = Dying(Boundary.RETENTION, is_before=sys.argv[2] == "before")
    async with Database(Path(sys.argv[1]), faults=faults) as database:
        await delete_older(database, datetime(2100, 1, 1, tzinfo=UTC))

asyncio.run(run())
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_what_is_old_goes_as_a_whole_or_stays_when_the_service_dies(
    bridge: Bridge, telegram: FakeTelegram
) -> None:
    """The message, its turns and its replies are deleted in one transaction."""
    await bridge.terminate()
    counts = "SELECT (SELECT count(*) FROM inbox) AS said, (SELECT count(*) FROM turn) AS turns"
    for side, left in zip(SIDES, ({"said": 1, "turns": 2}, {"said": 0, "turns": 0}), strict=True):
        done = subprocess.run([sys.executable, "-c", TIDY, bridge.database, side], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert bridge.rows(counts) == [left]
    await bridge.start(program=PLAIN)
    await telegram.say(Person(11), "new words")
    await telegram.wait_for_reply(Person(11), until=says("new words"))


def test_each_boundary_has_its_deaths() -> None:
    assert sorted(LEDGER) == sorted(Boundary)


def test_each_call_that_changes_something_on_a_platform_has_a_boundary() -> None:
    """Otherwise there would be a send at which no test can die; that of a write is an argument it cannot do without."""
    package = ROOT / "botbridge"
    sources = [(path.relative_to(package), path.read_text()) for path in sorted(package.rglob("*.py"))]
    assert [call for path, source in sources for call in unbounded_calls(path, source)] == []


UNBOUNDED = {
    "platforms/telegram/start.py": "async def f(bot):\n    await bot.set_my_commands([])",
    "platforms/telegram/polling.py": "async def f(self):\n    await self._request.do_request('')",
    "platforms/telegram/webhook.py": "async def f(self):\n    act = partial(self._bot.delete_webhook)",
    "platforms/discord/commands.py": "async def f(tree):\n    await tree.sync()",
    "platforms/discord/adapter.py": "async def f(message):\n    with open():\n        await message.edit(content='')",
    "conversation/live.py": "async def f(self):\n    await self._platform.typing(address)",
}


@pytest.mark.parametrize("path", UNBOUNDED)
def test_a_call_without_a_boundary_is_found_and_one_within_is_none(path: str) -> None:
    head, _, call = UNBOUNDED[path].rpartition("\n")
    indent = " " * (len(call) - len(call.lstrip()))
    bounded = f"{head}\n{indent}with crossing(faults, Boundary.SEND):\n    {call}"
    assert list(unbounded_calls(Path(path), UNBOUNDED[path])) == [f"{path}:{head.count(chr(10)) + 2}"]
    assert list(unbounded_calls(Path(path), bounded)) == []
