"""Puts the parts of the fake Discord together: REST under /api/v10, the gateway, and /control for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.fakes.discord.control import Control
from tests.fakes.discord.faults import Fault, Faults
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.ledger import Ledger
from tests.fakes.discord.rest import ApiError, Rest, rate_limited
from tests.fakes.discord.world import Clock, World

API = "/api/v10"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(*, token: str, granted_intents: int) -> web.Application:
    """A Discord of its own, with nobody on it yet."""
    ledger, faults, clock = Ledger(), Faults(), Clock()
    world = World(clock)
    gateway = Gateway(world, ledger, token=token, granted_intents=granted_intents)

    @web.middleware
    async def rules(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the token, let the planned fault happen, and turn refusals into Discord's own form."""
        path = request.path.removeprefix(API)
        if path == request.path:
            return await handler(request)
        fault = faults.take(request.method, path)
        try:
            by_interaction = path.startswith(("/interactions/", "/webhooks/"))
            if not by_interaction and request.headers.get("Authorization") != f"Bot {token}":
                raise ApiError(401, 0, "401: Unauthorized")
            carried_out = fault is None or fault.kind in ("swallow", "accept_and_status")
            response = await (handler(request) if carried_out else _fail(fault))
        except ApiError as error:
            ledger.add("refused", method=request.method, path=path, status=error.status, body=error.body)
            response = web.json_response(error.body, status=error.status, headers=error.headers)
        if fault is not None and fault.kind == "swallow":
            ledger.add("swallowed", method=request.method, path=path)
            await asyncio.Event().wait()
        if fault is not None and fault.kind == "accept_and_status":
            return await _fail(fault)
        if response.content_type == "application/json":
            # Discord names no charset, and discord.py reads JSON only where the type is exactly this.
            response.headers["Content-Type"] = "application/json"
        return response

    async def _fail(fault: Fault) -> web.StreamResponse:
        if fault.kind == "rate_limit":
            raise rate_limited("fault", fault.retry_after_s, is_global=fault.is_global)
        if fault.kind == "refuse":
            raise ApiError(fault.status, fault.code, "refused by the test")
        return web.Response(status=fault.status, text="upstream error")

    app = web.Application(middlewares=[rules])
    for part in (Rest(world, gateway, ledger), Interactions(world, ledger)):
        app.add_routes([web.route(route.method, API + route.path, route.handler) for route in part.routes()])
    app.add_routes(Control(world, gateway, ledger, faults).routes())
    app.add_routes([web.get("/gateway", gateway.serve), web.get("/gateway/", gateway.serve)])
    return app
