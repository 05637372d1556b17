"""The control plane: what people do, what goes wrong, what happened. Tests and people speak to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.fakes.telegram.faults import Fault
from tests.fakes.telegram.server import BotApi
from tests.fakes.telegram.world import World

LONGEST_WAIT_S = 60.0


class Control:
    """Answers `/control/...`: what people do, what goes wrong, what happened."""

    def __init__(self, api: BotApi) -> None:
        self._api = api
        self._listening: Callable[[bool], Awaitable[None]] | None = None

    @property
    def _world(self) -> World:
        return self._api.world

    def on_listening(self, change: Callable[[bool], Awaitable[None]]) -> None:
        """Learn how the Bot API's port is opened and closed."""
        self._listening = change

    async def say(self, request: web.Request) -> web.Response:
        """`{"chat", "from", "fields"}`: let somebody write."""
        body = await request.json()
        said = self._world.say(body["chat"], body["from"], body["fields"])
        await self._api.notify()
        return web.json_response(said)

    async def crowd(self, request: web.Request) -> web.Response:
        """`{"people", "text"}`: let many people write to the bot at once, each in private."""
        body = await request.json()
        said = [self._world.say(one["chat"], one["from"], {"text": body["text"]}) for one in body["people"]]
        await self._api.notify()
        return web.json_response(said)

    async def raw(self, request: web.Request) -> web.Response:
        """The text of a JSON object, or of something that is none: offer it as an update."""
        update_id = self._world.offer(await request.text())
        await self._api.notify()
        return web.json_response({"update_id": update_id})

    async def faults(self, request: web.Request) -> web.Response:
        """The fields of a `Fault`: let calls go wrong."""
        self._api.faults.append(Fault(**await request.json()))
        return web.json_response({})

    async def clear(self, _request: web.Request) -> web.Response:
        """End all faults."""
        self._api.faults.clear()
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.Response:
        """`{"limits"}`: begin with an empty world."""
        self._api.faults.clear()
        self._api.world = World(self._world.username, self._world.bot_id)
        self._world.flood.is_on = (await request.json())["limits"]
        if self._listening is not None:
            await self._listening(True)
        return web.json_response({})

    async def settings(self, request: web.Request) -> web.Response:
        """Change the world: limits, members, closed and moved chats, deleted messages, the webhook, the port."""
        body = await request.json()
        world = self._world
        if "limits" in body:
            world.flood.is_on = body["limits"]
        if "member" in body:
            world.set_member(**body["member"])
        if "shut" in body:
            world.shut(**body["shut"])
        if "upgrade" in body:
            world.upgrade(**body["upgrade"])
        if "delete" in body:
            world.delete(**body["delete"])
        if "webhook_url" in body:
            world.set_webhook({"url": body["webhook_url"]})
        if "next_update" in body:
            world.next_update = body["next_update"]
        if "sees_all" in body:
            world.sees_all = body["sees_all"]
        if "listening" in body and self._listening is not None:
            await self._listening(body["listening"])
        await self._api.notify()
        return web.json_response({})

    async def ledger(self, _request: web.Request) -> web.Response:
        """Everything that happened."""
        return web.json_response(self._world.facts())

    async def wait(self, request: web.Request) -> web.Response:
        """`?beyond=N&timeout=S`: return when more than N events happened, or after S seconds."""
        timeout_s = min(LONGEST_WAIT_S, float(request.query.get("timeout", "10")))
        await self._api.wait_beyond(int(request.query.get("beyond", "0")), timeout_s)
        return web.json_response({"events": len(self._world.ledger.events)})
