"""What a person sees while a model is fetched: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

POLL_S: Final = 0.25
PLAIN_STEP_PERCENT: Final = 10


class Progress(Protocol):
    """Where a pull tells how far it is."""

    def say(self, line: str) -> None:
        """Show one finished line."""
        ...

    def begin(self, what: str, total_bytes: int) -> None:
        """Start counting the bytes of one download."""
        ...

    def advance(self, done_bytes: int) -> None:
        """Show how many bytes are here, all told."""
        ...

    def end(self) -> None:
        """Stop counting, whether it is done or not."""
        ...


class PlainProgress:
    """One line for each tenth, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._what = ""
        self._total_bytes = 0
        self._told_percent = 0

    def say(self, line: str) -> None:
        """Write the line at once."""
        print(line, file=self._stream, flush=True)

    def begin(self, what: str, total_bytes: int) -> None:
        """Tell what is fetched and how much of it there is."""
        self._what, self._total_bytes, self._told_percent = what, total_bytes, 0
        self.say(f"{what}: {megabytes(total_bytes)} to fetch")

    def advance(self, done_bytes: int) -> None:
        """Write a line when another tenth is here."""
        percent = percent_of(done_bytes, self._total_bytes)
        if percent >= self._told_percent + PLAIN_STEP_PERCENT:
            self._told_percent = percent - percent % PLAIN_STEP_PERCENT
            self.say(f"{self._what}: {self._told_percent} % of {megabytes(self._total_bytes)}")

    def end(self) -> None:
        """Nothing is open that had to be closed."""


class TerminalProgress:
    """A bar with speed and the time that is left."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._bar = RichProgress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=self._console)
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Print the line above the bar."""
        self._console.print(line, markup=False, highlight=False)

    def begin(self, what: str, total_bytes: int) -> None:
        """Open the bar."""
        self._task = self._bar.add_task(what, total=total_bytes)
        self._bar.start()

    def advance(self, done_bytes: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(self._task, completed=done_bytes)

    def end(self) -> None:
        """Leave the bar as it is and give the line back."""
        self._bar.stop()


def progress_on(stream: TextIO) -> Progress:
    """Choose what fits the stream: a bar for a terminal, lines for anything else."""
    return TerminalProgress(stream) if stream.isatty() else PlainProgress(stream)


@contextmanager
def watching(directory: Path, what: str, total_bytes: int, progress: Progress) -> Iterator[None]:
    """Report the growth of a directory while the body fills it.

    Looking at the files works alike for every downloader, pip included, and
    counts what an earlier, interrupted download left.
    """
    finished = threading.Event()

    def look() -> None:
        most_bytes = 0
        while not finished.wait(POLL_S):
            # A downloader that moves its finished file away makes the directory shrink again; a bar never goes back.
            most_bytes = max(most_bytes, min(size_of(directory), total_bytes))
            progress.advance(most_bytes)

    watcher = threading.Thread(target=look, name="pull-progress", daemon=True)
    progress.begin(what, total_bytes)
    watcher.start()
    try:
        yield
        finished.set()
        watcher.join()
        progress.advance(total_bytes)
    finally:
        finished.set()
        watcher.join()
        progress.end()


def size_of(directory: Path) -> int:
    """Return the bytes of all files below a directory; what vanishes meanwhile is not counted."""
    total_bytes = 0
    for path in directory.rglob("*"):
        try:
            if path.is_file():
                total_bytes += path.stat().st_size
        except OSError:
            continue
    return total_bytes


def percent_of(done_bytes: int, total_bytes: int) -> int:
    """Return how much is done, 0 to 100.

    >>> percent_of(1, 3), percent_of(0, 0)
    (33, 100)
    """
    return 100 if total_bytes <= 0 else min(100, done_bytes * 100 // total_bytes)


def megabytes(size_bytes: int) -> str:
    """Return a size for people.

    >>> megabytes(92_871_040)
    '92.9 MB'
    """
    return f"{size_bytes / 1e6:.1f} MB"
