"""What is known of one remote server, and the loop that finds it out.

A server is looked at when we start and, with growing pauses, while it cannot
answer. One that answers is not looked at: its answers are the sign of life. One
that asks for a long pause, as for a quota that is used up, is left alone so long.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.inference.remote_answer import ENGINE
from botbridge.inference.remote_options import UNTOLD_CONTEXT_TOKENS, RemoteOptions, RemotePatience
from botbridge.inference.remote_wire import Fault, Offer, RemoteFault, choose_model
from botbridge.inference.vigil import retry_pause_s

if TYPE_CHECKING:
    # The SDK behind it is loaded by whoever opens a connection.
    from botbridge.inference.remote_server import RemoteServer

FAILURES_UNTIL_UNAVAILABLE: Final = 10
"""A server that says that it is not ready yet is believed so often; with growing pauses that is two minutes."""

LONGEST_PAUSE_S: Final = 86_400.0
"""Quotas are counted by the day at most; whoever asks for more is asked again after that."""

MIN_PAUSE_S: Final = 0.01
"""A pause of nothing would let a busy server and us turn in a circle."""

log = logging.getLogger(__name__)


class ServerWatch:
    """Keeps one server's state.

    Attributes:
        server: What is asked.
        detail: Why it is not ready, one sentence; empty when it is.
        model: Its name of the model.
        context_tokens: Its context; None where it does not tell.
        version: What it calls itself.
        rests_until_s: It should be left alone until then, on the monotonic clock.
    """

    def __init__(
        self, server: RemoteServer, options: RemoteOptions, patience: RemotePatience, changed: Callable[[], None]
    ) -> None:
        """Know nothing yet; `run` finds out, and calls `changed` whenever it knows something else."""
        self.server = server
        self.state = GeneratorState.STARTING
        self.detail = f"{server.url} was not asked yet."
        self.model = options.model
        self.context_tokens: int | None = None
        self.version = ""
        self.rests_until_s = 0.0
        self._options = options
        self._patience = patience
        self._changed = changed
        self._failures = 0
        self._was_refused = False
        self._lost = asyncio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked."""
        return self.state is GeneratorState.READY

    @property
    def is_well(self) -> bool:
        """Whether nothing failed since its last good answer."""
        return self._failures == 0

    async def run(self) -> None:
        """Look at the server whenever it is not ready, until cancelled."""
        while True:
            self._lost.clear()
            try:
                await self._look()
            except RemoteFault as fault:
                self._lose(fault)
            else:
                await self._lost.wait()
            await asyncio.sleep(max(self._pause_s(), self.rests_until_s - time.monotonic()))

    def answered(self) -> None:
        """Note a good answer: the next failure counts as the first."""
        self._failures = 0
        self._was_refused = False

    def failed(self, fault: RemoteFault) -> None:
        """Note that it failed to answer: it is lost until the next good look, or left alone for a while."""
        match fault.fault:
            case Fault.REFUSED | Fault.UNREACHABLE | Fault.NOT_READY:
                self._lose(fault)
                self._lost.set()
            case Fault.BUSY if (fault.pause_s or 0.0) > self._patience.busy_s:
                self._lose(fault)
                self._lost.set()
            case Fault.BUSY | Fault.FAILED | Fault.SILENT:
                self._failures += 1
                pause_s = max(self._pause_s() if fault.pause_s is None else fault.pause_s, MIN_PAUSE_S)
                self.rests_until_s = time.monotonic() + pause_s
                log.warning("Remote server left alone for %.1f s: %s", pause_s, fault.detail)
            case Fault.TOO_LONG | Fault.REJECTED:  # not the server's failure
                pass

    async def _look(self) -> None:
        offer = await self.server.look()
        try:
            model = choose_model(self._options.model, list(offer.models), takes_only=self._options.takes_only_model)
        except ValueError as error:
            raise RemoteFault(Fault.REFUSED, f"{self.url} {error}") from error
        if self._was_refused:
            await self.server.try_out(model)
            self._was_refused = False
        self._take(offer, model)

    def _take(self, offer: Offer, model: str) -> None:
        self.model, self.version, self.context_tokens = model, offer.version, offer.models.get(model)
        self.rests_until_s = 0.0
        log.info("Remote server %s is ready with the model %s.", self.url, model)
        self._become(GeneratorState.READY, "")

    def _lose(self, fault: RemoteFault) -> None:
        self._failures += 1
        # Kept through other failures: a list of models may be there for everybody while answers are not.
        self._was_refused |= fault.fault is Fault.REFUSED
        is_on_its_way = fault.fault is Fault.NOT_READY and self._failures < FAILURES_UNTIL_UNAVAILABLE
        detail = fault.detail
        if fault.fault is Fault.BUSY and fault.pause_s is not None:
            pause_s = min(fault.pause_s, LONGEST_PAUSE_S)
            self.rests_until_s = time.monotonic() + pause_s
            until = datetime.now(UTC) + timedelta(seconds=pause_s)
            detail = f"{detail}; it asked for a pause until {until:%Y-%m-%d %H:%M} UTC"
        self._become(GeneratorState.STARTING if is_on_its_way else GeneratorState.UNAVAILABLE, detail)

    def _become(self, state: GeneratorState, detail: str) -> None:
        if (state, detail) == (self.state, self.detail):
            return
        if detail:
            log.warning("Remote server not usable: %s", detail)
        self.state, self.detail = state, detail
        self._changed()

    def _pause_s(self) -> float:
        return retry_pause_s(max(1, self._failures), self._patience.again, random.random())  # noqa: S311


def status_of(watches: Sequence[ServerWatch], options: RemoteOptions) -> GeneratorStatus:
    """Return the state of all servers together: one that is ready is enough."""
    ready = [watch for watch in watches if watch.is_ready]
    troubles = tuple(watch.detail for watch in watches if not watch.is_ready)
    # Kept when a server is lost: how much history is worth its while does not depend on that.
    told = [watch.context_tokens for watch in ready or watches if watch.context_tokens is not None]
    context_tokens, notes = context_of(told, options.context_tokens)
    if not ready:
        is_starting = not watches or any(watch.state is GeneratorState.STARTING for watch in watches)
        detail = " ".join(troubles) or "No server was asked yet."
        state = GeneratorState.STARTING if is_starting else GeneratorState.UNAVAILABLE
        return GeneratorStatus(
            state, detail, engine=ENGINE, context_tokens=context_tokens, slots=options.slots, shares_fate=False
        )
    return GeneratorStatus(
        GeneratorState.READY,
        engine=ENGINE,
        engine_version=ready[0].version,
        model=ready[0].model,
        context_tokens=context_tokens,
        slots=options.slots,
        notes=troubles + notes,
        shares_fate=False,
    )


def context_of(told: Sequence[int], limit_tokens: int | None) -> tuple[int, tuple[str, ...]]:
    """Return the context that all servers have, and what the operator should know of it.

    Args:
        told: What those servers say that say anything, in tokens.
        limit_tokens: The operator's own bound; None for none.

    >>> context_of([8192, 4096], None), context_of([8192], 2048)
    ((4096, ()), (2048, ()))
    """
    if not told and limit_tokens is None:
        note = (
            f"The servers do not tell their context; {UNTOLD_CONTEXT_TOKENS} tokens are assumed, "
            "BOTBRIDGE_INFERENCE__CONTEXT_TOKENS sets it."
        )
        return UNTOLD_CONTEXT_TOKENS, (note,)
    return min((*told, *(() if limit_tokens is None else (limit_tokens,)))), ()
