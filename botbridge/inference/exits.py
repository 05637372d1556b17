"""Why a worker ended, as the operator reads it.

A process that the kernel kills for want of memory leaves nothing behind but the
number of the signal, which anybody may have sent. So the kernel's own count of
such kills is read when a worker starts and again when it has ended.

Covered: Linux, with a control group of either version or without any.
Not covered: programs that kill in the kernel's place (systemd-oomd, earlyoom),
which it does not count.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from botbridge.resources import ROOT, memory_kills, resident_bytes, usable_memory_bytes

MEBIBYTE = 2**20
REMEDY = "grant it more, take a smaller model, or lower BOTBRIDGE_INFERENCE__CACHE_BYTES"


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What is known of memory when a worker has ended; None of what is not.

    Attributes:
        kills: How many processes the kernel has killed for want of it since the worker started.
        limit_bytes: How much the worker and the service may use together.
        resident_bytes: How much the worker held when it was last looked at.
    """

    kills: int | None = None
    limit_bytes: int | None = None
    resident_bytes: int | None = None


class MemoryWitness:
    """Looks at the memory of one worker while that lives, and tells of it afterwards."""

    def __init__(self, pid: int | None, root: Path = ROOT) -> None:
        """Begin with a worker that has just started.

        Args:
            pid: Of the worker.
            root: Where the kernel's files lie.
        """
        self._pid = pid
        self._root = root
        self._kills = memory_kills(root)
        self._resident_bytes: int | None = None

    def look(self) -> None:
        """Note how much memory it holds; nothing of it can be seen once it has ended."""
        if self._pid is not None and (held_bytes := resident_bytes(self._pid, self._root)):
            self._resident_bytes = held_bytes

    def facts(self) -> MemoryFacts:
        """Return what is known, after its end."""
        kills = memory_kills(self._root)
        since = None if kills is None or self._kills is None else max(kills - self._kills, 0)
        return MemoryFacts(since, usable_memory_bytes(self._root), self._resident_bytes)


def explain_exit(exit_code: int, memory: MemoryFacts) -> str:
    """Say how a process ended that was not ended by us.

    Args:
        exit_code: Negative for a signal.
        memory: What is known of memory.

    >>> explain_exit(0, MemoryFacts()), explain_exit(-11, MemoryFacts())
    ('ended with exit code 0', 'was ended by SIGSEGV')
    >>> explain_exit(-9, MemoryFacts())
    'was ended by SIGKILL, perhaps by the system for want of memory'
    >>> explain_exit(-9, MemoryFacts(kills=0))
    'was ended by SIGKILL, and not by the kernel for want of memory'
    """
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    if -exit_code != signal.SIGKILL:
        return f"was ended by {signal.Signals(-exit_code).name}"
    match memory.kills:
        case None:
            return "was ended by SIGKILL, perhaps by the system for want of memory"
        case 0:
            return "was ended by SIGKILL, and not by the kernel for want of memory"
        case _:
            return f"was killed by the kernel for want of memory{_amounts(memory)}; {REMEDY}"


def killed_by_somebody(exit_code: int, memory: MemoryFacts) -> bool:
    """Tell whether a process was killed from outside: nothing that it did is to blame.

    >>> killed_by_somebody(-9, MemoryFacts(kills=0)), killed_by_somebody(-9, MemoryFacts(kills=1))
    (True, False)
    >>> killed_by_somebody(-9, MemoryFacts()), killed_by_somebody(-4, MemoryFacts(kills=0))
    (False, False)
    """
    return exit_code == -signal.SIGKILL and memory.kills == 0


def _amounts(memory: MemoryFacts) -> str:
    """Say in brackets what a worker held and of how much, as far as it is known.

    >>> _amounts(MemoryFacts(1, limit_bytes=512 * MEBIBYTE, resident_bytes=301 * MEBIBYTE))
    ' (it held 301 MiB when it was last looked at; it and the service may use 512 MiB together)'
    >>> _amounts(MemoryFacts(1, limit_bytes=512 * MEBIBYTE)), _amounts(MemoryFacts(1))
    (' (it and the service may use 512 MiB together)', '')
    """
    said = []
    if memory.resident_bytes is not None:
        said.append(f"it held {memory.resident_bytes / MEBIBYTE:.0f} MiB when it was last looked at")
    if memory.limit_bytes is not None:
        said.append(f"it and the service may use {memory.limit_bytes / MEBIBYTE:.0f} MiB together")
    return f" ({'; '.join(said)})" if said else ""
