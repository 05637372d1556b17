"""`python -m tests.fakes.telegram --port 0`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import signal
import sys

from tests.fakes.telegram.entities import be_quiet
from tests.fakes.telegram.listening import serving
from tests.fakes.telegram.world import BOT_ID, World

TOKEN = f"{BOT_ID}:{'test-token-of-the-loopback-server'.ljust(35, '-')}"


def main() -> int:
    """Serve; 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.telegram", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the Bot API; 0 takes a free one")
    parser.add_argument("--token", default=TOKEN, help="the only token that is known")
    parser.add_argument("--username", default="OurBot", help="the bot's name without @")
    parser.add_argument("--no-limits", action="store_true", help="never answer 429 on its own")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    options = parser.parse_args()
    be_quiet()
    world = World(username=options.username, bot_id=int(options.token.partition(":")[0]))
    world.flood.is_on = not options.no_limits
    try:
        asyncio.run(_serve(world, options.token, options.port, ends_with_stdin=options.until_stdin_closes))
    except (OSError, OverflowError) as error:
        reason = "it is taken" if getattr(error, "errno", None) == errno.EADDRINUSE else str(error)
        print(f"port {options.port} cannot be opened: {reason}", file=sys.stderr)
        return 1
    return 0


async def _serve(world: World, token: str, port: int, *, ends_with_stdin: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(world, token, port) as (url, control_url):
        if ends_with_stdin:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)
        print(json.dumps({"url": url, "control_url": control_url, "token": token, "bot": world.me}), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
