"""A language model that says what the test tells it to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from botbridge.answers import (
    Completion,
    Delta,
    FinishReason,
    GeneratorState,
    GeneratorStatus,
    KnownAdapter,
    Prompt,
    Provenance,
    Started,
)
from botbridge.errors import WorkerDied


class ScriptedGenerator:
    """Implements `TextGenerator`: `enqueue` answers or failures, read `prompts` afterwards.

    Without a script it answers `echo: <newest user text>`. While `hold` is set
    it stops after the first word of each answer until `release` is called.
    """

    def __init__(self, *, state: str = "ready", slots: int = 1) -> None:
        self.prompts: list[Prompt] = []
        self.cancelled: list[Prompt] = []
        self.forgotten: list[str] = []
        self.asked = asyncio.Event()
        self.finish_reason = FinishReason.STOP
        self._status = GeneratorStatus(
            GeneratorState(state), engine="scripted", model="m", revision="r1", context_tokens=4096
        )
        self._status = replace(self._status, slots=slots)
        self._script: deque[Sequence[str] | Exception] = deque()
        self._changed = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    def enqueue(self, *answers: Sequence[str] | Exception) -> None:
        """Script what comes next: the pieces of an answer, or a failure."""
        self._script.extend(answers)

    def hold(self) -> None:
        """Stop every answer after its first piece."""
        self._free.clear()

    def release(self) -> None:
        """Let held answers go on."""
        self._free.set()

    def become(self, state: str) -> None:
        """Change the status, as a dying or reviving worker would."""
        self._status = replace(self._status, state=GeneratorState(state))
        self._changed.set()
        self._changed = asyncio.Event()

    def tell_adapters(self, *adapters: KnownAdapter) -> None:
        """Let the status name these adapters."""
        self._status = replace(self._status, adapters=adapters)

    def status(self) -> GeneratorStatus:
        return self._status

    async def changed(self) -> None:
        await self._changed.wait()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        self.prompts.append(prompt)
        self.asked.set()
        answer: Sequence[str] | Exception = [f"echo: {prompt.turns[-1].text}"]
        if self._script:
            answer = self._script.popleft()
        yield Started(prompt_tokens=len(prompt.turns), cached_tokens=0, used_turns=len(prompt.turns))
        if isinstance(answer, Exception):
            raise answer
        try:
            for number, piece in enumerate(answer, start=1):
                yield Delta(piece, number)
                await self.rest()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(prompt)
            raise
        provenance = Provenance(
            model="m",
            revision="r1",
            engine="scripted",
            engine_version="1",
            sampling=prompt.sampling,
            prompt_hash="0" * 64,
            prompt_tokens=len(prompt.turns),
            cached_tokens=0,
            used_turns=len(prompt.turns),
            completion_ids=tuple(range(len(answer))),
        )
        yield Completion(self.finish_reason, provenance)

    async def rest(self) -> None:
        """Return when the answer may go on."""
        await self._free.wait()

    async def forget(self, conversation: str) -> None:
        self.forgotten.append(conversation)


class PoisonedGenerator(ScriptedGenerator):
    """A worker that dies at the word `poison`, and takes every answer in the making with it.

    Attributes:
        deaths: How often it died.
        died: Set once it has.
    """

    def __init__(self, *, slots: int) -> None:
        super().__init__(slots=slots)
        self.deaths = 0
        self.died = asyncio.Event()
        self._death = asyncio.Event()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        async with aclosing(super().stream(prompt)) as events:
            async for event in events:
                yield event
                if isinstance(event, Started) and "poison" in prompt.turns[-1].text:
                    for _ in range(20):  # those who came with it have begun by then
                        await asyncio.sleep(0)
                    self.deaths += 1
                    self.died.set()
                    self._death.set()
                    self._death = asyncio.Event()
                    raise WorkerDied("signal 11")

    async def rest(self) -> None:
        death = self._death
        ends = [asyncio.ensure_future(death.wait()), asyncio.ensure_future(super().rest())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if death.is_set():
            raise WorkerDied("signal 11")
