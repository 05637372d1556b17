"""What was said to the bot while it had no session, fetched from the channels' histories.

Discord replays missed events only when a session is resumed. After a new one,
each channel that has a cursor is asked for what follows it, within bounds.
Covered: servers' channels, threads and private chats in which the bot was
spoken to before; a channel that cannot be read costs no other.
Not covered: slash commands, which are in no history; the first words in a
channel or of a person; what lies beyond the bounds, which is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from typing import TypeVar

import discord
import structlog

from botbridge.messages import BotId
from botbridge.platforms.discord.cursors import Cursor, Cursors
from botbridge.platforms.discord.failures import FOREIGN
from botbridge.platforms.discord.ingest import IngestClient, Unreadable, facts_of
from botbridge.platforms.discord.translate import Place, channel_of, to_incoming

MISSED_PER_CHANNEL = 50
MISSED_IN_ALL = 100
MISSED_AGE_S = 30 * 60.0
CATCH_UP_S = 20.0
"""How many messages are answered late, how old they may be, and how long the search for them may take.

Source: the bounds that other bots chose, typeclaw#1434 and sutando#1047.
"""

PAGE_MESSAGES = 100
"""The most that one call gives; no second page is asked for.

Source: https://discord.com/developers/docs/resources/message#get-channel-messages
"""

CALLS_AT_ONCE = 5

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Missed:
    """A message, or what cannot be read of one, that no event told us of."""

    message: discord.Message | Unreadable
    place: Place
    message_id: int


async def missed_since(client: IngestClient, cursors: Cursors) -> list[Missed]:
    """What was said to the bot after each cursor, within the bounds, oldest first; takes 20 s at most."""
    now, found = datetime.now(UTC), list[list[Missed]]()
    turns = asyncio.Semaphore(CALLS_AT_ONCE)

    async def look(cursor: Cursor) -> None:
        page: list[Missed] = []
        found.append(page)
        async with turns:
            page += await _said_after(client, cursor, now, cursors)

    known = cursors.newest_use_first()
    try:
        async with asyncio.timeout(CATCH_UP_S), asyncio.TaskGroup() as looking:
            for cursor in known:
                looking.create_task(look(cursor))
    except TimeoutError:
        log.error("the search for missed discord messages took too long, some may be missing", channels=len(known))
    chosen = bounded(found, MISSED_PER_CHANNEL, MISSED_IN_ALL)
    if (left := sum(len(page) for page in found) - len(chosen)) > 0:
        log.error("more discord messages were missed than are answered late", left_out=left)
    if chosen:
        log.info("discord messages were missed and are answered now", messages=len(chosen))
    return sorted(chosen, key=lambda missed: missed.message_id)


def after_id(cursor_id: int, now: datetime) -> int:
    """The id behind which a channel is read: the cursor, or the oldest id that is not too old.

    >>> after_id(0, datetime(2015, 1, 1, 0, 30, 1, tzinfo=UTC)) >> 22
    1000
    """
    oldest = discord.utils.time_snowflake(now - timedelta(seconds=MISSED_AGE_S))
    return max(cursor_id, oldest)


def bounded(pages: Sequence[Sequence[T]], per_page: int, in_all: int) -> list[T]:
    """The first of each page, then the second of each, and so on, up to both bounds: no channel starves another.

    >>> bounded([["a", "b", "c"], ["d"]], 2, 3)
    ['a', 'd', 'b']
    """
    columns = zip_longest(*(tuple((one,) for one in page[:per_page]) for page in pages), fillvalue=())
    return [one[0] for one in chain.from_iterable(columns) if one][:in_all]


async def _said_after(client: IngestClient, cursor: Cursor, now: datetime, cursors: Cursors) -> list[Missed]:
    assert client.user is not None
    bot_id, channel_id = BotId(str(client.user.id)), int(channel_of(cursor.place))
    try:
        page = await client.written_after(channel_id, after_id(cursor.message_id, now), PAGE_MESSAGES)
    except (discord.Forbidden, discord.NotFound):
        cursors.forget(cursor.place)
        return []
    except FOREIGN as error:
        log.error("missed messages of a discord channel cannot be read", channel_id=channel_id, error=repr(error))
        return []
    if len(page) == PAGE_MESSAGES:
        log.error("much was written in a discord channel, later messages may be missing", channel_id=channel_id)
    return [
        Missed(message, cursor.place, message_id)
        for message_id, message in page
        if isinstance(message, Unreadable) or to_incoming(facts_of(message, cursor.place), bot_id) is not None
    ]
