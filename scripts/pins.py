"""Write constraints.txt from what is installed here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
HEAD = """\
# Every version that botbridge is tested with; pip reads it with -c. Written by `make pins`.
# torch stands without a local version, so that its CPU and CUDA builds both satisfy it; no hashes, for the same reason.
"""


def pins(frozen: Iterable[str]) -> str:
    """Keep plain pins, without local versions and without what came from a folder.

    >>> print(pins(["torch==2.13.0+cpu", "-e /here", "x @ file:///x", "y==1"]).removeprefix(HEAD))
    torch==2.13.0
    y==1
    <BLANKLINE>
    """
    return HEAD + "".join(f"{line.partition('+')[0]}\n" for line in frozen if "==" in line and " @ " not in line)


if __name__ == "__main__":
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--exclude", "botbridge"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    CONSTRAINTS.write_text(pins(line for line in done.stdout.splitlines() if line[:1] not in "#-"), encoding="utf-8")
