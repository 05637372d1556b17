"""What the operator reads on stderr: one line an event, no secret, nothing forged.

Covered: our own events and those of every library (the standard `logging`
records of python-telegram-bot, discord.py, httpx, alembic go through the same
formatter); message, arguments and exception text; secrets by value, in URL and
JSON spelling too, and Telegram tokens by their form; line ends, terminal
escapes and text-direction controls in values.
Not covered: what a library prints by itself, and secrets that were cut in two.

A request id that is bound with `structlog.contextvars.bound_contextvars(request_id=...)`
stands in every line that is logged below.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import unicodedata
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote

import structlog
from rich.console import Console

TELEGRAM_TOKEN: Final = re.compile(r"\d{6,}(?::|%3[Aa])[\w-]{30,}")
SHORTEST_SECRET_CHARS: Final = 4
QUIET_LOGGERS: Final = ("alembic", "httpx", "httpcore", "httpx2", "httpcore2")
"""HTTP clients log each request at INFO, and Telegram's addresses hold the token; Alembic tells its own set-up."""

_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Redaction:
    """Replaces secrets in a text by `***`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Learn the values to hide; ones too short to be a secret are passed over."""
        spellings = {
            spelling
            for secret in secrets
            if len(secret) >= SHORTEST_SECRET_CHARS
            for plain in (secret, quote(secret, safe=""), repr(secret)[1:-1], repr(secret.encode())[2:-1])
            for spelling in (plain, json.dumps(plain)[1:-1])
        }
        longest_first = sorted(spellings, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """Return `text` without secrets.

        >>> Redaction(["hunter22"])("password hunter22")
        'password ***'
        """
        if self._values is not None:
            text = self._values.sub("***", text)
        return TELEGRAM_TOKEN.sub("***", text)


def escape(text: str) -> str:
    r"""Make whatever could end a line, move the cursor or turn the text around visible.

    >>> escape("ann\n\x1b[31mINFO fake")
    'ann\\n\\x1b[31mINFO fake'
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _UNSAFE_CATEGORIES else char
        for char in text
    )


def configure(
    level: str = "INFO",
    form: Literal["auto", "json", "console"] = "auto",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send everything that is logged in this process to one handler; the last call counts.

    Args:
        level: The least severe line to show: DEBUG, INFO, WARNING or ERROR.
        form: json: one object a line; console: for people; auto: console when
            `stream` is a terminal.
        secrets: Values that never appear.
        stream: None for what `sys.stderr` is when a line is written: a prompt
            on the terminal puts itself there, so that lines appear above it.
    """
    handler = _Handler(stream)
    stream = sys.stderr if stream is None else stream
    on_terminal = stream.isatty()
    console = form == "console" or (form == "auto" and on_terminal)
    colors = on_terminal and not Console(file=stream).no_color
    handler.setFormatter(_formatter(Redaction(secrets), console=console, colors=colors))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hand_to_host(secrets: Iterable[str] = ()) -> None:
    """Let the standard `logging`, as the host program set it up, decide what becomes of our events.

    For use as a library; without it structlog would print every event to
    stdout. A host that uses structlog itself is left alone.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _escaping(Redaction(secrets)),
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """A line that cannot be formatted is told without its arguments, which may hold secrets."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self._follows_stderr = stream is None

    def emit(self, record: logging.LogRecord) -> None:
        if self._follows_stderr:
            self.stream = sys.stderr  # without a flush of the one before, which may be closed
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by logging
        error = sys.exc_info()[1]
        self.stream.write(
            f"a log line of {record.name} ({record.filename}:{record.lineno}) was lost: {type(error).__name__}\n"
        )


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Redacts the finished line, so that nothing gets around it."""

    def __init__(self, redact: Redaction, **options: Any) -> None:  # noqa: ANN401 - handed on unread
        super().__init__(**options)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def _formatter(redact: Redaction, *, console: bool, colors: bool) -> logging.Formatter:
    renderers: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    if console:
        renderers += [_escaping(redact), structlog.dev.ConsoleRenderer(colors=colors)]
    else:
        renderers += [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer(default=repr)]
    return _RedactingFormatter(redact, processors=renderers, foreign_pre_chain=_shared_processors())


def _shared_processors() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _escaping(redact: Redaction) -> structlog.typing.Processor:
    """Escape each value for the console; lines of a traceback keep their ends, but stand behind a bar.

    Redaction comes first: the renderer quotes values once more, and a secret
    that needs quoting would no longer be found in the finished line.
    """

    def escape_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        escaped: dict[str, Any] = {}
        for key, value in event.items():
            if value is None or isinstance(value, bool | int | float):
                escaped[key] = value
                continue
            text = redact(value if isinstance(value, str) else repr(value))
            many_lines = key in {"exception", "stack"}
            escaped[key] = "\n".join(f"  | {escape(line)}" for line in text.split("\n")) if many_lines else escape(text)
        return escaped

    return escape_values
