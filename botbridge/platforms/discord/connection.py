"""Being on Discord: log in, tell the command menu, stay connected.

Covered: a login or connection that fails is tried again with growing pauses,
also where a token is refused that has worked in this process;
only a refusal that no waiting cures ends `run`; what is in hand then is handed
over before it returns, and sending stays possible until `aclose`; a new session
begins with what was missed before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence

import discord
import structlog

from botbridge.errors import BadToken, PlatformUnavailable, StorageError
from botbridge.faults import Faults
from botbridge.messages import BotId
from botbridge.platforms.discord.catch_up import catch_up
from botbridge.platforms.discord.commands import Interaction, SlashCommand, grow, sync_if_changed
from botbridge.platforms.discord.cursors import WRITE_EVERY_S, Cursors
from botbridge.platforms.discord.endpoint import point_at
from botbridge.platforms.discord.failures import FOREIGN, meaning_of
from botbridge.platforms.discord.ingest import IngestClient
from botbridge.platforms.discord.reception import Chosen, Ignore, Reception
from botbridge.ports import Intake, State
from botbridge.tasks import kept_going

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two tries to be on Discord; a gateway that was lost and is not back after the longest is begun anew."""

LOOKS_PER_TIMEOUT = 4
LAST_WORDS_S = 5.0
"""How long the messages in hand may take to be committed when we stop."""

TROUBLE_CHARS = 200
"""Of what Discord or a proxy before it answers, which may be a whole page."""

NO_MESSAGE_CONTENT = (
    "Discord does not let this bot read all messages: switch on the Message Content Intent on the Bot page of "
    "https://discord.com/developers/applications or unset BOTBRIDGE_DISCORD__MESSAGE_CONTENT. Going on without it: "
    "mentions, replies with a ping and private messages are read."
)

FINAL = (discord.LoginFailure, discord.PrivilegedIntentsRequired, discord.ConnectionClosed)
"""After these discord.py must not come back; it does so by itself after all others.

Source: https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes
"""

log = structlog.get_logger(__name__)


class Connection:
    """The bot's presence on Discord; arguments as of `DiscordPlatform`."""

    def __init__(
        self,
        token: str,
        *,
        state: State,
        ignore: Ignore,
        commands: Sequence[SlashCommand],
        message_content: bool,
        api_base_url: str | None,
        gateway_url: str | None,
        timeout_s: float,
        heartbeat_timeout_s: float,
        longest_pause_s: float,
        faults: Faults,
    ) -> None:
        self._token = token
        self._state = state
        self._faults = faults
        self._cursors = Cursors(state)
        self._reception = Reception(ignore, self._cursors, faults)
        self._catching_up: asyncio.Task[None] | None = None
        self._commands = commands
        self._message_content = message_content
        self._urls = api_base_url, gateway_url
        self._timeout_s = timeout_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._longest_pause_s = longest_pause_s
        self._client: IngestClient | None = None
        self._latest: IngestClient | None = None
        """The last that was logged in. What it brought is taken in while there is no other."""
        self._trouble = ""

    @property
    def is_on(self) -> bool:
        """True while the gateway lets events through."""
        if self._client is None or self._client.is_closed():
            return False
        # `is_ready` says so only when every server has been listed, seconds after messages come in.
        gateway = self._client.ws
        is_open = gateway is not None and gateway.open and gateway.session_id is not None
        return is_open and not self._client.is_zombie

    @property
    def trouble(self) -> str:
        """Why the gateway lets no events through, for the operator; empty while it does, or where nobody knows."""
        return "" if self.is_on else self._trouble

    @property
    def heartbeat_age_s(self) -> float | None:
        """Seconds since the gateway last acknowledged a heartbeat; None while there is no gateway."""
        return None if self._client is None else self._client.heartbeat_age_s

    @property
    def client(self) -> discord.Client:
        """The client, logged in.

        Raises:
            PlatformUnavailable: we are not logged in.
        """
        if self._client is None or self._client.is_closed():
            message = "not logged in to Discord"
            raise PlatformUnavailable(message)
        return self._client

    async def acknowledged(self, handle: str) -> None:
        """Return once a command that is being taken in was acknowledged: only then can it be answered."""
        await self._reception.acknowledged(handle)

    async def run(self, intake: Intake) -> None:
        """Take messages in until cancelled.

        Raises:
            BadToken: Discord does not let us in, and trying again will not help.
        """
        point_at(*self._urls)
        receiving = asyncio.create_task(self._reception.run(intake, self._latest_client), name="discord-reception")
        writing = _begin(self._cursors.run, "discord-cursors", again_s=WRITE_EVERY_S)
        watching = _begin(self._leave_zombies, "discord-watch")
        try:
            await self._stay()
        finally:
            self._stop_catching_up()
            self._reception.release(())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    if self._client is not None:
                        await self._client.hang_up()
            self._reception.take(None)
            await asyncio.wait([receiving], timeout=LAST_WORDS_S)
            for task in (receiving, writing, watching):
                task.cancel()
            try:
                await self._cursors.write()
            except Exception:
                # To raise here would hide that this was cancelled, and whoever stops the service would wait for ever.
                log.exception("where the channels were read to is not stored, what came last is looked through again")

    async def aclose(self) -> None:
        """Leave Discord; nothing can be sent afterwards."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _latest_client(self) -> discord.Client:
        assert self._latest is not None
        return self._latest

    async def _leave_zombies(self) -> None:
        """Hang up on a gateway that no longer answers; discord.py then resumes the session at another."""
        while True:
            await asyncio.sleep(self._heartbeat_timeout_s / LOOKS_PER_TIMEOUT)
            client = self._client
            if client is not None and client.is_zombie and client.ws.open:
                log.warning("discord gateway acknowledges nothing, reconnecting", age_s=client.heartbeat_age_s)
                await client.ws.close(code=4000)

    async def _stay(self) -> None:
        first_s = pause_s = min(FIRST_PAUSE_S, self._longest_pause_s)
        while True:
            if await self._once():
                pause_s = first_s
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads reconnects, no secret
            pause_s = min(2 * pause_s, self._longest_pause_s)

    async def _once(self) -> bool:
        """Log in and stay as long as discord.py can; whether we were connected at the end."""
        # It goes through the client that is left now, and nobody knows when the next session begins it anew.
        self._stop_catching_up()
        self._reception.release(())
        await self.aclose()
        client = IngestClient(
            self._reception.take,
            message_content=self._message_content,
            begun=self._session_begun,
            heartbeat_timeout_s=self._heartbeat_timeout_s,
            longest_pause_s=self._longest_pause_s,
        )
        try:
            await self._log_in(client)
            self._trouble = "not connected: logged in, but the gateway is not open"
            await client.stay()
        except FINAL as error:
            if self._latest is not None and isinstance(error, discord.LoginFailure):
                # discord.py makes this of any 401; when the token itself is gone, the gateway says so, too.
                log.error("discord refuses a token that has worked, trying again")
                return False
            if not (self._message_content and isinstance(error, discord.PrivilegedIntentsRequired)):
                raise BadToken(last_words(error)) from error
            log.error(NO_MESSAGE_CONTENT)
            self._message_content = False
        except StorageError as error:
            self._trouble = f"not connected: it waits for the database ({error})"
            log.error("database not usable, discord waits for it", error=str(error))
        except Exception as error:  # noqa: BLE001 - discord.py lets out whatever a broken answer caused in it
            self._trouble = f"not connected: {' '.join(str(meaning_of(error)).split())[:TROUBLE_CHARS]}"
            log.warning("discord not reachable, trying again", error=repr(error))
        finally:
            if self._client is not client:
                await client.close()
        return client.is_ready()

    def _session_begun(self) -> None:
        """Fetch what no event will tell; what arrives in the meantime stands behind it."""
        self._cursors.hold()
        self._reception.hold()
        self._stop_catching_up()
        if self._client is not None:
            self._catching_up = asyncio.create_task(self._catch_up(self._client), name="discord-catch-up")

    def _stop_catching_up(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def _catch_up(self, client: IngestClient) -> None:
        try:
            await catch_up(client, self._cursors, self._reception.release)
        except Exception:
            log.exception("missed discord messages cannot be found")
            self._reception.release(())

    async def _log_in(self, client: IngestClient) -> None:
        async def chosen(
            interaction: Interaction, words: tuple[str, ...], person: discord.User | discord.Member | None
        ) -> None:
            self._reception.take(Chosen(interaction, words, person))

        tree = grow(client, self._commands, chosen)
        async with asyncio.timeout(self._timeout_s):
            await client.login(self._token)
        assert client.user is not None
        await self._cursors.load(BotId(str(client.user.id)))
        self._client = self._latest = client
        try:
            await sync_if_changed(tree, self._state, self._faults)
        except (*FOREIGN, StorageError) as error:
            log.error("slash commands not registered", error=str(error))


def _begin(work: Callable[[], Awaitable[None]], name: str, *, again_s: float = 1.0) -> asyncio.Task[None]:
    return asyncio.create_task(kept_going(work, name, again_s=again_s), name=name)


def last_words(error: Exception) -> str:
    """Why Discord does not let us in, for the operator."""
    match error:
        case discord.LoginFailure() | discord.ConnectionClosed(code=4004):
            return "Discord does not know the token in BOTBRIDGE_DISCORD__TOKEN."
        case discord.PrivilegedIntentsRequired():
            return "Discord refuses what this bot asks to hear (close code 4014)."
        case discord.ConnectionClosed():
            return f"Discord closed the connection for good (close code {error.code})."
        case _:
            return str(error)
