"""What a chat sees of an answer in the making."""

from __future__ import annotations

import asyncio

import pytest

from botbridge.conversation.live import Live
from botbridge.conversation.scope import key_for
from botbridge.errors import DeliveryUnknown, PlatformError, PlatformUnavailable, RateLimited
from botbridge.messages import InboxId, MessageId, Part, PartState
from botbridge.storage.memory import InMemoryInbox, InMemoryOutbox
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.in_memory_platform import InMemoryPlatform


async def live_of(platform: InMemoryPlatform, store: InMemoryStore | None = None) -> Live:
    """The progress of the first message."""
    store, incoming = store or InMemoryStore(), platform.message("hello")
    row = await InMemoryInbox(store).accept(incoming, key_for(incoming, {}))
    assert row is not None
    return Live(row, platform, InMemoryOutbox(store), placeholder="…", shut_out=lambda: None)


async def show_each(live: Live, *texts: str) -> None:
    """Show one after the other, each with more time than a send takes here."""
    for text in texts:
        live.show(text)
        for _ in range(20):
            await asyncio.sleep(0)


async def test_an_answer_that_is_there_at_once_is_not_announced() -> None:
    platform = InMemoryPlatform(edit_interval_s=1.0)
    live = await live_of(platform)
    live.typing()
    for _ in range(3):  # begins what was only planned
        await asyncio.sleep(0)
    await live.close()
    assert platform.typed == 0


async def test_where_a_sign_costs_nothing_it_is_given_at_once() -> None:
    platform = InMemoryPlatform()
    live = await live_of(platform)
    live.typing()
    for _ in range(3):
        await asyncio.sleep(0)
    await live.close()
    assert platform.typed > 0


async def test_one_that_takes_longer_is() -> None:
    platform = InMemoryPlatform(edit_interval_s=1.0)
    live = await live_of(platform)
    live.typing()
    await platform.until(lambda: platform.typed > 0)
    await live.close()


async def test_who_is_cancelled_while_the_sign_of_typing_ends_is_cancelled() -> None:
    """As the service is at its end: whoever went on would begin what nobody stops any more."""
    live = await live_of(InMemoryPlatform())
    live.typing()
    for _ in range(3):
        await asyncio.sleep(0)
    closing = asyncio.create_task(live.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_of_a_status_message_that_may_have_arrived_no_other_is_sent() -> None:
    platform, store = InMemoryPlatform(), InMemoryStore()
    platform.faults.append(DeliveryUnknown("timed out"))
    live = await live_of(platform, store)
    await show_each(live, "place 3", "place 2", "place 1")
    assert await live.close() is None
    assert len(platform.tries) == 1
    assert [owed.part.state for owed in store.parts.values()] == [PartState.UNDELIVERABLE]


@pytest.mark.parametrize("error", [PlatformUnavailable("refused"), RateLimited(0.01)], ids=["refused", "limited"])
async def test_each_try_of_a_status_message_is_the_same_part(error: PlatformError) -> None:
    """By that Discord knows it for the same message, should it have taken the first."""
    platform, store = InMemoryPlatform(repeats_safely=True), InMemoryStore()
    platform.faults.extend([error, error])
    live = await live_of(platform, store)
    await show_each(live, "place 3", "place 2", "place 1")
    await platform.until(lambda: platform.texts("1") == ["place 1"])
    assert await live.close() == platform.ledger[0].message_id
    assert len({part.id for part in platform.tries}) == 1
    assert [owed.part.state for owed in store.parts.values()] == [PartState.SENT]


async def test_a_second_try_of_a_status_message_knows_what_is_anothers() -> None:
    """Two people who wait in one channel are told so in the same word."""
    platform, store = InMemoryPlatform(repeats_safely=True), InMemoryStore()
    live, outbox = await live_of(platform, store), InMemoryOutbox(store)
    other = await outbox.open_status(InboxId(1), platform.message("", user="1").address, Part("…"))
    await outbox.status_sent(other.id, MessageId("7"))
    platform.faults.append(PlatformUnavailable("no answer"))
    await show_each(live, "place 2", "place 1")
    await live.close()
    assert [part.others for part in platform.tries] == [frozenset(), {"7"}]


async def test_a_status_message_that_never_got_through_is_settled_in_the_end() -> None:
    platform, store = InMemoryPlatform(), InMemoryStore()
    platform.faults.append(PlatformUnavailable("refused"))
    live = await live_of(platform, store)
    live.show("place 1")
    await platform.until(lambda: len(platform.tries) == 1)
    assert await live.close() is None
    assert [owed.part.state for owed in store.parts.values()] == [PartState.UNDELIVERABLE]
