"""What the database holds and nobody works on is told from what is only on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from botbridge.conversation.scope import key_for
from botbridge.conversation.sweep import Sweep
from botbridge.messages import InboxId, InboxRow
from botbridge.storage.memory import InMemoryInbox
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.locked import Locked


async def stored(inbox: InMemoryInbox) -> InboxRow:
    """A message that was committed."""
    incoming = InMemoryPlatform().message("hello")
    row = await inbox.accept(incoming, key_for(incoming, {}))
    assert row is not None
    return row


@dataclass
class ChangingHands:
    """An inbox; what is in somebody's hands changes while it is read."""

    inbox: InMemoryInbox
    before: frozenset[InboxId] = frozenset()
    after: frozenset[InboxId] = frozenset()
    is_read: bool = False

    async def unfinished(self) -> Sequence[InboxRow]:
        self.is_read = True
        return await self.inbox.unfinished()

    def in_hand(self) -> frozenset[InboxId]:
        return self.after if self.is_read else self.before


async def test_a_message_is_lost_when_two_looks_in_a_row_miss_it() -> None:
    inbox = InMemoryInbox(InMemoryStore())
    row = await stored(inbox)
    sweep = Sweep(inbox, frozenset[InboxId])
    assert await sweep.look() == []
    assert await sweep.look() == [row]


@pytest.mark.parametrize("held", ["before", "after"], ids=["ends meanwhile", "is begun with meanwhile"])
async def test_what_changes_hands_while_the_database_is_read_is_not_lost(held: str) -> None:
    inbox = InMemoryInbox(InMemoryStore())
    row = await stored(inbox)
    hands = ChangingHands(inbox, **{held: frozenset({row.id})})
    sweep = Sweep(hands, hands.in_hand)  # type: ignore[arg-type]
    for _ in range(2):
        hands.is_read = False
        assert await sweep.look() == []


async def test_while_the_database_cannot_be_read_nothing_is_lost() -> None:
    inbox = InMemoryInbox(InMemoryStore())
    await stored(inbox)
    assert await Sweep(Locked(inbox, {"unfinished": 1}), frozenset[InboxId]).look() == []
