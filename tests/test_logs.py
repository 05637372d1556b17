"""What the operator reads on stderr."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from botbridge.logs import Redaction, configure, escape, hand_to_host

TELEGRAM_SHAPED = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
HUB_SHAPED = 'hub/"canary"+ü'


@pytest.fixture
def stream() -> io.StringIO:
    """What stands in for stderr."""
    return io.StringIO()


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Each line as the object that it is."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_time_level_and_name(stream: io.StringIO) -> None:
    configure("INFO", "json", stream=stream)
    structlog.get_logger("botbridge.app").info("ready", slots=2)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"message": "ready", "slots": 2, "level": "info", "logger": "botbridge.app"}


def test_records_of_libraries_come_out_in_the_same_form(stream: io.StringIO) -> None:
    configure("INFO", "json", stream=stream)
    logging.getLogger("discord.gateway").info("Shard %s connected", 3)
    [line] = lines(stream)
    assert (line["message"], line["level"], line["logger"]) == ("Shard 3 connected", "info", "discord.gateway")


def test_warnings_become_lines_and_stdout_stays_free() -> None:
    script = "import warnings; from botbridge.logs import configure; configure(); warnings.warn('old')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["logger"] == "py.warnings"
    assert done.stdout == ""


def test_the_request_id_stands_in_our_lines_and_in_those_of_libraries(stream: io.StringIO) -> None:
    configure("INFO", "json", stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("one")
        logging.getLogger("discord").info("two")
    structlog.get_logger().info("three")
    assert [line.get("request_id") for line in lines(stream)] == ["r1", "r1", None]


def test_less_severe_lines_are_left_out(stream: io.StringIO) -> None:
    configure("WARNING", "json", stream=stream)
    structlog.get_logger().info("no")
    logging.getLogger("telegram").info("no")
    structlog.get_logger().warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("name", ["httpx", "httpcore", "httpx2", "httpcore2"])
def test_http_clients_do_not_log_their_requests(name: str, stream: io.StringIO) -> None:
    configure("DEBUG", "json", stream=stream)
    logging.getLogger(name).info("GET /bot1:x/getMe")
    assert stream.getvalue() == ""


def test_configuring_twice_does_not_double_the_lines(stream: io.StringIO) -> None:
    configure("INFO", "json", stream=stream)
    configure("INFO", "json", stream=stream)
    structlog.get_logger().info("once")
    assert len(lines(stream)) == 1


def test_auto_is_for_people_on_a_terminal_and_json_elsewhere(stream: io.StringIO) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    for target in (stream, terminal):
        configure("INFO", "auto", stream=target)
        structlog.get_logger().info("ready")
    assert lines(stream)[0]["message"] == "ready"
    assert "ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def _as_message(secret: str) -> None:
    structlog.get_logger().info(f"token {secret}")


def _as_value(secret: str) -> None:
    structlog.get_logger().info("token", value=secret, nested={"list": [secret]}, raw=secret.encode())


def _as_argument(secret: str) -> None:
    logging.getLogger("telegram").info("POST %s %r", f"https://h/bot{secret}/getMe", {"token": secret})


def _as_exception(secret: str) -> None:
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("discord").exception("failed")
        structlog.get_logger().exception("failed")


def _as_chained_exception(secret: str) -> None:
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        structlog.get_logger().exception("failed")


def _as_bound_value(secret: str) -> None:
    with structlog.contextvars.bound_contextvars(request_id=secret):
        structlog.get_logger().info("bound")


def _as_unformattable_line(secret: str) -> None:
    logging.getLogger("telegram").info("%d", secret)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "log",
    [
        _as_message,
        _as_value,
        _as_argument,
        _as_exception,
        _as_chained_exception,
        _as_bound_value,
        _as_unformattable_line,
    ],
)
def test_a_secret_never_appears_however_it_gets_into_a_line(
    log: Callable[[str], None], form: Any, stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    configure("DEBUG", form, secrets=[HUB_SHAPED, "7:short"], stream=stream)
    for secret in (TELEGRAM_SHAPED, HUB_SHAPED, "7:short"):
        log(secret)
    printed = stream.getvalue() + "".join(capfd.readouterr())
    assert printed
    for canary in (TELEGRAM_SHAPED, "AAHdqTcv", "canary", "7:short"):
        assert canary not in printed


def test_a_secret_is_found_in_the_spelling_of_an_address() -> None:
    assert Redaction(["a/b c:d"])("GET /x?key=a%2Fb%20c%3Ad") == "GET /x?key=***"
    assert Redaction()(TELEGRAM_SHAPED.replace(":", "%3A")) == "***"


def test_an_empty_or_tiny_secret_does_not_blank_the_log() -> None:
    assert Redaction(["", "a"])("a banana") == "a banana"


FORGED = "ann\r\n2026-01-01 [info ] granted\x1b[2K\x9b31m\u202egpj\u2028x\x00\ud800"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_person_cannot_forge_a_line_or_steer_the_terminal(form: Any, stream: io.StringIO) -> None:
    configure("INFO", form, stream=stream)
    structlog.get_logger().info("joined", name=FORGED)
    structlog.get_logger().info(FORGED)
    logging.getLogger("discord").info("joined %s", FORGED)
    structlog.get_logger().info("joined", name=[FORGED])
    printed = stream.getvalue()
    assert printed.count("\n") == 4
    assert len(printed.splitlines()) == 4
    for char in "\r\x1b\x9b\u202e\u2028\x00\ud800":
        assert char not in printed


def test_on_the_console_an_exception_stands_behind_a_bar(stream: io.StringIO) -> None:
    configure("INFO", "console", stream=stream)
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = stream.getvalue().split("\n")
    assert "failed" in first
    assert [line for line in rest if line and not line.startswith("  | ")] == []
    assert "\x1b" not in stream.getvalue()


@given(st.text())
def test_escaped_text_is_one_printable_line(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    escaped.encode("utf-8")


def test_ordinary_text_of_any_language_is_not_changed_by_escaping() -> None:
    assert escape("مرحبا, Grüße 👍") == "مرحبا, Grüße 👍"


def test_lines_go_to_what_stderr_is_when_they_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A prompt on the terminal replaces `sys.stderr` after logging was set up, and may close what was there."""
    replaced = io.StringIO()
    with (tmp_path / "stderr").open("w") as before:
        monkeypatch.setattr(sys, "stderr", before)
        configure(form="json")
    monkeypatch.setattr(sys, "stderr", replaced)
    structlog.get_logger("late").warning("above the prompt")
    assert "above the prompt" in replaced.getvalue()


def test_inside_another_program_its_own_logging_decides(capsys: pytest.CaptureFixture[str]) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger().setLevel("WARNING")
    hand_to_host(secrets=[HUB_SHAPED])
    structlog.get_logger("library").info("quiet")
    structlog.get_logger("library").warning("loud", detail=f"with {HUB_SHAPED}\x1b[2J")
    assert lines.getvalue() == "event='loud' detail='with ***\\\\x1b[2J'\n"
    assert capsys.readouterr().out == ""


def test_a_program_that_uses_structlog_keeps_its_set_up() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    hand_to_host()
    assert len(structlog.get_config()["processors"]) == 1
