"""How much memory a process occupies."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from botbridge import resources

KIBIBYTE: Final = 1024


def resident_bytes(pid: int | None) -> int:
    """Return the resident memory of a process; 0 where it is gone."""
    if pid is None:
        return 0
    if Path("/proc/self/statm").exists():
        return resources.resident_bytes(pid) or 0
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return int(told.stdout.strip() or 0) * KIBIBYTE
