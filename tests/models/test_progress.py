"""What a person sees while a model is fetched."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from botbridge.models.progress import PlainProgress, TerminalProgress, progress_on, size_of, watching
from tests.fakes.model_sources import RecordedProgress


def test_plain_lines_come_once_for_each_tenth() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.begin("model", 1_000_000)
    for done_bytes in (0, 50_000, 100_000, 120_000, 470_000, 1_000_000, 1_000_000):
        progress.advance(done_bytes)
    progress.end()
    assert stream.getvalue().splitlines() == [
        "model: 1.0 MB to fetch",
        "model: 10 % of 1.0 MB",
        "model: 40 % of 1.0 MB",
        "model: 100 % of 1.0 MB",
    ]


def test_a_terminal_gets_a_bar_and_anything_else_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(progress_on(io.StringIO()), PlainProgress)
    stream = Terminal()
    progress = progress_on(stream)
    assert isinstance(progress, TerminalProgress)
    progress.say("unpacking [bold]")
    progress.begin("model", 1_000_000)
    progress.advance(1_000_000)
    progress.end()
    assert "unpacking [bold]" in stream.getvalue()
    assert "1.0/1.0 MB" in stream.getvalue()


def test_progress_does_not_go_back_when_the_file_is_moved_away(tmp_path: Path) -> None:
    """Pip moves the wheel out of its temporary directory before it is done."""

    class Looked(RecordedProgress):
        def __init__(self) -> None:
            super().__init__()
            self.looked = threading.Condition()

        def advance(self, done_bytes: int) -> None:
            with self.looked:
                super().advance(done_bytes)
                self.looked.notify_all()

    progress = Looked()
    with watching(tmp_path, "model", 10, progress), progress.looked:
        (tmp_path / "file").write_bytes(b"123456")
        assert progress.looked.wait_for(lambda: 6 in progress.done_bytes, timeout=10)
        (tmp_path / "file").unlink()
        looks = len(progress.done_bytes) + 2
        assert progress.looked.wait_for(lambda: len(progress.done_bytes) >= looks, timeout=10)
    assert progress.done_bytes == sorted(progress.done_bytes)


def test_a_download_that_fails_is_not_told_as_done(tmp_path: Path) -> None:
    progress = RecordedProgress()
    try:
        with watching(tmp_path, "model", 10, progress):
            raise ConnectionError
    except ConnectionError:
        assert 10 not in progress.done_bytes
    assert progress.lines == ["begin model 10", "end"]


def test_the_size_of_a_directory_counts_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "sub" / "b").write_bytes(b"345")
    assert size_of(tmp_path) == 5
