"""The same message again, a million messages later, and one that comes too late: the key is the message."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.fakes.telegram.client import FakeTelegram
from tests.faults.dying import nothing_open
from tests.journey.conftest import NewBridge
from tests.journey.test_webhook import at_webhook, bring, free_port
from tests.journey.town import SARA, says

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OTHERS = 1_000_000
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO inbox (platform, bot_id, chat_id, chat_kind, message_id, kind, conversation_id, identity_id, epoch,
                   state, attempts, detail, accepted_at, finished_at)
SELECT platform, bot_id, chat_id, chat_kind, 1000 + i, kind, conversation_id, identity_id, epoch,
       state, attempts, detail, accepted_at, finished_at FROM inbox, n WHERE inbox.id = 1
"""


def written(message_id: int, text: str) -> dict[str, Any]:
    return {"message_id": message_id, "date": 1, "chat": SARA.chat.as_json, "from": SARA.as_json, "text": text}


async def test_a_message_that_comes_again_after_a_million_others_is_known_and_a_late_one_is_not(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """D1: at once, after a restart, behind and before ids of any size; a watermark would refuse the late one."""
    port = free_port()
    bridge = at_webhook(new_bridge, port)
    await bridge.start()
    await telegram.say(SARA, "hello")
    await telegram.wait_for_reply(SARA, until=says("hello"))
    once = written(900, "once")
    await asyncio.gather(*(bring(port, {"update_id": 77, "message": once}) for _ in range(8)))
    await telegram.wait_for_reply(SARA, until=says("once"))
    await bridge.until(lambda: nothing_open(bridge))
    assert await bridge.terminate() == 0
    with closing(sqlite3.connect(bridge.database)) as connection, connection:
        connection.execute(FILL, (OTHERS,))
    await bridge.start()
    await telegram.say(SARA, "back again")
    await telegram.wait_for_reply(SARA, until=says("back again"))
    for update_id in (2_000_000, 3):
        again = (bring(port, {"update_id": update_id, "message": once}) for _ in range(8))
        assert await asyncio.gather(*again) == [200] * 8
    assert await bring(port, {"update_id": 4, "message": written(901, "late")}) == 200
    await telegram.wait_for_reply(SARA, until=says("late"))
    await bridge.until(lambda: nothing_open(bridge))
    assert [sent.text for sent in (await telegram.ledger()).to(SARA)] == ["hello", "once", "back again", "late"]
    assert bridge.rows("SELECT count(*) AS rows FROM inbox") == [{"rows": OTHERS + 4}]
