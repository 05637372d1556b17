"""`botbridge run` that kills itself: the whole service, with one real fault point.

`python tests/faults/serve.py --die-after send --let-past 3` dies by SIGKILL when
the platform has taken the fourth part. With `--fault-words` the echo engine knows the
words of `echo_faults`, such as `!slow:0.1`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from dataclasses import dataclass

from botbridge.faults import NO_FAULTS, Boundary, Faults


@dataclass
class Dying:
    """Ends the process on one side of a boundary, when it was let past there so many times."""

    boundary: Boundary
    is_before: bool
    times_let_past: int = 0

    def before(self, boundary: Boundary) -> None:
        """Die, if this is the time."""
        if self.is_before:
            self._reach(boundary)

    def after(self, boundary: Boundary) -> None:
        """Die, if this is the time."""
        if not self.is_before:
            self._reach(boundary)

    def _reach(self, boundary: Boundary) -> None:
        """Nothing is flushed, closed or told."""
        if boundary is not self.boundary:
            return
        if self.times_let_past == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.times_let_past -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--die-before", type=Boundary)
    parser.add_argument("--die-after", type=Boundary)
    parser.add_argument("--let-past", type=int, default=0, help="so many times it goes on")
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
    faults: Faults = NO_FAULTS
    if (boundary := options.die_before or options.die_after) is not None:
        faults = Dying(boundary, is_before=options.die_before is not None, times_let_past=options.let_past)
    asyncio.run(_serve(settings, with_chat=False, faults=faults))


if __name__ == "__main__":
    main()
