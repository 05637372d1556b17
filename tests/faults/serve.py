"""`botbridge run` that kills itself: the whole service, with one real fault point.

`python tests/faults/serve.py --die-at send.post --after 3` dies by SIGKILL the
fourth time that it gets there. With `--fault-words` the echo engine knows the
words of `echo_faults`, such as `!slow:0.1`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from dataclasses import dataclass

from botbridge.faults import NO_FAULTS, Point


@dataclass
class Dying:
    """Ends the process at one point, when it was let past it so many times."""

    point: Point
    times_let_past: int = 0

    def reached(self, point: Point) -> None:
        """Die, if this is the time: nothing is flushed, closed or told."""
        if point is not self.point:
            return
        if self.times_let_past == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.times_let_past -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--die-at", type=Point, choices=list(Point))
    parser.add_argument("--after", type=int, default=0, help="so many times it goes on")
    parser.add_argument("--fault-words", action="store_true", help="messages can break and slow down the engine")
    options = parser.parse_args()

    # Imported here: the worker imports this file, too, and has to be quick.
    from botbridge.cli.printing import log_to_stderr
    from botbridge.cli.run import _serve
    from botbridge.settings import load_settings

    settings = load_settings()
    if options.fault_words:
        inference = settings.inference.model_copy(update={"engine": "echo-faults"})
        settings = settings.model_copy(update={"inference": inference})
    log_to_stderr(settings, quiet=False)
    faults = NO_FAULTS if options.die_at is None else Dying(options.die_at, options.after)
    asyncio.run(_serve(settings, with_chat=False, faults=faults))


if __name__ == "__main__":
    main()
