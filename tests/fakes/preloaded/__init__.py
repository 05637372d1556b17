"""Faults of the machine under a whole process tree: a few lines of C before the C library, compiled for the test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, Self

HERE = Path(__file__).parent


class NoCompilerError(Exception):
    """Nothing can be put before the C library here; the text says why."""


class Preloaded:
    """A library before the C library of every process of a tree, and the file from which it is told what to do."""

    def __init__(self, library: Path, told: Path) -> None:
        self._library = library
        self._told = told

    @classmethod
    def compiled(cls, name: str, directory: Path) -> Self:
        """Compile one of the sources beside this file; it does nothing yet.

        Raises:
            NoCompilerError: This machine cannot.
        """
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None or sys.platform != "linux":
            raise NoCompilerError(f"{name}.c needs a C compiler, on Linux")
        library, told = directory / f"{name}.so", directory / f"{name}.told"
        options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f'-DTOLD="{told}"')
        subprocess.run([compiler, *options, "-o", library, HERE / f"{name}.c", "-ldl"], check=True)
        return cls(library, told)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command."""
        return ("env", f"LD_PRELOAD={self._library}")

    def mend(self) -> None:
        """Do nothing any more."""
        self._told.unlink()

    def _tell(self, what: str) -> None:
        # Renamed into its place: nobody reads half of it.
        part = self._told.with_suffix(".part")
        part.write_text(what)
        part.rename(self._told)


class FaultyDisk(Preloaded):
    """A disk that takes nothing more for a database while it is told so."""

    def fail(self, what: Literal["flush", "write"]) -> None:
        """Fail these calls from now on."""
        self._tell(what)


class SetClock(Preloaded):
    """A wall clock that can be set."""

    def jump(self, ahead_s: int) -> None:
        """Be so far ahead of the true time from now on, or behind it."""
        self._tell(str(ahead_s))
