"""The echo engine with magic words that break it, for tests of everything around it.

Reached only by the engine name `echo-faults`: with any other engine these words are plain text.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from botbridge.answers import RequestId, Sampling
from botbridge.inference.engines.base import EnginePrompt, TokenEvent
from botbridge.inference.engines.echo import EchoEngine
from botbridge.inference.protocol import Failed, FailureKind


class Undecodable:
    """Pickles well and raises ValueError when it is unpickled."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        """Name a call that fails at the other end."""
        return int, ("not a number",)


class FaultyEchoEngine(EchoEngine):
    """Echoes, but a message that begins with a fault word has its fault before the first word is said.

    `!slow:SECONDS` pauses before every word, `!hang` never returns, `!segv`
    `!oom` `!exit0` end the process (as a fault in C code, as the kernel short of
    memory, as a library that calls exit), `!raise` raises,
    `!garbage` `!undecodable` `!unknown` `!late` send what the protocol forbids:
    no message at all, one that cannot be read, one for a request that nobody
    made, and one of the generation before.
    """

    def __init__(self, generation: int, send: Callable[[object], None]) -> None:
        super().__init__()
        self._generation = generation
        self._send = send
        self._pauses_s: dict[RequestId, float] = {}
        self._faults: dict[RequestId, str] = {}

    def submit(
        self,
        request_id: RequestId,
        conversation: str,
        prompt: EnginePrompt,
        sampling: Sampling,
        adapter: str | None = None,
    ) -> int:
        """Take a request on and note its fault word."""
        word = bytes(prompt.ids).decode().split(maxsplit=1)[0]
        name, _, seconds = word.partition(":")
        if name == "!slow":
            self._pauses_s[request_id] = float(seconds)
        elif name.startswith("!"):
            self._faults[request_id] = name
        return super().submit(request_id, conversation, prompt, sampling, adapter)

    def advance(self, request_id: RequestId) -> TokenEvent:
        """Commit the fault that is due, then say the next word."""
        self._commit(request_id, self._faults.pop(request_id, ""))
        time.sleep(self._pauses_s.get(request_id, 0))
        return super().advance(request_id)

    def _commit(self, request_id: RequestId, fault: str) -> None:
        match fault:
            case "!hang":
                threading.Event().wait()
            case "!segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "!oom":
                os.kill(os.getpid(), signal.SIGKILL)
            case "!exit0":
                os._exit(0)
            case "!raise":
                raise RuntimeError("asked to fail")
            case "!garbage":
                self._send({"request": "unheard of"})
            case "!undecodable":
                self._send(Undecodable())
            case "!unknown":
                self._send(Failed(self._generation, RequestId("nobody's"), FailureKind.ENGINE, "unheard of"))
            case "!late":
                self._send(Failed(self._generation - 1, request_id, FailureKind.ENGINE, "from the past"))
