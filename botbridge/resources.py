"""What this process may use of the machine: cores and memory, by the kernel and by its control group.

A container sees all of the machine's cores and memory, and may use a part of
them; what it may use stands in the files of its control group. Every reader
takes the root of the file system, so that tests bring their own.

Covered: Linux, control groups of both versions and all groups above our own,
hyper-threads counted as the one core that they share.
Not covered: other systems; there the number of processors counts, and the free
memory is unknown.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
KIBIBYTE: Final = 1024

NO_LIMIT_BYTES: Final = 2**60
"""Version 1 writes "no limit" as the largest number of whole pages, just below 2**63."""

MEMORY_NAMES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""A control group's limit, its use, and what of the use is file pages that can be dropped; version 2 and version 1."""

KILLS_NAMES: Final = ("memory.events", "memory.oom_control")
KILLS_KEY: Final = "oom_kill"
"""Where a control group counts whom any OOM killer of the kernel ended in it; version 2 and version 1.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, section 10.
"""

RESIDENT_FIELD: Final = 1
"""Source: proc(5), /proc/PID/statm: size, resident, ... in pages."""


def usable_cores(root: Path = ROOT, allowed: Collection[int] | None = None) -> int:
    """Return how many threads this process should compute with; 1 or more.

    Args:
        root: Where the kernel's files lie.
        allowed: Numbers of the processors that the process may run on; None asks the kernel.
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return whole_cores(count_cores(root, allowed), list(_processor_limits(root)))


def whole_cores(cores: int, limits: Collection[float]) -> int:
    """Return how many cores are wholly ours.

    The kernel pauses a group that has used up its share, and threads that compute
    a layer together wait for the one that is paused: so a part of a core does not count.

    Args:
        cores: What there is.
        limits: What each control group grants, in processors.

    >>> whole_cores(8, [2.5, 4.0]), whole_cores(8, []), whole_cores(2, [0.5])
    (2, 8, 1)
    """
    return max(1, min(cores, *(int(limit) for limit in limits), cores))


def count_cores(root: Path, processors: Collection[int]) -> int:
    """Return how many cores these processors are, two hyper-threads of a core being one."""
    cores = set()
    for number in processors:
        siblings = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        cores.add(_read(siblings) or str(number))
    return len(cores)


def available_memory_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory this process can still take; None where that is unknown."""
    found = [*_group_memory(root), *_machine_memory(root, "MemAvailable")]
    return max(min(found), 0) if found else None


def processor_limit(root: Path = ROOT) -> float | None:
    """Return how many processors our control group and those above it grant; None where they set no limit."""
    return min(_processor_limits(root), default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory our control group and those above it grant; None where they set no limit."""
    limits = (limit for limit, _, _ in _group_limits(root))
    return min((limit for limit in limits if limit < NO_LIMIT_BYTES), default=None)


def usable_memory_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory this process and those beside it may use together; None where that is unknown."""
    limits = [limit for limit, _, _ in _group_limits(root)]
    return min((*limits, *_machine_memory(root, "MemTotal")), default=None)


def memory_kills(root: Path = ROOT) -> int | None:
    """Return how many processes the kernel has killed for want of memory; None where it does not tell.

    Those of our own control group count, whichever limit was reached; outside
    of all groups those of the machine do.
    """
    places = [directory / name for directory in _groups(root, "memory") for name in KILLS_NAMES]
    counts = (_fields(place).get(KILLS_KEY) for place in (*places, root / "proc/vmstat"))
    return next((int(count) for count in counts if count is not None), None)


def resident_bytes(pid: int, root: Path = ROOT) -> int | None:
    """Return how much of a process lies in memory; None where it is gone or that is unknown."""
    sizes = (_read(root / f"proc/{pid}/statm") or "").split()
    return int(sizes[RESIDENT_FIELD]) * mmap.PAGESIZE if sizes else None


def anonymous_bytes(pid: int, root: Path = ROOT) -> int:
    """Return how much memory is free once a process ends: what it wrote itself and lies in memory; 0 where it is gone.

    Pages of files, libraries among them, are no part of it: the kernel counts them as available while they are used.
    Source: proc(5), /proc/PID/status, RssAnon.
    """
    return int(_fields(root / f"proc/{pid}/status").get("RssAnon:", 0)) * KIBIBYTE


def _processor_limits(root: Path) -> Iterator[float]:
    """Yield what our control group and those above it grant, in processors."""
    for directory in _groups(root, "cpu"):
        both = (_read(directory / "cpu.max") or "").split()
        quota, period = both or (_read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us"))
        if quota and period and quota not in {"max", "-1"}:
            yield int(quota) / int(period)


def _group_memory(root: Path) -> Iterator[int]:
    """Yield what is left in our control group and in those above it; file pages that can be dropped count as left."""
    for limit_bytes, usage_bytes, droppable_bytes in _group_limits(root):
        yield limit_bytes - usage_bytes + droppable_bytes


def _group_limits(root: Path) -> Iterator[tuple[int, int, int]]:
    """Yield limit, use and what can be dropped of our control group and of those above it that have a limit."""
    for directory in _groups(root, "memory"):
        for limit_name, usage_name, droppable_name in MEMORY_NAMES:
            limit, usage = _read(directory / limit_name), _read(directory / usage_name)
            if limit and usage and limit != "max":
                yield int(limit), int(usage), int(_fields(directory / "memory.stat").get(droppable_name, 0))


def _machine_memory(root: Path, name: str) -> Iterator[int]:
    """Yield a size of the machine's memory in bytes; nothing where the kernel does not tell it."""
    if (amount := _fields(root / "proc/meminfo").get(f"{name}:")) is not None:
        yield int(amount) * KIBIBYTE


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the directories of our control group and of those above it, for version 2 and for version 1."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        own = mount / path.strip("/")
        yield from (directory for directory in (own, *own.parents) if directory.is_relative_to(mount))


def _fields(path: Path) -> dict[str, str]:
    """Return the second word of each of a file's lines by the first; nothing where there is no such file."""
    lines = (line.split() for line in (_read(path) or "").splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def _read(path: Path) -> str | None:
    """Return a file's text; None where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
