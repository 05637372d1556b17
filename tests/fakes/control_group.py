"""A control group with a limit of memory, as a container has one; made below our own, and gone afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
GONE_WITHIN_S = 10.0


class NoGroupError(Exception):
    """None can be made here; the text says why."""


@contextmanager
def limited_group(limit_bytes: int) -> Iterator[Path]:
    """Make a group whose processes may use so much memory together, and no swap.

    Raises:
        NoGroupError: None can be made here.
    """
    group = _new_group()
    try:
        _limit(group, limit_bytes)
        yield group
    finally:
        _remove(group)


def joining(group: Path) -> tuple[str, ...]:
    """What to put before a command, so that all that comes of it lives in the group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")


def _new_group() -> Path:
    """Make a group with files that limit memory: below our own, or beside it.

    Version 2 lets no group have both processes and groups with such files below
    it; there it is beside ours, where whoever made ours allows it.
    """
    refusals = []
    for parent in _parents():
        group = parent / f"botbridge-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            refusals.append(str(error))
            continue
        if any((group / name).exists() for name in ("memory.max", "memory.limit_in_bytes")):
            return group
        group.rmdir()
        refusals.append(f"{parent} has no memory controller for its children")
    raise NoGroupError("; ".join(refusals) or "the kernel has no memory controller mounted")


def _parents() -> Iterator[Path]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in {"memory", ""}:
            own = MOUNT / controllers / path.strip("/")
            yield own
            if not controllers and own != MOUNT:
                yield own.parent


def _limit(group: Path, limit_bytes: int) -> None:
    if (group / "memory.max").exists():
        (group / "memory.max").write_text(str(limit_bytes))
        with suppress(OSError):  # a kernel without swap has no such file
            (group / "memory.swap.max").write_text("0")
        return
    (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    with suppress(OSError):
        (group / "memory.memsw.limit_in_bytes").write_text(str(limit_bytes))


def _remove(group: Path) -> None:
    """Remove a group whose processes have been killed; the kernel may take a moment to see them off."""
    deadline_s = time.monotonic() + GONE_WITHIN_S
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
        else:
            return
