"""Deciding whether a worker hangs. Pure: it counts looks at the worker, not seconds.

Counting looks makes a pause of the service itself (a suspended laptop, a
debugger) cost one look and not the worker's life.
"""

from __future__ import annotations

from botbridge.health import WorkerHealth
from botbridge.inference.options import Patience
from botbridge.inference.protocol import Heartbeat


class Vigil:
    """Watches one generation; `look` is called every `patience.heartbeat_s`."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._silent = 0
        self._stalled = 0
        self._loading: int | None = 0
        self._tokens_total = 0
        self._running = 0

    def loaded(self) -> None:
        """Note that the model is there."""
        self._loading = None

    def heard(self, message: object) -> None:
        """Note a message of any kind."""
        self._silent = 0
        if isinstance(message, Heartbeat):
            if message.tokens_total != self._tokens_total or message.running == 0:
                self._stalled = 0
            self._tokens_total = message.tokens_total
            self._running = message.running

    @property
    def signs(self) -> WorkerHealth:
        """How old its signs of life are, to the pause between two looks, and how far it has come."""
        pause_s = self._patience.heartbeat_s
        return WorkerHealth(self._silent * pause_s, self._stalled * pause_s, self._tokens_total)

    def look(self) -> str | None:
        """Return why the worker has to be killed, None when all is well."""
        self._silent += 1
        if self._running:
            self._stalled += 1
        if self._loading is not None:
            self._loading += 1
        pause_s = self._patience.heartbeat_s
        if self._silent * pause_s > self._patience.silent_s:
            return f"gave no sign of life for {self._patience.silent_s:g} s"
        if self._stalled * pause_s > self._patience.stalled_s:
            return f"computed no token for {self._patience.stalled_s:g} s"
        if self._loading is not None and self._loading * pause_s > self._patience.load_s:
            return f"did not load the model within {self._patience.load_s:g} s"
        return None


def retry_pause_s(failures: int, patience: Patience, chance: float) -> float:
    """Return the pause before the next start after so many failures in a row (1 or more).

    Args:
        failures: How many there were without a good answer between them.
        patience: Its least and its longest pause count.
        chance: 0 to 1, drawn at random; half of the pause is left to it, so that
            several services that failed together do not start together.

    >>> retry_pause_s(1, Patience(), 1), retry_pause_s(3, Patience(), 0), retry_pause_s(99, Patience(), 1)
    (0.5, 1.0, 30.0)
    """
    doublings = min(failures - 1, 16)
    return min(patience.retry_most_s, patience.retry_least_s * 2.0**doublings) * (0.5 + chance / 2)
