"""Gathers the facts of `health` from the parts of a running bot, each within a bounded time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace

import structlog

from botbridge.answers import GeneratorState, Prompt, RequestId, Role, Sampling, Turn
from botbridge.conversation.room import Room
from botbridge.errors import InferenceError, StorageError
from botbridge.health import BackupHealth, Facts, PlatformHealth, SelfTestHealth
from botbridge.messages import PlatformName
from botbridge.ports import OpenedGenerator, Platform

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How long a look may take; less than whoever asks for the health is ready to wait."""

FRESH_S = 10.0
"""A self-test that is younger is not repeated: whoever asks every second must not keep the model busy."""

SELF_TEST_DEADLINE_S = 30.0
SELF_TEST = "self-test"

Probe = Callable[[Collection[PlatformName]], Awaitable[float]]
"""Writes one row; returns the age in seconds of the oldest reply that is owed to these platforms."""


def no_backups() -> BackupHealth | None:
    """Tell of a bot that makes no backups by itself."""
    return None


class SelfTest:
    """Asks the worker a short question of our own, one at a time, when nobody else is answered."""

    def __init__(self, generator: OpenedGenerator, now_s: Callable[[], float]) -> None:
        self._generator = generator
        self._now_s = now_s
        self._asking: asyncio.Task[None] | None = None
        self._passed_at_s: float | None = None
        self._error = ""

    async def look(self, *, may_ask: bool) -> SelfTestHealth:
        """Return what is known, after a new question where the last answer is old; waits at most `LOOK_S` for it."""
        if self._asking is not None and self._asking.done():
            self._asking = None
        if self._asking is None and may_ask and not self._is_fresh():
            self._asking = asyncio.create_task(self._ask(), name=SELF_TEST)
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=LOOK_S)
        age_s = None if self._passed_at_s is None else self._now_s() - self._passed_at_s
        return SelfTestHealth(age_s, self._error)

    async def aclose(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _is_fresh(self) -> bool:
        return not self._error and self._passed_at_s is not None and self._now_s() - self._passed_at_s < FRESH_S

    async def _ask(self) -> None:
        prompt = Prompt(
            request_id=RequestId(f"{SELF_TEST}-{secrets.token_hex(4)}"),
            conversation=SELF_TEST,
            system="",
            turns=(Turn(Role.USER, "hello"),),
            sampling=Sampling(max_new_tokens=1, temperature=0, seed=0),
            deadline_s=SELF_TEST_DEADLINE_S,
        )
        try:
            async with aclosing(self._generator.stream(prompt)) as events:
                async for _ in events:
                    pass
        except Exception as error:
            self._error = str(error) or type(error).__name__
            if not isinstance(error, InferenceError):
                log.exception("unforeseen failure of the self-test")
        else:
            self._passed_at_s, self._error = self._now_s(), ""
            await self._generator.forget(SELF_TEST)


class Watch:
    """Looks at everything at once."""

    def __init__(
        self,
        *,
        generator: OpenedGenerator,
        room: Room,
        platforms: Mapping[PlatformName, Platform],
        probe: Probe,
        now_s: Callable[[], float],
        backup: Callable[[], BackupHealth | None] = no_backups,
    ) -> None:
        self._generator = generator
        self._room = room
        self._platforms = platforms
        self._probe = probe
        self._backup = backup
        self._self_test = SelfTest(generator, now_s)

    async def facts(self, refused: Mapping[PlatformName, str]) -> Facts:
        """Return what is true now; takes at most `LOOK_S`.

        Args:
            refused: Platforms that are off for good, and why.
        """
        status, worker, answering = self._generator.status(), self._generator.worker(), self._room.streams
        # A server elsewhere watches over itself, and may charge for every question.
        may_ask = worker is not None and status.state is GeneratorState.READY and not answering
        (database_error, outbox_s), self_test = await asyncio.gather(
            self._write(), self._self_test.look(may_ask=may_ask)
        )
        return Facts(
            model_state=status.state,
            model_detail=status.detail,
            platforms={name: _told(platform.health(), refused.get(name)) for name, platform in self._platforms.items()},
            worker=worker,
            self_test=None if worker is None else self_test,
            answering=answering,
            waiting_s=self._longest_wait_s(),
            outbox_s=outbox_s,
            database_error=database_error,
            backup=self._backup(),
        )

    async def aclose(self) -> None:
        """Look no more."""
        await self._self_test.aclose()

    def _longest_wait_s(self) -> float:
        return max((self._room.waited_s(turn) for turn in self._room.open_turns() if turn.task is None), default=0.0)

    async def _write(self) -> tuple[str, float]:
        try:
            async with asyncio.timeout(LOOK_S):
                return "", await self._probe(self._platforms)
        except TimeoutError:
            return f"the database has taken no row within {LOOK_S:g} s", 0.0
        except StorageError as error:
            return str(error), 0.0


def _told(health: PlatformHealth, refusal: str | None) -> PlatformHealth:
    return health if refusal is None else replace(health, is_on=False, detail=f"off: {refusal}")
