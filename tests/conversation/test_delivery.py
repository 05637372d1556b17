"""The outbox is brought to the platforms: in order, each part once, no chat delayed by another."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from botbridge.conversation.delivery import Delivery
from botbridge.conversation.scope import key_for
from botbridge.conversation.texts import load_texts
from botbridge.errors import (
    BadToken,
    ChatClosed,
    DeliveryUnknown,
    MessageGone,
    PlatformUnavailable,
    RateLimited,
    ReplyRejected,
)
from botbridge.messages import InboxRow, InboxState, MessageId, OutboxPart, Outcome, Part, PartId, PartState
from botbridge.storage.memory import InMemoryInbox, InMemoryOutbox
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.locked import Locked


class WatchedOutbox(InMemoryOutbox):
    """An outbox on which a test can wait."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self._seen: dict[PartState, asyncio.Event] = defaultdict(asyncio.Event)
        self._marked, self._asked = asyncio.Event(), asyncio.Event()
        self.looks = 0
        self.late: Sequence[OutboxPart] | None = None
        self.gate: asyncio.Event | None = None
        self.bug: Exception | None = None

    async def mark(
        self, part_id: PartId, state: PartState, *, message_id: MessageId | None = None, detail: str = ""
    ) -> bool:
        bug, self.bug = self.bug, None
        if bug is not None:
            raise bug
        is_marked = await super().mark(part_id, state, message_id=message_id, detail=detail)
        self._seen[state].set()
        self._marked.set()
        return is_marked

    async def until(self, state: PartState) -> None:
        """Return once a part has been in a state."""
        await self._seen[state].wait()

    async def due(self) -> Sequence[OutboxPart]:
        due = await super().due()
        self._asked.set()
        self.looks += 1
        late, self.late = self.late, None
        gate, self.gate = self.gate, None
        if gate is not None:
            await gate.wait()
        return due if late is None else late

    async def asked(self) -> None:
        """Return once somebody has asked what is due."""
        await self._asked.wait()

    async def settled(self) -> None:
        """Return once nothing is due or being sent."""
        while await self.due() or await self.interrupted():
            self._marked.clear()
            await self._marked.wait()


class Post:
    """An outbox with messages that ended, and their delivery."""

    def __init__(self, *, repeats_safely: bool = False) -> None:
        self.platform = InMemoryPlatform(repeats_safely=repeats_safely)
        self.store = InMemoryStore()
        self.inbox = InMemoryInbox(self.store)
        self.outbox = WatchedOutbox(self.store)
        self.locked: dict[str, int] = {}
        self.delivery = Delivery(Locked(self.outbox, self.locked), {self.platform.name: self.platform}, load_texts())

    async def accepted(self, user: str = "1", language: str = "en") -> InboxRow:
        incoming = self.platform.message("x", user=user, language=language)
        row = await self.inbox.accept(incoming, key_for(incoming, {}))
        assert row is not None
        return row

    async def ended(self, *texts: str, user: str = "1", edits: str | None = None, language: str = "en") -> None:
        await self.owed(*texts, user=user, edits=edits, language=language)
        self.delivery.wake()

    async def owed(
        self, *texts: str, user: str = "1", edits: str | None = None, language: str = "en"
    ) -> tuple[OutboxPart, ...]:
        row = await self.accepted(user, language)
        parts = tuple(Part(text) for text in texts)
        outcome = Outcome(InboxState.ANSWERED, parts, edits=MessageId(edits) if edits else None)
        owed = await self.inbox.finish(row.id, outcome)
        assert owed is not None
        return owed

    @property
    def states(self) -> list[PartState]:
        return [owed.part.state for owed in self.store.parts.values()]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.delivery.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_parts_arrive_in_order_and_are_marked_sent() -> None:
    post = Post()
    async with post.running():
        await post.ended("a", "b", "c")
        await post.outbox.settled()
    assert post.platform.texts("1") == ["a", "b", "c"]
    assert set(post.states) == {PartState.SENT}


async def test_whatever_is_tried_again_is_told_which_messages_of_its_chat_are_other_parts() -> None:
    """A platform that looks for what an earlier try left must not take an equal text for it."""
    post = Post(repeats_safely=True)
    async with post.running():
        await post.ended("a")
        await post.outbox.settled()
        post.platform.faults.append(PlatformUnavailable("no route"))
        await post.ended("a")
        await post.outbox.settled()
    (cut_short,) = await post.owed("a")
    await post.outbox.mark(cut_short.id, PartState.SENDING)
    async with post.running():
        await post.outbox.settled()
    first, second, _ = (shown.message_id for shown in post.platform.ledger)
    assert [part.others for part in post.platform.tries] == [set(), set(), {first}, {first, second}]


async def test_what_was_sent_while_the_outbox_was_read_is_not_sent_again() -> None:
    """A reading may say what was due when it began, and be known only when the chat is done with."""
    post = Post()
    await post.ended("a")
    began = await post.outbox.due()
    async with post.running():
        await post.outbox.until(PartState.SENT)
        await _idle()
        post.outbox.late = began
        post.delivery.wake()
        await _idle()
        assert post.outbox.late is None
        await post.ended("b")
        await post.outbox.settled()
    assert post.platform.texts("1") == ["a", "b"]


async def test_nobody_looks_again_after_a_chat_was_served_unless_more_came_for_it_meanwhile() -> None:
    post = Post()
    await post.ended("a")
    async with post.running():
        await post.outbox.until(PartState.SENT)
        await _idle()
        assert post.outbox.looks == 1
        post.platform.takes.clear()
        await post.ended("b")
        await _idle()
        await post.ended("c")
        await _idle()
        assert (post.outbox.looks, post.platform.texts("1")) == (3, ["a"])
        post.platform.takes.set()
        await post.platform.until(lambda: post.platform.texts("1") == ["a", "b", "c"])
        await _idle()
        assert post.outbox.looks == 4


async def test_parts_that_are_handed_over_are_sent_without_a_look_into_the_outbox() -> None:
    post = Post()
    async with post.running():
        await post.outbox.asked()
        await _idle()
        post.delivery.take(await post.owed("a", "b"))
        await post.platform.until(lambda: post.platform.texts("1") == ["a", "b"])
        await _idle()
        assert post.outbox.looks == 1


async def test_what_is_handed_over_overtakes_nothing_that_nobody_has_seen_yet() -> None:
    """A reset, say, owes a word to the same chat, and only a look finds that."""
    post = Post()
    async with post.running():
        await post.outbox.asked()
        await _idle()
        await post.ended("a")
        post.delivery.take(await post.owed("b"))
        await post.platform.until(lambda: len(post.platform.texts("1")) == 2)
    assert post.platform.texts("1") == ["a", "b"]


async def test_what_is_handed_over_overtakes_nothing_that_a_failure_of_ours_left_behind() -> None:
    post = Post()
    async with post.running():
        await post.outbox.asked()
        await _idle()
        post.outbox.bug = ZeroDivisionError()
        post.delivery.take(await post.owed("a", "b"))
        await _idle()
        assert post.states == [PartState.PENDING, PartState.PENDING]
        post.delivery.take(await post.owed("c"))
        await _idle()
    assert post.platform.texts("1") == ["a", "b", "c"]


async def test_nothing_is_sent_before_delivery_runs_nor_after_it_ended() -> None:
    """Before, because what a crash cut short comes first; afterwards, because nobody would note what became of it."""
    post = Post()
    post.delivery.take(await post.owed("a"))
    await _idle()
    assert post.states == [PartState.PENDING]
    async with post.running():
        await post.outbox.until(PartState.SENT)
        await _idle()
    post.delivery.take(await post.owed("b"))
    await _idle()
    assert post.states == [PartState.SENT, PartState.PENDING]


async def _idle() -> None:
    """Let everything happen that waits for nothing outside."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_failed_part_is_resumed_and_those_before_it_are_not_repeated() -> None:
    post = Post()
    await post.ended("a", "b", "c")
    post.platform.faults.extend([None, PlatformUnavailable("no route")])
    async with post.running():
        await post.outbox.settled()
    assert post.platform.texts("1") == ["a", "b", "c"]
    assert [part.part.text for part in post.platform.tries] == ["a", "b", "b", "c"]


async def test_a_limited_chat_delays_no_other() -> None:
    post = Post()
    async with post.running():
        post.platform.faults.append(RateLimited(600))
        await post.ended("slow", user="1")
        await post.outbox.until(PartState.FAILED_RETRYABLE)
        await post.ended("quick", user="2")
        await post.platform.until(lambda: post.platform.texts("2") == ["quick"])
    assert post.platform.texts("1") == []


async def test_what_was_read_while_a_chat_was_held_is_read_again_before_it_is_sent() -> None:
    """A message that was on its way there has arrived meanwhile, and what is owed takes its place."""
    post = Post()
    arrived = asyncio.Event()
    async with post.running():
        await _idle()
        post.delivery.hold((post.platform.name, post.platform.message("").address.chat_id), arrived.wait)
        (owed,) = await post.owed("last word")
        read = asyncio.Event()
        post.outbox.gate = read
        post.delivery.wake()
        await _idle()
        post.store.parts[owed.id] = replace(post.store.parts[owed.id], part=replace(owed, edits=MessageId("7")))
        arrived.set()
        await _idle()
        read.set()
        await post.outbox.settled()
    assert post.platform.tries[0].edits == MessageId("7")


async def test_a_chat_for_which_two_things_are_on_their_way_waits_for_both() -> None:
    post = Post()
    first, second = asyncio.Event(), asyncio.Event()
    chat = post.platform.name, post.platform.message("").address.chat_id
    async with post.running():
        for arrived in (first, second):
            post.delivery.hold(chat, arrived.wait)
        await post.ended("last word")
        first.set()
        await _idle()
        assert post.platform.texts("1") == []
        second.set()
        await post.outbox.settled()
    assert post.platform.texts("1") == ["last word"]


async def test_what_may_have_been_delivered_is_not_sent_again_and_later_parts_still_go_out() -> None:
    post = Post()
    post.platform.faults.append(DeliveryUnknown("no answer"))
    async with post.running():
        await post.ended("a", "b")
        await post.platform.until(lambda: post.platform.texts("1")[:1] == ["b"])
        await post.outbox.settled()
    assert post.states == [PartState.DELIVERY_UNKNOWN, PartState.SENT, PartState.SENT]


async def test_of_a_reply_that_was_lost_sight_of_its_person_is_told_once_however_many_parts_it_had() -> None:
    """In a message of its own, after the rest of the reply, with the way to the answer."""
    post = Post()
    post.platform.faults.extend([DeliveryUnknown("no answer"), DeliveryUnknown("no answer")])
    async with post.running():
        await post.ended("a", "b", "c")
        await post.platform.until(lambda: len(post.platform.texts("1")) == 2)
        await post.outbox.settled()
    answer, notice = post.platform.texts("1")
    assert answer == "c"
    assert "/again" in notice
    lost = [PartState.DELIVERY_UNKNOWN, PartState.DELIVERY_UNKNOWN]
    assert post.states == [*lost, PartState.SENT, PartState.SENT]


async def test_the_notice_is_in_the_language_of_its_person() -> None:
    post = Post()
    post.platform.faults.append(DeliveryUnknown("no answer"))
    async with post.running():
        await post.ended("a", language="ar-EG")
        await post.platform.until(lambda: len(post.platform.texts("1")) == 1)
    assert "أُجب عن سؤالك" in post.platform.texts("1")[0]


async def test_a_notice_that_was_lost_sight_of_itself_is_the_last_one() -> None:
    post = Post()
    post.platform.faults.extend([DeliveryUnknown("no answer"), DeliveryUnknown("no answer")])
    async with post.running():
        await post.ended("a")
        await post.platform.until(lambda: not post.platform.faults)
        await post.outbox.settled()
        await post.ended("b", user="2")
        await post.platform.until(lambda: post.platform.texts("2") == ["b"])
    assert post.platform.texts("1") == []
    assert post.states == [PartState.DELIVERY_UNKNOWN, PartState.DELIVERY_UNKNOWN, PartState.SENT]


async def test_a_refused_part_is_not_tried_again() -> None:
    post = Post()
    post.platform.faults.append(ChatClosed("blocked"))
    async with post.running():
        await post.ended("a")
        await post.outbox.settled()
    assert post.states == [PartState.UNDELIVERABLE]


async def test_of_a_text_that_the_platform_refuses_its_person_is_told_once_where_it_was_to_stand() -> None:
    """The chat takes others: silence, or half an answer, would look like all that there is."""
    post = Post()
    row = await post.accepted(language="ar-EG")
    status = await post.outbox.open_status(row.id, row.incoming.address, Part("Writing…"))
    message_id = await post.platform.send(status)
    await post.outbox.status_sent(status.id, message_id)
    post.platform.faults.extend([ReplyRejected("AutoMod"), ReplyRejected("AutoMod")])
    async with post.running():
        await post.inbox.finish(
            row.id, Outcome(InboxState.ANSWERED, (Part("a"), Part("b"), Part("c")), edits=message_id)
        )
        post.delivery.wake()
        await post.platform.until(lambda: any("/again" in text for text in post.platform.texts("1")))
        await post.outbox.settled()
    notice, rest = post.platform.texts("1")
    assert "رفضت" in notice
    assert rest == "c"
    refused = [PartState.UNDELIVERABLE, PartState.UNDELIVERABLE]
    assert post.states == [PartState.SENT, *refused, PartState.SENT, PartState.SENT]


async def test_a_notice_that_the_platform_refuses_too_is_the_last_one() -> None:
    post = Post()
    post.platform.faults.extend([ReplyRejected("AutoMod"), ReplyRejected("AutoMod")])
    async with post.running():
        await post.ended("a")
        await post.platform.until(lambda: not post.platform.faults)
        await post.outbox.settled()
    assert post.platform.texts("1") == []
    assert post.states == [PartState.UNDELIVERABLE, PartState.UNDELIVERABLE]


async def test_a_reply_whose_status_message_was_deleted_is_sent_anew() -> None:
    post = Post()
    post.platform.faults.append(MessageGone("deleted"))
    async with post.running():
        await post.ended("a", edits="77")
        await post.platform.until(lambda: post.platform.texts("1") == ["a"])


async def test_what_was_found_gone_is_not_edited_again_when_what_takes_its_place_has_to_wait() -> None:
    """Each try costs the chat one of its messages: an edit first would leave none for the send, for ever."""
    post = Post()
    post.platform.faults.extend([MessageGone("deleted"), RateLimited(0.01), PlatformUnavailable("no route")])
    async with post.running():
        await post.ended("a", edits="77")
        await post.platform.until(lambda: post.platform.texts("1") == ["a"])
    assert [part.edits for part in post.platform.tries] == ["77", None, None, None]


async def test_a_send_that_a_crash_cut_short_is_not_repeated_blindly() -> None:
    """A4, A5: Telegram has no way to send a thing only once; its person is told."""
    post = Post()
    await post.ended("a")
    [part] = await post.outbox.due()
    await post.outbox.mark(part.id, PartState.SENDING)
    async with post.running():
        await post.ended("b", user="2")
        await post.platform.until(lambda: post.platform.texts("2") == ["b"])
        await post.outbox.settled()
    (notice,) = post.platform.texts("1")
    assert "/again" in notice
    assert post.states[0] is PartState.DELIVERY_UNKNOWN


async def test_where_repeating_is_safe_a_crash_costs_nothing() -> None:
    """A4, A5: Discord knows a nonce again."""
    post = Post(repeats_safely=True)
    await post.ended("a")
    [part] = await post.outbox.due()
    await post.outbox.mark(part.id, PartState.SENDING)
    async with post.running():
        await post.platform.until(lambda: post.platform.texts("1") == ["a"])


async def test_an_edit_that_a_crash_cut_short_is_repeated() -> None:
    post = Post()
    row = await post.accepted()
    status = await post.outbox.open_status(row.id, row.incoming.address, Part("…"))
    message_id = await post.platform.send(status)
    await post.outbox.status_sent(status.id, message_id)
    await post.inbox.finish(row.id, Outcome(InboxState.ANSWERED, (Part("a"),), edits=message_id))
    [part] = await post.outbox.due()
    await post.outbox.mark(part.id, PartState.SENDING)
    async with post.running():
        await post.platform.until(lambda: post.platform.texts("1") == ["a"])
    assert len(post.platform.ledger) == 1


async def test_what_took_the_place_of_a_deleted_message_is_not_sent_again_after_a_crash() -> None:
    """A4, A5: the edit could have been repeated, the message that was sent instead cannot."""
    post = Post()
    row = await post.accepted()
    await post.inbox.finish(row.id, Outcome(InboxState.ANSWERED, (Part("a"),), edits=MessageId("gone")))
    async with post.running():
        await post.platform.until(lambda: post.platform.texts("1") == ["a"])
        await post.outbox.settled()
    [part_id] = [part_id for part_id in post.store.parts if post.store.parts[part_id].part.part.text == "a"]
    # As if the process had died before it noted that the message was sent.
    owed = post.store.parts[part_id]
    post.store.parts[part_id] = replace(owed, part=replace(owed.part, state=PartState.SENDING))
    async with post.running():
        await post.platform.until(lambda: len(post.platform.texts("1")) == 2)
        await post.outbox.settled()
    assert post.platform.texts("1")[0] == "a"
    assert "/again" in post.platform.texts("1")[1]


async def test_a_failure_that_nobody_foresaw_leaves_no_part_behind_and_holds_up_nobody() -> None:
    post = Post()
    await post.ended("a")
    await post.ended("b")
    post.platform.faults.append(ValueError("a bug of a library"))  # type: ignore[arg-type]  # what none should raise
    async with post.running():
        await post.platform.until(lambda: len(post.platform.texts("1")) == 2)
        await post.outbox.settled()
    assert post.states[0] is PartState.DELIVERY_UNKNOWN
    assert "b" in post.platform.texts("1")


async def test_a_status_message_that_a_crash_cut_short_is_given_up() -> None:
    post = Post(repeats_safely=True)
    row = await post.accepted()
    await post.outbox.open_status(row.id, row.incoming.address, Part("…"))
    async with post.running():
        await post.ended("b", user="2")
        await post.platform.until(lambda: post.platform.texts("2") == ["b"])
    assert post.platform.texts("1") == []


async def test_parts_of_a_platform_that_is_off_stay_pending() -> None:
    post = Post()
    await post.ended("a")
    other = InMemoryPlatform("discord")
    delivery = Delivery(post.outbox, {other.name: other}, load_texts())
    task = asyncio.create_task(delivery.run())
    await post.outbox.asked()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert post.states == [PartState.PENDING]


async def test_a_part_in_hand_is_finished_before_delivery_ends() -> None:
    """Nobody knows otherwise whether it was delivered."""
    post = Post()
    post.platform.takes.clear()
    delivering = asyncio.create_task(post.delivery.run())
    await post.ended("a", "b")
    await post.platform.sending.wait()
    delivering.cancel()
    for _ in range(20):  # every chance to end too early
        await asyncio.sleep(0)
    assert not delivering.done()
    post.platform.takes.set()
    await asyncio.gather(delivering, return_exceptions=True)
    assert post.states == [PartState.SENT, PartState.PENDING]


async def test_a_reply_outlives_a_start_with_a_wrong_token() -> None:
    """The next start with the right one sends it."""
    post = Post()
    post.platform.faults.append(BadToken("unknown"))
    async with post.running():
        await post.ended("a")
        await post.outbox.until(PartState.FAILED_RETRYABLE)
    async with post.running():
        await post.outbox.until(PartState.SENT)
    assert post.platform.texts("1") == ["a"]


async def test_what_became_of_a_part_is_noted_however_long_the_database_takes() -> None:
    """It was delivered: nothing else knows that."""
    post = Post()
    post.platform.takes.clear()
    async with post.running():
        await post.ended("a")
        await post.platform.sending.wait()
        post.locked["mark"] = 1
        post.platform.takes.set()
        await post.outbox.until(PartState.SENT)
    assert post.platform.texts("1") == ["a"]
