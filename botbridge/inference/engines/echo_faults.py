"""The echo engine with magic words that break it, for tests of everything around it.

Reached only by the engine name `echo-faults`: with any other engine these words are plain text.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from botbridge.answers import RequestId, Sampling
from botbridge.inference.engines.base import EnginePrompt, TokenEvent
from botbridge.inference.engines.echo import EchoEngine
from botbridge.inference.protocol import DeltaMessage, Failed, FailureKind

MEBIBYTE = 2**20
POURED_MESSAGES = 256


class Undecodable:
    """Pickles well and raises ValueError when it is unpickled."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        """Name a call that fails at the other end."""
        return int, ("not a number",)


class FaultyEchoEngine(EchoEngine):
    """Echoes, but a message that begins with a fault word has its fault before the first word is said.

    `!slow:SECONDS` pauses before every word, `!hang` never returns, `!seize`
    neither and keeps Python's lock, `!segv`
    `!abort` `!oom` `!exit0` `!exit3` end the process (as a fault in C code, as a
    failed assertion there, as the kernel short of memory, as a library that
    calls exit, as Python code that does), `!raise` raises, `!eat` takes all the
    memory there is, `!pour` sends 256 MiB of words at once,
    `!garbage` `!undecodable` `!unknown` `!twice` `!late` send what the protocol
    forbids: no message at all, one that cannot be read, one for a request that
    nobody made, a second end of a request, and one of the generation before.
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
            case "!seize":
                ctypes.PyDLL(None).pause()
            case "!raise":
                raise RuntimeError("asked to fail")
            case "!eat":
                eaten: list[bytearray] = []
                while True:
                    eaten.append(bytearray(MEBIBYTE))
            case "!segv" | "!abort" | "!oom" | "!exit0" | "!exit3":
                _end_process(fault)
            case _:
                for message in self._forbidden(request_id, fault):
                    self._send(message)

    def _forbidden(self, request_id: RequestId, fault: str) -> Iterator[object]:
        """What the protocol forbids, or what no pipe holds."""
        match fault:
            case "!garbage":
                yield {"request": "unheard of"}
            case "!undecodable":
                yield Undecodable()
            case "!unknown":
                yield Failed(self._generation, RequestId("nobody's"), FailureKind.ENGINE, "unheard of")
            case "!twice":
                for _ in range(2):
                    yield Failed(self._generation, request_id, FailureKind.ENGINE, "asked to fail twice")
            case "!late":
                yield Failed(self._generation - 1, request_id, FailureKind.ENGINE, "from the past")
            case "!pour":
                for number in range(POURED_MESSAGES):
                    yield DeltaMessage(self._generation, request_id, "x" * MEBIBYTE, number)


def _end_process(fault: str) -> None:
    match fault:
        case "!segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "!abort":
            os.abort()
        case "!oom":
            os.kill(os.getpid(), signal.SIGKILL)
        case "!exit0":
            os._exit(0)
        case _:
            sys.exit(3)
