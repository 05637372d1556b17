"""The fake Discord's REST calls about messages, channels, servers and commands.

Source: https://discord.com/developers/docs/resources/message and
https://discord.com/developers/docs/topics/opcodes-and-status-codes#json for
the error codes.
"""

from __future__ import annotations

import math
import re

from aiohttp import web

from tests.fakes.discord import payloads
from tests.fakes.discord.faults import Buckets
from tests.fakes.discord.gateway import MESSAGE_CONTENT, Gateway
from tests.fakes.discord.ledger import Ledger
from tests.fakes.discord.world import Channel, Json, Message, World, iso_now

CONTENT_LIMIT = 2000
"""Counted in UTF-16 units, the stricter of the two readings of "characters"."""

HISTORY_LIMIT = 100
NONCE_LIMIT = 25
NONCE_LIVES_S = 300.0

MESSAGE_CONTENT_LIMITED = 1 << 19
"""What an application in fewer than 100 servers has when the intent is switched on.

Source: https://discord.com/developers/docs/resources/application#application-object-application-flags
"""


class ApiError(Exception):
    """An answer in Discord's form for errors."""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.body: Json = {"code": code, "message": message} | ({"errors": errors} if errors else {})
        self.headers: dict[str, str] = {}


def check_content(content: object) -> str:
    """A message's text when Discord would take it.

    Raises:
        ApiError: it is empty or too long.
    """
    text = str(content or "")
    if not text.strip():
        raise ApiError(400, 50006, "Cannot send an empty message")
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 > CONTENT_LIMIT:
        detail = {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}
        raise ApiError(400, 50035, "Invalid Form Body", {"content": {"_errors": [detail]}})
    return text


def pings(body: Json, replied: Message | None) -> list[str]:
    """Whom a message would ring for: ids of people, `everyone` and `here`, `role:<id>`."""
    content = str(body.get("content") or "")
    allowed = body.get("allowed_mentions") or {"parse": ["users", "roles", "everyone"], "replied_user": True}
    parse = allowed.get("parse", [])
    rung = [found for found in ("@everyone", "@here") if found in content and "everyone" in parse]
    people = re.findall(r"<@!?(\d+)>", content)
    rung += people if "users" in parse else [one for one in people if one in allowed.get("users", [])]
    rung += [f"role:{one}" for one in re.findall(r"<@&(\d+)>", content) if "roles" in parse]
    if replied is not None and allowed.get("replied_user"):
        rung.append(replied.author.id)
    return rung


class Rest:
    """Carries out what a logged-in application may ask for."""

    def __init__(self, world: World, gateway: Gateway, ledger: Ledger) -> None:
        self._world = world
        self._gateway = gateway
        self._ledger = ledger
        self._buckets = Buckets(world.clock)
        self._nonces: dict[tuple[str, str], tuple[float, Message]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Every call, relative to the API's base."""
        return [
            web.get("/users/@me", self._me),
            web.post("/users/@me/channels", self._open_direct),
            web.get("/oauth2/applications/@me", self._application),
            web.get("/gateway", self._gateway_url),
            web.get("/gateway/bot", self._gateway_url),
            web.get("/channels/{channel}", self._channel),
            web.post("/channels/{channel}/typing", self._typing),
            web.get("/channels/{channel}/messages", self._history),
            web.post("/channels/{channel}/messages", self._send),
            web.get("/channels/{channel}/messages/{message}", self._message),
            web.patch("/channels/{channel}/messages/{message}", self._edit),
            web.get("/guilds/{guild}", self._guild),
            web.get("/guilds/{guild}/roles", self._roles),
            web.get("/guilds/{guild}/members/{user}", self._member),
            web.get("/applications/{application}/commands", self._commands),
            web.put("/applications/{application}/commands", self._put_commands),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        self._ledger.add("logged_in")
        return web.json_response(payloads.user(self._world.bot) | {"verified": True, "mfa_enabled": True, "flags": 0})

    async def _application(self, request: web.Request) -> web.Response:
        owner = self._world.person("operator")
        return web.json_response(
            {
                "id": self._world.application_id,
                "name": "botbridge",
                "icon": None,
                "description": "",
                "bot_public": True,
                "bot_require_code_grant": False,
                "owner": payloads.user(owner),
                "verify_key": "0" * 64,
                "team": None,
                "flags": MESSAGE_CONTENT_LIMITED if self._gateway.granted_intents & MESSAGE_CONTENT else 0,
            }
        )

    async def _gateway_url(self, request: web.Request) -> web.Response:
        limits = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://{request.host}/gateway"
        return web.json_response({"url": url, "shards": 1, "session_start_limit": limits})

    async def _open_direct(self, request: web.Request) -> web.Response:
        person = self._world.users.get(str((await request.json()).get("recipient_id")))
        if person is None:
            raise ApiError(400, 50033, "Invalid Recipient(s)")
        return web.json_response(payloads.channel(self._world.direct(person)))

    async def _channel(self, request: web.Request) -> web.Response:
        return web.json_response(payloads.channel(self._place(request)))

    async def _typing(self, request: web.Request) -> web.Response:
        self._ledger.add("typing", channel_id=self._place(request).id)
        return web.Response(status=204)

    async def _history(self, request: web.Request) -> web.Response:
        """The page next to `after` or `before`, else the newest; newest first in each case."""
        place, limit = self._place(request), int(request.query.get("limit", 50))
        if not 1 <= limit <= HISTORY_LIMIT:
            raise ApiError(400, 50035, "Invalid Form Body")
        after, before = int(request.query.get("after", 0)), int(request.query.get("before", 1 << 63))
        found = [m for m in self._world.messages.values() if m.channel is place and not m.only_for]
        ordered = sorted((m for m in found if after < int(m.id) < before), key=lambda message: int(message.id))
        page = ordered[:limit] if "after" in request.query else ordered[-limit:]
        self._ledger.add("history_read", channel_id=place.id, after=str(after), limit=limit, given=len(page))
        return web.json_response([self._gateway.shown(place, payloads.message(one)) for one in reversed(page)])

    async def _send(self, request: web.Request) -> web.Response:
        place, body = self._place(request), await request.json()
        if place.locked:
            raise _thread_archived()
        headers = self._count(f"send:{place.id}")
        content, nonce = check_content(body.get("content")), body.get("nonce")
        if nonce is not None and len(str(nonce)) > NONCE_LIMIT:
            raise ApiError(400, 50035, "Invalid Form Body")
        if nonce is not None and body.get("enforce_nonce") and (known := self._known(place, str(nonce))):
            self._ledger.add("repeated", message_id=known.id, channel_id=place.id, nonce=str(nonce))
            return web.json_response(payloads.message(known, nonce=str(nonce)), headers=headers)
        replied = self._replied(place, body.get("message_reference"))
        posted = self._world.post(place, self._world.bot, content, reply_to=replied, flags=int(body.get("flags", 0)))
        if place.archived:
            place.archived = False
            await self._gateway.dispatch("THREAD_UPDATE", payloads.channel(place))
        if nonce is not None:
            self._nonces[(place.id, str(nonce))] = (self._world.clock.now_s(), posted)
        self._ledger.add(
            "sent",
            message_id=posted.id,
            channel_id=place.id,
            content=content,
            reply_to=replied.id if replied else None,
            nonce=nonce,
            flags=posted.flags,
            allowed_mentions=body.get("allowed_mentions"),
            pings=pings(body, replied),
        )
        await self._announce("MESSAGE_CREATE", posted)
        return web.json_response(payloads.message(posted, nonce=nonce), headers=headers)

    async def _message(self, request: web.Request) -> web.Response:
        return web.json_response(payloads.message(self._posted(request)))

    async def _edit(self, request: web.Request) -> web.Response:
        posted, body = self._posted(request), await request.json()
        if posted.channel.archived:
            raise _thread_archived()
        headers = self._count(f"edit:{posted.channel.id}")
        if posted.author.id != self._world.bot.id:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        posted.content, posted.edited = check_content(body.get("content")), iso_now()
        posted.flags = int(body.get("flags") or posted.flags)
        self._ledger.add(
            "edited",
            message_id=posted.id,
            channel_id=posted.channel.id,
            content=posted.content,
            flags=posted.flags,
            allowed_mentions=body.get("allowed_mentions"),
            pings=pings(body, None),
        )
        await self._announce("MESSAGE_UPDATE", posted)
        return web.json_response(payloads.message(posted), headers=headers)

    async def _guild(self, request: web.Request) -> web.Response:
        guild = self._world.guilds.get(request.match_info["guild"])
        if guild is None:
            raise ApiError(404, 10004, "Unknown Guild")
        return web.json_response(payloads.guild(guild, self._world))

    async def _roles(self, request: web.Request) -> web.Response:
        guild = self._world.guilds.get(request.match_info["guild"])
        if guild is None:
            raise ApiError(404, 10004, "Unknown Guild")
        return web.json_response(payloads.roles(guild, self._world.bot))

    async def _member(self, request: web.Request) -> web.Response:
        guild = self._world.guilds.get(request.match_info["guild"])
        if guild is None:
            raise ApiError(404, 10004, "Unknown Guild")
        person = guild.members.get(request.match_info["user"])
        if person is None:
            raise ApiError(404, 10007, "Unknown Member")
        self._ledger.add("asked_member", guild_id=guild.id, user_id=person.id)
        return web.json_response(payloads.member(guild, person))

    async def _commands(self, request: web.Request) -> web.Response:
        return web.json_response(self._world.commands)

    async def _put_commands(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self._world.commands = [
            {"id": self._world.next_id(), "application_id": self._world.application_id, "version": "1", "type": 1}
            | command
            for command in wanted
        ]
        self._ledger.add("commands", names=[command["name"] for command in wanted], payload=wanted)
        return web.json_response(self._world.commands)

    def _place(self, request: web.Request) -> Channel:
        try:
            return self._world.channels[request.match_info["channel"]]
        except KeyError:
            raise ApiError(404, 10003, "Unknown Channel") from None

    def _posted(self, request: web.Request) -> Message:
        posted = self._world.messages.get(request.match_info["message"])
        if posted is None or posted.channel is not self._place(request) or posted.only_for:
            raise ApiError(404, 10008, "Unknown Message")
        return posted

    def _replied(self, place: Channel, reference: Json | None) -> Message | None:
        if reference is None:
            return None
        replied = self._world.messages.get(str(reference.get("message_id")))
        if replied is not None and replied.channel is place:
            return replied
        if reference.get("fail_if_not_exists", True):
            detail = {"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}
            raise ApiError(400, 50035, "Invalid Form Body", {"message_reference": {"_errors": [detail]}})
        return None

    def _known(self, place: Channel, nonce: str) -> Message | None:
        at_s, message = self._nonces.get((place.id, nonce), (0.0, None))
        return message if message is not None and self._world.clock.now_s() - at_s < NONCE_LIVES_S else None

    def _count(self, bucket: str) -> dict[str, str]:
        left, reset_after_s = self._buckets.take(bucket)
        if left < 0:
            raise rate_limited(bucket, reset_after_s)
        return rate_headers(bucket, left, reset_after_s)

    async def _announce(self, event: str, posted: Message) -> None:
        payload = payloads.message(posted)
        if posted.channel.guild_id is not None:
            guild = self._world.guilds[posted.channel.guild_id]
            payload |= {"guild_id": guild.id, "member": payloads.member(guild, posted.author, with_user=False)}
        await self._gateway.dispatch(event, payload)


def _thread_archived() -> ApiError:
    return ApiError(400, 50083, "Thread is archived")


def rate_headers(bucket: str, remaining: int, reset_after_s: float) -> dict[str, str]:
    """What Discord says about its limit with every answer."""
    return {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset-After": f"{reset_after_s:.3f}",
        "X-RateLimit-Bucket": bucket.partition(":")[0],
    }


def rate_limited(bucket: str, retry_after_s: float, *, is_global: bool = False) -> ApiError:
    """The refusal of a call that came too soon; `Via` marks it as Discord's own and not its edge's."""
    error = ApiError(429, 0, "You are being rate limited.")
    error.body |= {"retry_after": retry_after_s, "global": is_global}
    error.headers = {
        **rate_headers(bucket, 0, retry_after_s),
        "Via": "1.1 fake",
        "Retry-After": str(math.ceil(retry_after_s)),
    }
    return error
