"""Serve a fake Discord on loopback; it prints its addresses as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys

from aiohttp import web

from tests.fakes.discord.gateway import MESSAGE_CONTENT
from tests.fakes.discord.server import API, build
from tests.fakes.discord.world import Json


class Host:
    """Opens servers, each with a world of its own; a POST to /control/open of one opens another."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def open(self, port: int, token: str, *, message_content: bool) -> Json:
        """Open a server; its addresses.

        Raises:
            OSError: The port cannot be used.
        """
        app = build(token=token, granted_intents=MESSAGE_CONTENT if message_content else 0)
        app.router.add_post("/control/open", self._open_another)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, bound_port = runner.addresses[0][:2]
        return {
            "api_url": f"http://{host}:{bound_port}{API}",
            "gateway_url": f"ws://{host}:{bound_port}/gateway",
            "control_url": f"http://{host}:{bound_port}/control",
            "token": token,
        }

    async def close(self) -> None:
        """Close all."""
        for runner in self._runners:
            await runner.cleanup()

    async def _open_another(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        return web.json_response(
            await self.open(0, wanted["token"], message_content=bool(wanted["grant_message_content"]))
        )


async def serve(port: int, token: str, *, message_content: bool, until_stdin_closes: bool) -> int:
    """Serve until stopped; 1 when the port is taken."""
    host = Host()
    try:
        print(json.dumps(await host.open(port, token, message_content=message_content)), flush=True)
        # The end of standard input is the end of the test that started us, even if it was killed.
        await (asyncio.to_thread(sys.stdin.read) if until_stdin_closes else asyncio.Event().wait())
    except OSError as error:
        print(f"Port {port} of 127.0.0.1 cannot be used: {os.strerror(error.errno or 0)}.", file=sys.stderr)
        return 1
    finally:
        await host.close()
    return 0


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.discord", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", default="fake-discord-token", help="the only token that is let in")
    parser.add_argument("--grant-message-content", action="store_true", help="allow the privileged intent")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this")
    options = parser.parse_args()
    try:
        return asyncio.run(
            serve(
                options.port,
                options.token,
                message_content=options.grant_message_content,
                until_stdin_closes=options.until_stdin_closes,
            )
        )
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
