"""Hands over what arrived from Discord, one after the other.

Covered: the order of the gateway, with what was missed before it; a command is
acknowledged after it is stored and never before; a database that is away is
waited for; one bad event costs no other; what is still here when the process
is killed lies behind the cursors, and is fetched by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

import discord
import structlog

from botbridge.errors import PlatformError, StorageError
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.messages import Address, BotId, IncomingMessage, MessageId
from botbridge.platforms.discord.answers import handle_of
from botbridge.platforms.discord.catch_up import CaughtUp, Missed
from botbridge.platforms.discord.commands import Interaction
from botbridge.platforms.discord.cursors import Cursors
from botbridge.platforms.discord.failures import FOREIGN, asked_until_answered
from botbridge.platforms.discord.ingest import Unreadable, facts_of, person_of, place_of
from botbridge.platforms.discord.translate import Place, to_command, to_incoming
from botbridge.ports import Intake

STORAGE_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""How long a message waits for the database between two tries; the last counts for all that follow."""

LOOK_UP_S = 10.0
"""How long the thread of a message is looked for; all others wait meanwhile."""

FIRST_RESPONSE_S = 3.0
"""A command that is acknowledged later is void.

Source: https://discord.com/developers/docs/interactions/receiving-and-responding
"""

ADDRESSED_EVENTS = ("MESSAGE_CREATE", "INTERACTION_CREATE")
"""Of these, what cannot be read is stored; of all others (a new channel, say) it is only logged."""

Ignore = Callable[[Address, MessageId, bytes, str], Awaitable[None]]
"""Returns once what could not be understood is stored: address, id, bytes, reason."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A command that somebody chose, with what discord.py made of it."""

    interaction: Interaction
    words: tuple[str, ...]
    person: discord.User | discord.Member | None


Arrival = discord.Message | Chosen | Unreadable | Missed | CaughtUp


class Reception:
    """Takes in what arrives; `run` hands it over.

    Args:
        ignore: Stores a message that cannot be understood.
        cursors: Are moved by what is handed over.
        faults: What happens before and after a command is acknowledged.
    """

    def __init__(self, ignore: Ignore, cursors: Cursors, faults: Faults = NO_FAULTS) -> None:
        self._faults = faults
        self._ignore = ignore
        self._cursors = cursors
        self._held: list[discord.Message] | None = None
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._unacknowledged: dict[str, asyncio.Event] = {}

    def take(self, arrival: Arrival | None) -> None:
        """Take something in; None lets `run` end once all before it is handed over."""
        if isinstance(arrival, discord.Message) and self._held is not None:
            self._held.append(arrival)
            return
        if isinstance(arrival, Chosen):
            self._unacknowledged[handle_of(arrival.interaction)] = asyncio.Event()
        self._arrivals.put_nowait(arrival)

    def hold(self) -> None:
        """Keep back the messages that arrive until `release`; commands, which have 3 s, are not kept."""
        self._held = self._held or []

    def release(self, missed: Sequence[Missed | CaughtUp]) -> None:
        """Take in what was missed, and behind it what was kept back."""
        held, self._held = self._held or [], None
        arrivals: list[Arrival] = [*missed, *held]
        for arrival in arrivals:
            self._arrivals.put_nowait(arrival)

    async def acknowledged(self, handle: str) -> None:
        """Return once a command that is being taken in was acknowledged: only then can it be answered."""
        if (pending := self._unacknowledged.get(handle)) is not None:
            await pending.wait()

    async def run(self, intake: Intake, client: Callable[[], discord.Client]) -> None:
        """Hand over everything in order.

        Args:
            client: The client that was logged in last, though it may have been closed since.
        """
        while (arrived := await self._arrivals.get()) is not None:
            try:
                match arrived:
                    case Chosen():
                        await self._command(arrived, intake, client())
                    case Missed():
                        await self._missed(arrived, intake, client())
                    case CaughtUp():
                        self._cursors.release(arrived.place, arrived.holds)
                    case Unreadable():
                        await self._put_aside(arrived, client())
                    case _:
                        place = await _whereabouts(arrived.channel, client())
                        await self._message(arrived, place, intake, client())
            except Exception:
                log.exception("discord event not taken in", kind=type(arrived).__name__)

    async def _command(self, chosen: Chosen, intake: Intake, client: discord.Client) -> None:
        interaction, handle = chosen.interaction, handle_of(chosen.interaction)
        try:
            place = await _whereabouts(interaction.channel, client)
            if place is None:
                return
            incoming = to_command(
                bot_id=_bot_id(client),
                place=place,
                interaction_id=MessageId(str(interaction.id)),
                interaction=handle,
                sender=person_of(interaction.user, interaction.locale.value),
                words=chosen.words,
                target=person_of(chosen.person) if chosen.person is not None else None,
                sent_at=interaction.created_at,
            )
            # Commands overtake messages and are in no history: a cursor that moved with them would pass over some.
            await self._cursors.meet(place, interaction.id)
            await _commit(incoming, intake)
            with crossing(self._faults, Boundary.ACKNOWLEDGE):
                async with asyncio.timeout(FIRST_RESPONSE_S):
                    await interaction.response.defer(ephemeral=True)
        except FOREIGN as error:
            # Too late, or acknowledged already: the answer will find out which.
            log.warning("discord command not acknowledged", id=interaction.id, error=repr(error))
        finally:
            if (pending := self._unacknowledged.pop(handle, None)) is not None:
                pending.set()

    async def _missed(self, missed: Missed, intake: Intake, client: discord.Client) -> None:
        if isinstance(missed.message, Unreadable):
            await self._put_aside(missed.message, client)
        else:
            await self._message(missed.message, missed.place, intake, client)

    async def _message(
        self, message: discord.Message, place: Place | None, intake: Intake, client: discord.Client
    ) -> None:
        if place is None:
            return
        incoming = to_incoming(facts_of(message, place), _bot_id(client))
        if incoming is not None:
            await self._cursors.meet(place, message.id)
            await _commit(incoming, intake)
        await self._cursors.advance(place, message.id, addressed=incoming is not None)

    async def _put_aside(self, unreadable: Unreadable, client: discord.Client) -> None:
        log.error("unreadable discord event skipped", event_name=unreadable.event, reason=unreadable.reason)
        if unreadable.event in ADDRESSED_EVENTS:
            await self._ignore(*unreadable.address(_bot_id(client)), unreadable.raw, unreadable.reason)


async def _whereabouts(channel: object, client: discord.Client) -> Place | None:
    """Where a message was written; a thread that discord.py has not met is asked for."""
    place = place_of(channel)
    if place is None and isinstance(channel, discord.PartialMessageable):
        try:
            async with asyncio.timeout(LOOK_UP_S):
                place = place_of(await asked_until_answered(partial(client.fetch_channel, channel.id), LOOK_UP_S))
        except (PlatformError, TimeoutError) as error:
            log.error("discord message passed over, its thread is not found", thread_id=channel.id, error=repr(error))
    return place


def _bot_id(client: discord.Client) -> BotId:
    assert client.user is not None
    return BotId(str(client.user.id))


async def _commit(incoming: IncomingMessage, intake: Intake) -> None:
    """Hand a message over; Discord cannot be told to keep it, so a database that is away is waited for."""
    for pause_s in chain(STORAGE_PAUSES_S, repeat(STORAGE_PAUSES_S[-1])):
        try:
            await intake(incoming)
        except StorageError as error:
            log.error("database not usable, message waits", message_id=incoming.message_id, error=str(error))
            await asyncio.sleep(pause_s)
        else:
            return
