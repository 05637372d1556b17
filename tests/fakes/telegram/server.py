"""The Bot API as HTTP, with its long polls and the faults that were asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.fakes.telegram.faults import Fault, FaultKind
from tests.fakes.telegram.world import ApiError, Json, World, bad_request, too_many

NESTED = ("entities", "reply_parameters", "link_preview_options", "commands", "scope", "allowed_updates")
CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_CONFLICT = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BotApi:
    """Answers `/bot<token>/<method>`."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self._token = token
        self._poll: asyncio.Future[None] | None = None
        self.faults: list[Fault] = []
        self.changed = asyncio.Condition()

    async def notify(self) -> None:
        """Wake everybody who waits for something new."""
        async with self.changed:
            self.changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        method = request.match_info["method"]
        if request.match_info["token"] != self._token:
            return _failure(ApiError(401, "Unauthorized"))
        parameters = await _parameters(request)
        try:
            return await self._with_faults(request, method, parameters)
        except ApiError as error:
            self.world.ledger.note("refused", method=method, code=error.code, description=error.description)
            await self.notify()
            return _failure(error)

    async def _with_faults(self, request: web.Request, method: str, parameters: Json) -> web.StreamResponse:
        chat_id = int(parameters["chat_id"]) if "chat_id" in parameters else None
        fault = next((fault for fault in self.faults if fault.meets(method, chat_id)), None)
        if fault is None:
            return await self._answer(method, parameters)
        fault.times -= 1
        self.world.ledger.note("fault", method=method, fault=fault.kind.value)
        await self.notify()
        match fault.kind:
            case FaultKind.STATUS:
                raise ApiError(fault.status, fault.description)
            case FaultKind.FLOOD:
                raise too_many(self.world.flood.close(chat_id or 0, fault.retry_after))
            case FaultKind.DELAY:
                await asyncio.sleep(fault.seconds)
            case FaultKind.ACCEPT_AND_HANG:
                await self._answer(method, parameters)
                await asyncio.Event().wait()
            case FaultKind.ACCEPT_AND_STATUS:
                await self._answer(method, parameters)
                raise ApiError(fault.status, fault.description)
            case FaultKind.PAGE:
                return web.Response(status=fault.status, text="<html>", content_type="text/html")
            case FaultKind.HANG:
                await asyncio.Event().wait()
            case FaultKind.TRICKLE:
                return await _trickle(request)
            case FaultKind.GARBAGE:
                return web.Response(text="<html>", content_type="text/html")
            case FaultKind.CUT:
                if request.transport is not None:
                    request.transport.abort()
        return await self._answer(method, parameters)

    async def _answer(self, method: str, parameters: Json) -> web.Response:
        if method.lower() == "getupdates":
            return await self._get_updates(parameters)
        result = self._do(method, parameters)
        await self.notify()
        return web.json_response({"ok": True, "result": result})

    def _do(self, method: str, parameters: Json) -> Any:
        world = self.world
        match method.lower():
            case "getme":
                groups = {"can_join_groups": True, "can_read_all_group_messages": world.sees_all}
                return {**world.me, **groups, "supports_inline_queries": False}
            case "sendmessage":
                return world.send(parameters)
            case "editmessagetext":
                return world.edit(parameters)
            case "sendchataction":
                chat = world.open_chat(parameters)
                world.ledger.note("action", chat_id=chat["id"], action=parameters.get("action"))
                return True
            case "getchatmember":
                return world.member(world.open_chat(parameters)["id"], int(parameters["user_id"]))
            case "setmycommands":
                scope = (parameters.get("scope") or {}).get("type", "default")
                world.menus[f"{scope}/{parameters.get('language_code', '')}"] = parameters["commands"]
                world.ledger.note("menu", scope=scope)
                return True
            case "setwebhook":
                world.set_webhook(parameters)
                return True
            case "getwebhookinfo":
                world.ledger.note("webhook_looked_at")
                return world.webhook_info()
            case "deletewebhook":
                world.set_webhook({})
                if parameters.get("drop_pending_updates") == "true":
                    world.confirm(max(world.waiting, default=0) + 1)
                return True
        raise ApiError(404, "Not Found")

    async def _get_updates(self, parameters: Json) -> web.Response:
        if self.world.webhook_url:
            raise ApiError(409, WEBHOOK_CONFLICT)
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        ousted = self._poll = asyncio.get_running_loop().create_future()
        if "offset" in parameters:
            self.world.confirm(int(parameters["offset"]))
            await self.notify()
        limit = int(parameters.get("limit", 100))
        if not 1 <= limit <= 100:
            raise bad_request("limit must be between 1 and 100")
        await self._until(lambda: bool(self.world.waiting), float(parameters.get("timeout", 0)), ousted)
        if ousted.done():
            raise ApiError(409, CONFLICT)
        batch = [self.world.waiting[update_id] for update_id in sorted(self.world.waiting)[:limit]]
        ousted.cancel()
        self.world.ledger.note("polled", count=len(batch))
        await self.notify()
        return web.Response(text='{"ok":true,"result":[' + ",".join(batch) + "]}", content_type="application/json")

    async def _until(self, is_true: Callable[[], bool], timeout_s: float, ousted: asyncio.Future[None]) -> None:
        async def wait() -> None:
            async with self.changed:
                await self.changed.wait_for(is_true)

        waiting = asyncio.create_task(wait())
        try:
            await asyncio.wait({waiting, ousted}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def wait_beyond(self, length: int, timeout_s: float) -> None:
        """Return when the ledger holds more events than `length`, or the time is over."""
        never = asyncio.get_running_loop().create_future()
        await self._until(lambda: len(self.world.ledger.events) > length, timeout_s, never)
        never.cancel()


async def _trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def _parameters(request: web.Request) -> Json:
    form: Json = dict(request.query)
    if request.content_type == "application/json":
        form |= await request.json()
    else:
        form |= dict(await request.post())
    return {name: _decoded(name, value) for name, value in form.items()}


def _decoded(name: str, value: Any) -> Any:
    return json.loads(value) if name in NESTED and isinstance(value, str) else value


def _failure(error: ApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.code)
