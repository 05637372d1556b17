"""Faults of the machine under a whole process: a few lines of C in front of the C library, compiled for the test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent


class NoCompilerError(Exception):
    """Nothing can be compiled or put in front here; the text says why."""


def compiled(name: str, directory: Path) -> Path:
    """Compile one of the sources beside this file into a library in a directory.

    Raises:
        NoCompilerError: This machine cannot.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise NoCompilerError("a C compiler on Linux is needed")
    library = directory / f"{name}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, HERE / f"{name}.c", "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True)
class FaultyDisk:
    """A disk that takes nothing more for a database while it is told so."""

    library: Path
    told: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before the command that is to have this disk."""
        return ("env", f"LD_PRELOAD={self.library}", f"FAULTY_DISK={self.told}")

    def fail(self, what: Literal["flush", "write"]) -> None:
        """Fail these calls from now on."""
        self.told.write_text(what)

    def mend(self) -> None:
        """Work again."""
        self.told.unlink()
