"""Slash commands on the fake Discord: three seconds to respond, fifteen minutes to go on.

Source: https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from __future__ import annotations

from aiohttp import web

from tests.fakes.discord import payloads
from tests.fakes.discord.ledger import Ledger
from tests.fakes.discord.rest import ApiError, check_content, pings
from tests.fakes.discord.world import EPHEMERAL, LOADING, SLASH_ANSWER, Interaction, Json, Message, World, iso_now

FIRST_RESPONSE_S = 3.0
TOKEN_S = 900.0
CHANNEL_MESSAGE, DEFERRED_MESSAGE = 4, 5


class Interactions:
    """Answers to commands; authorised by the interaction's token alone."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world = world
        self._ledger = ledger

    def routes(self) -> list[web.RouteDef]:
        """Every call, relative to the API's base."""
        webhook = "/webhooks/{application}/{token}"
        return [
            web.post("/interactions/{interaction}/{token}/callback", self._respond),
            web.post(webhook, self._follow_up),
            web.get(webhook + "/messages/{message}", self._get),
            web.patch(webhook + "/messages/{message}", self._patch),
        ]

    async def _respond(self, request: web.Request) -> web.Response:
        used = self._world.interactions.get(request.match_info["token"])
        if used is None or self._age_s(used) > FIRST_RESPONSE_S:
            raise ApiError(404, 10062, "Unknown interaction")
        if used.state == "answered":
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        body = await request.json()
        kind, data = int(body["type"]), body.get("data") or {}
        if kind not in (CHANNEL_MESSAGE, DEFERRED_MESSAGE):
            raise ApiError(400, 50035, "Invalid Form Body")
        flags = int(data.get("flags", 0)) & EPHEMERAL
        content = ""
        if kind == CHANNEL_MESSAGE:
            content = check_content(data.get("content"))
        else:
            flags |= LOADING
        used.state = "answered"
        used.original = self._post(used, content, flags)
        self._note("deferred" if kind == DEFERRED_MESSAGE else "responded", used, used.original, data)
        answer = {
            "id": used.id,
            "type": 2,
            "response_message_id": used.original.id,
            "response_message_loading": kind == DEFERRED_MESSAGE,
            "response_message_ephemeral": bool(flags & EPHEMERAL),
        }
        resource = {"type": kind, "message": payloads.message(used.original)}
        return web.json_response({"interaction": answer, "resource": resource})

    async def _follow_up(self, request: web.Request) -> web.Response:
        used, body = self._open(request), await request.json()
        content = check_content(body.get("content"))
        if used.original is not None and used.original.flags & LOADING:
            # Discord lets the first follow-up take the place of the deferred answer.
            return self._fill(used, used.original, body, content)
        posted = self._post(used, content, int(body.get("flags", 0)))
        self._note("followed_up", used, posted, body)
        return web.json_response(payloads.message(posted))

    async def _get(self, request: web.Request) -> web.Response:
        used = self._open(request)
        return web.json_response(payloads.message(self._message(request, used)))

    async def _patch(self, request: web.Request) -> web.Response:
        used, body = self._open(request), await request.json()
        return self._fill(used, self._message(request, used), body, check_content(body.get("content")))

    def _fill(self, used: Interaction, posted: Message, body: Json, content: str) -> web.Response:
        posted.content, posted.flags, posted.edited = content, posted.flags & ~LOADING, iso_now()
        self._note("answer_edited", used, posted, body)
        return web.json_response(payloads.message(posted))

    def _open(self, request: web.Request) -> Interaction:
        used = self._world.interactions.get(request.match_info["token"])
        if used is None or used.state == "waiting":
            raise ApiError(404, 10015, "Unknown Webhook")
        if self._age_s(used) > TOKEN_S:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        return used

    def _message(self, request: web.Request, used: Interaction) -> Message:
        name = request.match_info["message"]
        posted = used.original if name == "@original" else self._world.messages.get(name)
        if posted is None:
            raise ApiError(404, 10008, "Unknown Message")
        return posted

    def _post(self, used: Interaction, content: str, flags: int) -> Message:
        only_for = used.user.id if flags & EPHEMERAL else None
        return self._world.post(
            used.channel, self._world.bot, content, type=SLASH_ANSWER, flags=flags, only_for=only_for
        )

    def _note(self, kind: str, used: Interaction, posted: Message, body: Json) -> None:
        self._ledger.add(
            kind,
            interaction_id=used.id,
            message_id=posted.id,
            channel_id=posted.channel.id,
            content=posted.content,
            only_for=posted.only_for,
            allowed_mentions=body.get("allowed_mentions"),
            pings=pings(body, None),
        )

    def _age_s(self, used: Interaction) -> float:
        return self._world.clock.now_s() - used.created_s
