"""How much memory a process occupies."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path
from typing import Final

KIBIBYTE: Final = 1024
RESIDENT_FIELD: Final = 1
"""Source: proc(5), /proc/PID/statm: size, resident, ... in pages."""


def resident_bytes(pid: int | None) -> int:
    """Return the resident memory of a process; 0 where it is gone."""
    if pid is None:
        return 0
    if Path("/proc/self/statm").exists():
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[RESIDENT_FIELD]) * resource.getpagesize()
        except OSError:
            return 0
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return int(told.stdout.strip() or 0) * KIBIBYTE
