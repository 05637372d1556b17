"""A botbridge while it runs: opened in one order, closed in the reverse, watched in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import structlog

from botbridge import __version__
from botbridge.answers import GeneratorState, Sampling
from botbridge.control import Act, ControlServer, Feed
from botbridge.control_verbs import PersonId, Question, ResetTarget, Verbs
from botbridge.conversation.acts import Acts
from botbridge.conversation.delivery import Delivery
from botbridge.conversation.line import Entry
from botbridge.conversation.room import Room
from botbridge.conversation.service import ConversationService
from botbridge.conversation.waits import Waits
from botbridge.errors import BadToken, PlatformError
from botbridge.health import Limits, complaints, warnings
from botbridge.inference.readiness import until_ready
from botbridge.messages import AuditEntry, PlatformName
from botbridge.platforms.terminal.adapter import TerminalPlatform, local_person
from botbridge.platforms.terminal.window import Shown
from botbridge.ports import Audit, History, OpenedGenerator, People, Platform, TextGenerator
from botbridge.watching import Watch

PLATFORM_PAUSE_S = 10.0
BY_CONTROL = "operator:control"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Operations:
    """What the operator may ask of the running service through the control socket."""

    history: History
    people: People
    audit: Audit
    generator: TextGenerator
    room: Room
    waits: Waits
    acts: Acts
    terminal: TerminalPlatform
    backup: Callable[[Path], Awaitable[Path]]
    sampling: Sampling

    async def queue(self) -> dict[str, object]:
        """Who waits and who is being answered, by ids and never by what was said; how right the waits were."""
        line = self.room.line

        def shown(entries: tuple[Entry, ...]) -> list[dict[str, object]]:
            rows = [entry.row for entry in entries]
            return [{"id": row.id, "platform": row.key.platform, "person": row.incoming.sender.user_id} for row in rows]

        return {"running": shown(line.running), "waiting": shown(line.waiting), "waits": self.waits.summary()}

    async def reset(self, target: ResetTarget) -> int:
        """Start conversations anew; how many."""
        if target.person is not None:
            keys = await self.history.matching(platform=target.person.platform, user_id=target.person.user_id)
        elif target.chat is not None:
            platform, chat_id = target.chat
            keys = await self.history.matching(platform=platform, chat_id=chat_id)
        else:
            keys = await self.history.matching()
        await self.acts.start_anew(keys)
        await self.audit.record(AuditEntry(BY_CONTROL, "reset", str(target), allowed=True, reason="operator"))
        return len(keys)

    async def export(self, person: PersonId) -> Mapping[str, object]:
        """Everything stored of a person."""
        await self.audit.record(AuditEntry(BY_CONTROL, "export", str(person), allowed=True, reason="operator"))
        return await self.people.export(person.platform, person.user_id)

    async def forget(self, person: PersonId) -> Mapping[str, int]:
        """Erase a person."""
        erased = await self.acts.forget(person.platform, person.user_id)
        await self.audit.record(AuditEntry(BY_CONTROL, "forget", str(person), allowed=True, reason="operator"))
        return erased

    def chat(self, question: Question) -> AsyncGenerator[Shown, None]:
        """Say something at the terminal of this machine."""
        person = local_person()
        if question.language is not None:
            person = replace(person, language=question.language)
        sampling = None if question.seed is None else replace(self.sampling, seed=question.seed)
        return self.terminal.ask(person, question.text, sampling=sampling)

    def late(self) -> AsyncGenerator[str, None]:
        """Replies that nobody waited for any more."""
        return self.terminal.late_replies(local_person())


class Site(Protocol):
    """What listens for HTTP: entered, it holds its port, which is a `ConfigError` when it is taken."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        """Answer until cancelled."""
        ...


class App:
    """Everything, made and wired; runs as long as its `async with` block does."""

    def __init__(
        self,
        *,
        opened_storage: Callable[[], AbstractAsyncContextManager[None]],
        generator: OpenedGenerator,
        service: ConversationService,
        delivery: Delivery,
        platforms: Mapping[PlatformName, Platform],
        terminal: TerminalPlatform,
        operations: Operations,
        watch: Watch,
        healthy: Limits,
        control: Callable[[Mapping[str, Act | Feed]], ControlServer] | None,
        web: Site | None = None,
    ) -> None:
        self.generator = generator
        self.service = service
        self.terminal = terminal
        self.platforms = platforms
        self._opened_storage = opened_storage
        self._delivery = delivery
        self._operations = operations
        self._watch = watch
        self.healthy = healthy
        """By which `health` judges."""
        self._control = control
        self._web = web
        self._refused: dict[PlatformName, str] = {}
        self._core: list[asyncio.Task[None]] = []
        self._intake: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open everything; messages are accepted when this returns, the model follows by itself.

        Raises:
            StorageError: the database cannot be used; nothing was accepted.
            ControlError: the control socket cannot be served.
            ConfigError: the port for the webhook cannot be had.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._opened_storage())
            await stack.enter_async_context(self.generator)
            stack.push_async_callback(self._watch.aclose)
            for platform in self.platforms.values():
                if isinstance(platform, AbstractAsyncContextManager):
                    await stack.enter_async_context(platform)
            await self.service.resume()
            self._core = [self._begin(stack, self._delivery.run()), self._begin(stack, self.service.run())]
            if self._control is not None:
                await stack.enter_async_context(self._control(self._verbs().handlers()))
            if self._web is not None:
                await stack.enter_async_context(self._web)
                self._core.append(self._begin(stack, self._web.run()))
            self._intake = [self._begin(stack, self._take_in(platform)) for platform in self.platforms.values()]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything; what is unfinished stays in the database."""
        await self._stack.aclose()

    async def drain(self, grace_s: float) -> None:
        """Take nothing more in, and let what is being answered come to its end, for so long at most, in seconds."""
        # First: an intake may take seconds to end, and an answer that was begun then would be cut.
        self.service.begin_no_more()
        await asyncio.gather(*(_end(task) for task in self._intake))
        await self.service.drain(grace_s)

    async def wait_ready(self) -> None:
        """Return when the model can answer.

        Raises:
            ModelUnavailable: it cannot; the sentence says why.
        """
        await until_ready(self.generator)

    async def failed(self) -> None:
        """Raise what ended the service or the delivery; both run until the app is left, so it never returns."""
        done, _ = await asyncio.wait(self._core, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError("the service ended by itself")

    async def health(self) -> dict[str, object]:
        """What works now; `ok` when there is nothing to complain of. It writes a row and may ask the worker."""
        facts = await self._watch.facts(self._refused)
        found = complaints(facts, self.healthy)
        status = self.generator.status()
        line = await self._operations.queue()
        platforms = {
            name: "on" if health.is_on else health.detail or "not connected" for name, health in facts.platforms.items()
        }
        return {
            "ok": not found,
            "complaints": [f"{complaint.part}: {complaint.sentence}" for complaint in found],
            "warnings": list(warnings(facts)),
            "facts": asdict(facts),
            "version": __version__,
            "model": status.model,
            "revision": status.revision,
            "engine": status.engine,
            "state": status.state,
            "detail": status.detail,
            "platforms": platforms,
            **line,
        }

    def _verbs(self) -> Verbs:
        operations = self._operations
        return Verbs(
            health=self.health,
            queue=operations.queue,
            reset=operations.reset,
            backup=operations.backup,
            export=operations.export,
            forget=operations.forget,
            chat=operations.chat,
            late=operations.late,
        )

    async def _take_in(self, platform: Platform) -> None:
        """Let one platform's messages in; whatever becomes of it, the others go on."""
        while True:
            try:
                await platform.run(self.service.receive)
                return
            except BadToken as error:
                self._refused[platform.name] = str(error)
                log.error("platform is off", platform=platform.name, error=str(error))
                return
            except PlatformError as error:
                log.error("platform failed, it is started again", platform=platform.name, error=str(error))
            except Exception as error:
                log.exception("platform failed unforeseen, it is started again", platform=platform.name, exc_info=error)
            await asyncio.sleep(PLATFORM_PAUSE_S)

    def _begin(self, stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        stack.push_async_callback(_end, task)
        return task


async def deaf(generator: TextGenerator, after_s: float) -> str:
    """Return the reason once the model could not run for so long; loading it for the first time is no such time."""
    while True:
        while generator.status().state is not GeneratorState.UNAVAILABLE:
            await generator.changed()
        try:
            async with asyncio.timeout(after_s):
                while generator.status().state is not GeneratorState.READY:
                    await generator.changed()
        except TimeoutError:
            return generator.status().detail


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
