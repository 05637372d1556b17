"""How much memory the bot holds that runs on the same data: what is free again once it stops.

Covered: Linux, the service and all processes that it started.
Not covered: other systems, and a bot in a container of its own, whose processes
cannot be seen from here; what such a bot holds counts as another program's.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from botbridge.control import SOCKET_NAME
from botbridge.resources import anonymous_bytes

PATIENCE_S: Final = 1.0

CREDENTIALS: Final = struct.Struct("3i")
"""Process, user and group of who listens on a socket. Source: unix(7), SO_PEERCRED."""


def bot_memory_bytes(home: Path) -> int:
    """Return what the running bot and its processes hold for themselves; 0 where none runs or can be seen."""
    pid = listening_process(home / SOCKET_NAME)
    if pid is None:
        return 0
    pids = [pid]
    with suppress(psutil.Error):
        pids += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return sum(anonymous_bytes(each) for each in pids)


def listening_process(path: Path) -> int | None:
    """Return which process listens on a socket; None where none does, or it cannot be told."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE_S)
        try:
            caller.connect(os.fspath(path))
            told = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        except OSError:
            return None
    pid, _, _ = CREDENTIALS.unpack(told)
    return pid or None
