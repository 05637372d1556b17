"""The whole bridge as `botbridge run` makes it, with one difference: it may speak to Telegram as fast as it can.

python -m benchmarks.unpaced_bridge

takes its settings from the environment and serves until SIGTERM. Telegram's
rules allow 20 messages a second, so what the bridge itself could do shows only
without them: the clock that they are kept by runs a million times too fast.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import time

from botbridge.app import build
from botbridge.cli.printing import prepare
from botbridge.settings import Settings

FASTER = 1e6


def main() -> None:
    """Serve until told to stop."""
    argparse.ArgumentParser(prog="python -m benchmarks.unpaced_bridge", description=__doc__).parse_args()
    asyncio.run(_serve(prepare()))


async def _serve(settings: Settings) -> None:
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    async with build(settings, telegram_clock=lambda: FASTER * time.monotonic()):
        gc.freeze()  # as `botbridge run` does
        await told_to_stop.wait()


if __name__ == "__main__":
    main()
