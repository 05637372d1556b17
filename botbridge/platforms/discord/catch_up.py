"""What was said to the bot while it had no session, fetched from the channels' histories.

Discord replays missed events only when a session is resumed. After a new one,
each channel that has a cursor is asked for what follows it, within bounds.
Covered: servers' channels, threads and private chats in which the bot was
spoken to before; a channel that cannot be read costs no other; one that cannot be
read now is asked again, and its cursor stands still until it was read.
Not covered: slash commands, which are in no history; the first words in a
channel or of a person; what lies beyond the bounds, which is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from typing import TypeVar

import discord
import structlog

from botbridge.errors import ChatClosed, PlatformError
from botbridge.messages import BotId
from botbridge.platforms.discord.cursors import Cursor, Cursors
from botbridge.platforms.discord.failures import asked_until_answered
from botbridge.platforms.discord.ingest import IngestClient, Unreadable, facts_of
from botbridge.platforms.discord.translate import Place, channel_of, to_incoming

MISSED_PER_CHANNEL = 50
MISSED_IN_ALL = 100
MISSED_AGE_S = 30 * 60.0
CATCH_UP_S = 20.0
"""How many messages are answered late, how old they may be, and how long what comes meanwhile waits for them.

Source: the bounds that other bots chose, typeclaw#1434 and sutando#1047.
"""

PAGE_MESSAGES = 100
"""The most that one call gives; no second page is asked for.

Source: https://discord.com/developers/docs/resources/message#get-channel-messages
"""

CALLS_AT_ONCE = 5
SERVERS_S = 10.0
"""How long a new session may take to be told of its servers; of those that come later no role is known."""

READ_TIMEOUT_S = 60.0
"""For one try; discord.py waits out limits of up to 30 s within it."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Missed:
    """A message, or what cannot be read of one, that no event told us of."""

    message: discord.Message | Unreadable
    place: Place
    message_id: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Stands before what was missed in a channel: from here on its cursor may move, see `Cursors.release`."""

    place: Place
    holds: int


@dataclass(frozen=True, slots=True)
class Page:
    """What was missed in a channel, oldest first."""

    place: Place
    missed: Sequence[Missed] = ()


async def catch_up(
    client: IngestClient,
    cursors: Cursors,
    hand_over: Callable[[Sequence[Missed | CaughtUp]], None],
    *,
    wait_s: float = CATCH_UP_S,
    servers_s: float = SERVERS_S,
) -> None:
    """Fetch what was said to the bot after each cursor, within the bounds.

    Args:
        hand_over: Is given what was found, oldest first: all of it that can be read
            in time at once, and then each other channel's when it was read.
        wait_s: How long that first time is waited for at most, in seconds.
        servers_s: How long it is waited at most that the session is told of its servers, in seconds.
    """
    left, holds = MISSED_IN_ALL, cursors.holds
    turns = asyncio.Semaphore(CALLS_AT_ONCE)

    def found(pages: Sequence[Page]) -> None:
        nonlocal left
        chosen = bounded([page.missed for page in pages], MISSED_PER_CHANNEL, left)
        left -= len(chosen)
        if (left_out := sum(len(page.missed) for page in pages) - len(chosen)) > 0:
            log.error("more discord messages were missed than are answered late", left_out=left_out)
        if chosen:
            log.info("discord messages were missed and are answered now", messages=len(chosen))
        read = [CaughtUp(page.place, holds) for page in pages]
        hand_over([*read, *sorted(chosen, key=lambda missed: missed.message_id)])

    with suppress(TimeoutError):
        async with asyncio.timeout(servers_s):
            await client.servers_told()
    async with asyncio.TaskGroup() as looking:
        looks = [looking.create_task(_look(client, cursor, cursors, turns)) for cursor in cursors.newest_use_first()]
        late = (await asyncio.wait(looks, timeout=wait_s))[1] if looks else set[asyncio.Task[Page | None]]()
        found([page for look in looks if look not in late and (page := look.result()) is not None])
        if late:
            log.error("discord channels cannot be read yet, what was missed there comes later", channels=len(late))
        for look in asyncio.as_completed(late):
            if (page := await look) is not None:
                found([page])


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


async def _look(client: IngestClient, cursor: Cursor, cursors: Cursors, turns: asyncio.Semaphore) -> Page | None:
    """What was missed in a channel; None when nobody knows, so that its cursor has to stay where it is."""
    channel_id = channel_of(cursor.place)

    async def read() -> list[tuple[int, discord.Message | Unreadable]]:
        async with turns:
            after = after_id(cursor.message_id, datetime.now(UTC))
            return await client.written_after(cursor.place, after, PAGE_MESSAGES)

    try:
        async with asyncio.timeout(MISSED_AGE_S):
            page = await asked_until_answered(read, READ_TIMEOUT_S)
        return Page(cursor.place, _for_the_bot(page, cursor.place, client))
    except (PlatformError, TimeoutError) as error:
        if isinstance(error, ChatClosed):
            cursors.forget(cursor.place)
        else:
            log.error("missed messages of a discord channel cannot be read", channel_id=channel_id, error=repr(error))
        return Page(cursor.place)
    except Exception:
        log.exception("missed messages of a discord channel cannot be found", channel_id=channel_id)
        return None


def _for_the_bot(
    page: Sequence[tuple[int, discord.Message | Unreadable]], place: Place, client: IngestClient
) -> list[Missed]:
    assert client.user is not None
    bot_id = BotId(str(client.user.id))
    if len(page) == PAGE_MESSAGES:
        log.error("much was written in a discord channel, later messages may be missing", channel_id=channel_of(place))
    return [
        Missed(message, place, message_id)
        for message_id, message in page
        if isinstance(message, Unreadable) or to_incoming(facts_of(message, place), bot_id) is not None
    ]
