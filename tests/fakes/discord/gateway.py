"""The fake Discord's gateway: hello, identify, heartbeats, dispatch, resume.

Source: https://discord.com/developers/docs/events/gateway. Covered: close codes
4001 to 4005, 4007, 4014; op 7 and 9; replay of what was missed; intents; content
that is withheld without the message content intent; zlib-stream. Not covered:
shards, presence, voice, and the timeout of clients that stop their heartbeat.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMsgType, web

from tests.fakes.discord import payloads
from tests.fakes.discord.ledger import Ledger
from tests.fakes.discord.world import Channel, Json, World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11
HEARTBEAT_INTERVAL_MS = 41_250
"""What Discord says at this time; a test may want it shorter."""

GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 0, 1 << 9, 1 << 12, 1 << 15
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT

Upset = Literal["drop", "reconnect", "invalidate", "close", "mute", "deafen", "go_away", "come_back"]


class Connection:
    """One WebSocket, compressed if the client asked for it."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.socket = web.WebSocketResponse(autoping=True)
        self._zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None

    async def send(self, op: int, data: Any = None, *, sequence: int | None = None, event: str | None = None) -> None:
        """Send one payload; a connection that is already gone takes it silently, as a cable would."""
        text = json.dumps({"op": op, "d": data, "s": sequence, "t": event})
        try:
            if self._zlib is None:
                await self.socket.send_str(text)
            else:
                await self.socket.send_bytes(self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH))
        except ConnectionError:
            return

    def cut(self) -> None:
        """Break the TCP connection without a closing word."""
        if self._request.transport is not None:
            self._request.transport.abort()


@dataclass
class Session:
    """What a client identified for; it outlives its connection, so that it can be resumed."""

    id: str
    intents: int
    connection: Connection | None
    events: list[tuple[str, Any]] = field(default_factory=list)


class Gateway:
    """All sessions of the bot; `dispatch` reaches each that asked for the event."""

    def __init__(self, world: World, ledger: Ledger, *, token: str, granted_intents: int) -> None:
        self._world = world
        self._ledger = ledger
        self._token = token
        self.granted_intents = granted_intents
        self.heartbeat_interval_ms = HEARTBEAT_INTERVAL_MS
        self.guilds_after_s = 0.0
        self._unacknowledging: set[Connection] = set()
        self._sessions: dict[str, Session] = {}
        self._close_next_with: int | None = None
        self._is_away = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Hold one client's connection."""
        if self._is_away:
            self._ledger.add("turned_away")
            return web.Response(status=503)
        connection = Connection(request)
        await connection.socket.prepare(request)
        await connection.send(HELLO, {"heartbeat_interval": self.heartbeat_interval_ms})
        session: Session | None = None
        async for frame in connection.socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            try:
                payload = json.loads(frame.data)
                op, data = payload["op"], payload["d"]
            except (ValueError, KeyError, TypeError):
                await connection.socket.close(code=4002, message=b"Decode error.")
                break
            if op == HEARTBEAT:
                if connection not in self._unacknowledging:
                    await connection.send(ACK)
            elif op in (IDENTIFY, RESUME):
                if session is not None:
                    await connection.socket.close(code=4005, message=b"Already authenticated.")
                    break
                starts = self._identify if op == IDENTIFY else self._resume
                session = await starts(connection, data, f"ws://{request.host}{request.path}")
            elif session is None:
                await connection.socket.close(code=4003, message=b"Not authenticated.")
            elif op not in (3, 4, 8):
                await connection.socket.close(code=4001, message=b"Unknown opcode.")
        if session is not None and session.connection is connection:
            session.connection = None
            self._ledger.add("disconnected", session_id=session.id)
        return connection.socket

    async def dispatch(self, event: str, data: Any) -> None:
        """Tell every session that may know it; disconnected ones hear it when they resume."""
        for session in self._sessions.values():
            if (seen := _as_seen(event, data, session.intents, self._world.bot.id)) is not None:
                await self._tell(session, event, seen)

    def shown(self, place: Channel, message: Json) -> Json:
        """A message as REST gives it: what the portal grants decides, not what a session asked for."""
        if place.guild_id is None or self.granted_intents & MESSAGE_CONTENT:
            return message
        return dict(_withheld(message, self._world.bot.id))

    async def dispatch_as_given(self, event: str, data: Any) -> None:
        """Tell every session, whatever it asked for."""
        for session in self._sessions.values():
            await self._tell(session, event, data)

    async def upset(self, how: Upset, code: int = 4000) -> None:
        """Disturb all connections, as Discord or the network does.

        A muted one acknowledges no heartbeat any more; one that is deafened
        brings no events either, but stays open: a zombie. A gateway that goes
        away cuts them and turns all others away until it comes back.
        """
        self._is_away = how == "go_away" or (self._is_away and how != "come_back")
        connected = [session for session in self._sessions.values() if session.connection is not None]
        if not connected and how == "close":
            self._close_next_with = code
        for session in connected:
            connection = session.connection
            assert connection is not None
            if how in ("drop", "go_away"):
                session.connection = None
                connection.cut()
            elif how == "reconnect":
                await connection.send(RECONNECT)
            elif how in ("mute", "deafen"):
                self._unacknowledging.add(connection)
                if how == "deafen":
                    session.connection = None
            elif how == "invalidate":
                del self._sessions[session.id]
                await connection.send(INVALID_SESSION, False)
            elif how == "close":
                await connection.socket.close(code=code)

    async def _identify(self, connection: Connection, data: Json, url: str) -> Session | None:
        intents = int(data.get("intents", 0))
        if data.get("token") != self._token:
            await connection.socket.close(code=4004, message=b"Authentication failed.")
            return None
        if intents & PRIVILEGED & ~self.granted_intents:
            await connection.socket.close(code=4014, message=b"Disallowed intent(s).")
            return None
        if self._close_next_with is not None:
            code, self._close_next_with = self._close_next_with, None
            await connection.socket.close(code=code)
            return None
        session = Session(f"session-{self._world.next_id()}", intents, connection)
        self._sessions[session.id] = session
        self._ledger.add("identified", session_id=session.id, intents=intents)
        guilds = list(self._world.guilds.values())
        ready = {
            "v": 10,
            "user": payloads.user(self._world.bot),
            "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": url,
            "application": {"id": self._world.application_id, "flags": 0},
        }
        await self._tell(session, "READY", ready)
        await asyncio.sleep(self.guilds_after_s)
        for guild in guilds:
            await self._tell(session, "GUILD_CREATE", payloads.guild_create(guild, self._world))
        self._ledger.add("ready", session_id=session.id)
        return session

    async def _resume(self, connection: Connection, data: Json, url: str) -> Session | None:
        del url
        session = self._sessions.get(str(data.get("session_id")))
        if data.get("token") != self._token:
            await connection.socket.close(code=4004, message=b"Authentication failed.")
            return None
        if session is None:
            await connection.send(INVALID_SESSION, False)
            return None
        seen = int(data.get("seq") or 0)
        if seen > len(session.events):
            await connection.socket.close(code=4007, message=b"Invalid seq.")
            return None
        session.connection = connection
        for number, (event, payload) in enumerate(session.events[seen:], start=seen + 1):
            await connection.send(DISPATCH, payload, sequence=number, event=event)
        self._ledger.add("resumed", session_id=session.id, replayed=len(session.events) - seen)
        await self._tell(session, "RESUMED", {})
        return session

    async def _tell(self, session: Session, event: str, data: Any) -> None:
        session.events.append((event, data))
        if session.connection is not None:
            await session.connection.send(DISPATCH, data, sequence=len(session.events), event=event)


def _as_seen(event: str, data: Any, intents: int, bot_id: str) -> Any | None:
    """An event as a session with these intents gets it; None when it does not.

    Source: https://support-dev.discord.com/hc/en-us/articles/4404772028055
    (content is there without the intent in direct messages, in messages that
    mention the app, and in its own).
    """
    if event.startswith(("GUILD_", "CHANNEL_", "THREAD_")):
        return data if intents & GUILDS else None
    if not event.startswith("MESSAGE_"):
        return data
    in_guild = "guild_id" in data
    if not intents & (GUILD_MESSAGES if in_guild else DIRECT_MESSAGES):
        return None
    return data if not in_guild or intents & MESSAGE_CONTENT else _withheld(data, bot_id)


def _withheld(data: Any, bot_id: str) -> Any:
    """A message of a server, without its content if it is not the app's own and does not mention it."""
    mentioned = any(user.get("id") == bot_id for user in data.get("mentions", ()))
    own = data.get("author", {}).get("id") == bot_id
    return data if mentioned or own else data | {"content": "", "attachments": [], "embeds": [], "components": []}
