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
    found = [left for _, left in _group_memory(root)]
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            found.append(int(amount.split()[0]) * KIBIBYTE)
    return max(min(found), 0) if found else None


def processor_limit(root: Path = ROOT) -> float | None:
    """Return how many processors our control group and those above it grant; None where they set no limit."""
    return min(_processor_limits(root), default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory our control group and those above it grant; None where they set no limit."""
    limits = (limit for limit, _ in _group_memory(root))
    return min((limit for limit in limits if limit < NO_LIMIT_BYTES), default=None)


def _processor_limits(root: Path) -> Iterator[float]:
    """Yield what our control group and those above it grant, in processors."""
    for directory in _groups(root, "cpu"):
        both = (_read(directory / "cpu.max") or "").split()
        quota, period = both or (_read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us"))
        if quota and period and quota not in {"max", "-1"}:
            yield int(quota) / int(period)


def _group_memory(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and what is left of it, of our control group and those above; droppable file pages count as left."""
    for directory in _groups(root, "memory"):
        for limit_name, usage_name, droppable_name in MEMORY_NAMES:
            limit, usage = _read(directory / limit_name), _read(directory / usage_name)
            if limit and usage and limit != "max":
                statistics = dict(line.split() for line in (_read(directory / "memory.stat") or "").splitlines())
                yield int(limit), int(limit) - int(usage) + int(statistics.get(droppable_name, 0))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the directories of our control group and of those above it, for version 2 and for version 1."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        own = mount / path.strip("/")
        yield from (directory for directory in (own, *own.parents) if directory.is_relative_to(mount))


def _read(path: Path) -> str | None:
    """Return a file's text; None where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
