"""The two ports of the server, one of which can be closed and opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.telegram.control import Control
from tests.fakes.telegram.deliveries import bring_updates
from tests.fakes.telegram.server import BotApi
from tests.fakes.telegram.world import World


@asynccontextmanager
async def serving(world: World, token: str, port: int) -> AsyncIterator[tuple[str, str]]:
    """Serve; the addresses of the Bot API and of the control plane.

    Raises:
        OSError: The port is taken.
    """
    api = BotApi(world, token)
    control = Control(api)
    bot_app = web.Application()
    bot_app.router.add_route("*", "/bot{token}/{method}", api.handle)
    control_app = web.Application(client_max_size=10_000_000)
    control_app.add_routes(
        [
            web.post("/control/say", control.say),
            web.post("/control/crowd", control.crowd),
            web.post("/control/raw", control.raw),
            web.post("/control/faults", control.faults),
            web.delete("/control/faults", control.clear),
            web.post("/control/reset", control.reset),
            web.post("/control/settings", control.settings),
            web.get("/control/ledger", control.ledger),
            web.get("/control/wait", control.wait),
        ]
    )
    async with _listening(bot_app, port) as bot_port, _listening(control_app, 0) as control_port:
        control.on_listening(bot_port.set_open)
        bringing = asyncio.create_task(bring_updates(api))
        try:
            yield bot_port.url, control_port.url
        finally:
            bringing.cancel()
            await asyncio.gather(bringing, return_exceptions=True)


class _Port:
    """A port that can be closed and opened again under the same number."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._site: web.TCPSite | None = None
        self._number = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._number}"

    async def open(self, number: int) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", number, reuse_address=True)
        await self._site.start()
        self._number = self._runner.addresses[0][1]

    async def set_open(self, is_open: bool) -> None:
        """Refuse connections, and cut those that stand; or listen again."""
        if is_open and self._site is None:
            await self.open(self._number)
        elif not is_open and self._site is not None:
            await self._site.stop()
            self._site = None
            for connection in list(self._runner.server.connections if self._runner.server else ()):
                if connection.transport is not None:
                    connection.transport.abort()


@asynccontextmanager
async def _listening(app: web.Application, number: int) -> AsyncIterator[_Port]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        port = _Port(runner)
        await port.open(number)
        yield port
    finally:
        await runner.cleanup()
