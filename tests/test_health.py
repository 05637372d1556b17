"""Health that cannot lie: what is complained of, and where the facts come from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from botbridge.answers import Completion, Delta, GeneratorState, GeneratorStatus, Prompt, Started
from botbridge.conversation.live import Live
from botbridge.conversation.room import OpenTurn, Room
from botbridge.conversation.scope import key_for
from botbridge.errors import StorageUnavailable, WorkerDied
from botbridge.health import (
    BackupHealth,
    Facts,
    Limits,
    Part,
    PlatformHealth,
    SelfTestHealth,
    WorkerHealth,
    complaints,
    warnings,
)
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.messages import PlatformName
from botbridge.storage.memory import InMemoryInbox, InMemoryOutbox
from botbridge.storage.memory_store import InMemoryStore
from botbridge.watching import FRESH_S, SelfTest, Watch
from tests.fakes.in_memory_platform import InMemoryPlatform

TELEGRAM = PlatformName("telegram")
WELL = Facts(
    model_state=GeneratorState.READY,
    model_detail="",
    platforms={
        "telegram": PlatformHealth(is_on=True, last_good_s=3, limit_s=40),
        "terminal": PlatformHealth(is_on=True),
    },
    worker=WorkerHealth(silent_s=0.5, stalled_s=0),
    self_test=SelfTestHealth(passed_s=2),
    answering=0,
    waiting_s=0,
    outbox_s=0,
    database_error="",
)
LIVELY = WorkerHealth(silent_s=0, stalled_s=0)
NO_WORKER = replace(WELL, worker=None, self_test=None)


def wrong(facts: Facts) -> list[Part]:
    """The parts that are complained of."""
    return [complaint.part for complaint in complaints(facts, Limits())]


@pytest.mark.parametrize("facts", [WELL, NO_WORKER, replace(WELL, platforms={})], ids=["worker", "remote", "no one"])
def test_nothing_is_complained_of_when_all_is_well(facts: Facts) -> None:
    assert complaints(facts, Limits()) == ()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"model_state": "starting"}, Part.MODEL),
        ({"model_state": "unavailable", "model_detail": "no such file"}, Part.MODEL),
        ({"worker": WorkerHealth(silent_s=6, stalled_s=0)}, Part.WORKER),
        ({"worker": WorkerHealth(silent_s=0, stalled_s=61), "answering": 1}, Part.WORKER),
        ({"self_test": SelfTestHealth(None)}, Part.SELF_TEST),
        ({"self_test": SelfTestHealth(passed_s=61)}, Part.SELF_TEST),
        ({"self_test": SelfTestHealth(passed_s=1, error="it died")}, Part.SELF_TEST),
        ({"platforms": {"discord": PlatformHealth(is_on=False)}}, Part.PLATFORM),
        ({"platforms": {"discord": PlatformHealth(is_on=True, last_good_s=91, limit_s=90)}}, Part.PLATFORM),
        ({"waiting_s": 931}, Part.LINE),
        ({"outbox_s": 301}, Part.OUTBOX),
        ({"database_error": "it is read-only"}, Part.DATABASE),
    ],
)
def test_each_part_is_complained_of_by_itself(change: dict[str, Any], part: Part) -> None:
    assert wrong(replace(WELL, **change)) == [part]


@pytest.mark.parametrize(
    ("backup", "told"),
    [
        (None, ()),
        (BackupHealth(None, 100.0), ()),
        (BackupHealth(100.0, 100.0), ()),
        (BackupHealth(7201.0, 7200.0), ("backup: none has been made for 2 h",)),
        (BackupHealth(None, 100.0, "no room"), ("backup: the last attempt failed, there is none: no room",)),
    ],
    ids=["off", "none yet", "young", "missing", "failed"],
)
def test_a_backup_that_is_missing_is_to_be_mended_and_no_reason_to_start_anew(
    backup: BackupHealth | None, told: tuple[str, ...]
) -> None:
    """Whatever restarts a container that complains would not make the backup either, and cut everybody off."""
    facts = replace(WELL, backup=backup)
    assert warnings(facts) == told
    assert wrong(facts) == []


def test_while_somebody_is_answered_the_tokens_are_the_proof() -> None:
    """A self-test would have to wait for a place in the model."""
    assert wrong(replace(WELL, answering=1, self_test=SelfTestHealth(None))) == []


def test_each_platform_is_named_with_its_reason() -> None:
    off = PlatformHealth(is_on=False, detail="off: Telegram does not know this token")
    found = complaints(replace(WELL, platforms={"telegram": off, "discord": PlatformHealth(is_on=False)}), Limits())
    assert [complaint.sentence for complaint in found] == [
        "telegram: off: Telegram does not know this token",
        "discord: not connected",
    ]


@dataclass
class OneAnswer:
    """A generator that takes its time: `ends` says how, once it is set; `signs` are None where it is elsewhere."""

    signs: WorkerHealth | None = LIVELY
    state: str = "ready"
    forgotten: list[str] = field(default_factory=list)
    asked: list[Prompt] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    ends: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        """Yield what there is once the end is known."""
        self.asked.append(prompt)
        self.is_asked.set()
        await asyncio.shield(self.ends)
        yield Delta("x", 1)

    async def forget(self, conversation: str) -> None:
        """Note whose cache goes."""
        self.forgotten.append(conversation)

    def status(self) -> GeneratorStatus:
        """As the test says."""
        return GeneratorStatus(GeneratorState(self.state))

    def worker(self) -> WorkerHealth | None:
        """Lively, where there is one."""
        return self.signs


async def test_a_self_test_that_passed_is_not_repeated_at_once() -> None:
    now_s, generator = [100.0], OneAnswer()
    generator.ends.set_result(None)
    test = SelfTest(generator, lambda: now_s[0])  # type: ignore[arg-type]
    assert await test.look(may_ask=True) == SelfTestHealth(passed_s=0)
    now_s[0] += FRESH_S - 1
    assert await test.look(may_ask=True) == SelfTestHealth(passed_s=FRESH_S - 1)
    assert len(generator.asked) == 1
    now_s[0] += 1
    assert await test.look(may_ask=True) == SelfTestHealth(passed_s=0)
    assert len(generator.asked) == 2
    assert generator.asked[0].sampling.max_new_tokens == 1
    assert generator.forgotten == [generator.asked[0].conversation] * 2


async def test_a_self_test_that_failed_is_told_and_repeated() -> None:
    generator = OneAnswer()
    generator.ends.set_exception(WorkerDied("it was killed"))
    test = SelfTest(generator, lambda: 0.0)  # type: ignore[arg-type]
    assert await test.look(may_ask=True) == SelfTestHealth(None, "it was killed")
    generator.ends = asyncio.get_running_loop().create_future()
    generator.ends.set_result(None)
    assert await test.look(may_ask=True) == SelfTestHealth(0)


async def test_a_self_test_with_a_failure_that_nobody_foresaw_is_told_as_any_other() -> None:
    generator = OneAnswer()
    generator.ends.set_exception(LookupError("a bug"))
    test = SelfTest(generator, lambda: 0.0)  # type: ignore[arg-type]
    with capture_logs() as logs:
        assert await test.look(may_ask=True) == SelfTestHealth(None, "a bug")
    assert [line["event"] for line in logs] == ["unforeseen failure of the self-test"]


async def test_while_others_are_answered_no_self_test_is_asked() -> None:
    generator = OneAnswer()
    assert await SelfTest(generator, lambda: 0.0).look(may_ask=False) == SelfTestHealth(None)  # type: ignore[arg-type]
    assert generator.asked == []


async def test_only_one_self_test_is_under_way_and_none_is_left() -> None:
    """However often somebody asks; a worker that hangs must not collect them."""
    generator = OneAnswer()
    test = SelfTest(generator, lambda: 0.0)  # type: ignore[arg-type]
    looks = [asyncio.create_task(test.look(may_ask=True)) for _ in range(3)]
    await generator.is_asked.wait()
    before = asyncio.all_tasks()
    assert [task.get_name() for task in before].count("self-test") == 1
    await test.aclose()
    await asyncio.gather(*looks)
    assert "self-test" not in {task.get_name() for task in asyncio.all_tasks()}
    assert len(generator.asked) == 1


async def nothing_owed(_platforms: Collection[PlatformName]) -> float:
    """The age of what is owed: nothing is."""
    return 0.0


async def with_a_message(room: Room) -> OpenTurn:
    """Let a message wait in a room."""
    platform, store = InMemoryPlatform(), InMemoryStore()
    incoming = platform.message("hello")
    row = await InMemoryInbox(store).accept(incoming, key_for(incoming, {}))
    assert row is not None
    return room.join(row, Live(row, platform, InMemoryOutbox(store), placeholder="…", shut_out=lambda: None), cost=1.0)


def watch_over(generator: OneAnswer, room: Room) -> Watch:
    """A watch without platforms."""
    return Watch(generator=generator, room=room, platforms={}, probe=nothing_owed, now_s=lambda: 0.0)  # type: ignore[arg-type]


async def test_a_server_elsewhere_is_asked_nothing() -> None:
    """It may charge for every question."""
    generator = OneAnswer(signs=None)
    facts = await watch_over(generator, Room(lambda: 0.0)).facts({})
    assert (facts.self_test, generator.asked) == (None, [])


async def test_a_worker_that_is_not_ready_is_asked_nothing() -> None:
    """It loads its model; the question would fail, or wait for that."""
    generator = OneAnswer(state="starting")
    facts = await watch_over(generator, Room(lambda: 0.0)).facts({})
    assert (facts.self_test, generator.asked) == (SelfTestHealth(None), [])


async def test_a_message_waits_until_somebody_begins_with_it_and_then_the_worker_is_asked_nothing() -> None:
    now_s = [0.0]
    room, generator = Room(lambda: now_s[0]), OneAnswer()
    generator.ends.set_result(None)
    watch = watch_over(generator, room)
    turn = await with_a_message(room)
    now_s[0] = 5.0
    assert (await watch.facts({})).waiting_s == 5
    assert len(generator.asked) == 1
    generator.ends = asyncio.get_running_loop().create_future()
    generator.ends.set_exception(WorkerDied("it is busy"))
    assert room.next(slots=1) is turn
    turn.task = asyncio.create_task(asyncio.sleep(0))
    facts = await watch_over(generator, room).facts({})
    assert (facts.waiting_s, facts.answering, facts.self_test) == (0, 1, SelfTestHealth(None))
    assert len(generator.asked) == 1


@pytest.mark.slow
async def test_a_worker_that_takes_the_question_and_never_answers_is_not_waited_for() -> None:
    """After as long as a look may take, what is known is told: nothing."""
    watch = watch_over(OneAnswer(), Room(lambda: 0.0))
    assert wrong(await watch.facts({})) == [Part.SELF_TEST]
    await watch.aclose()


@pytest.mark.slow
async def test_a_database_that_takes_the_row_and_never_answers_is_given_up() -> None:
    """After as long as a look may take."""

    async def hang(_platforms: Collection[PlatformName]) -> float:
        await asyncio.Event().wait()
        return 0.0

    generator = OneAnswer()
    generator.ends.set_result(None)
    watch = Watch(generator=generator, room=Room(lambda: 0.0), platforms={}, probe=hang, now_s=lambda: 0.0)  # type: ignore[arg-type]
    assert wrong(await watch.facts({})) == [Part.DATABASE]


@pytest.fixture
async def worker() -> AsyncIterator[WorkerClient]:
    """A real worker that echoes."""
    async with WorkerClient(None, EngineOptions(engine="echo")) as client:
        while client.status().state != "ready":
            await client.changed()
        yield client


async def test_the_facts_of_a_lively_worker_and_of_a_database_that_refuses(worker: WorkerClient) -> None:
    refusals = iter(["", "the disk is full"])

    async def probe(_platforms: Collection[PlatformName]) -> float:
        if refusal := next(refusals):
            raise StorageUnavailable(refusal)
        return 7.0

    watch = Watch(generator=worker, room=Room(lambda: 0.0), platforms={}, probe=probe, now_s=lambda: 0.0)
    facts = await watch.facts({})
    assert (facts.self_test, facts.outbox_s, facts.database_error) == (SelfTestHealth(0), 7.0, "")
    assert facts.worker is not None
    assert wrong(facts) == []
    assert wrong(await watch.facts({})) == [Part.DATABASE]
