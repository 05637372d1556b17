"""Write .env.example from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from botbridge.settings import setting_fields, shown

ENV_EXAMPLE = Path(__file__).resolve().parent.parent / ".env.example"
HEAD = """\
# Copy this file to .env and take the # away from what you set; everything has a default.
# Environment variables go before this file, and this file before /run/secrets.
# An empty variable is an unset one. `botbridge config show` tells what counts, and where it comes from.
"""


def env_example() -> str:
    """Return the whole text: each setting with description, bounds and default."""
    return HEAD + "".join(f"\n# {about(field)}\n#{name}={default(field)}\n" for name, field in setting_fields())


def about(field: FieldInfo) -> str:
    """Return the description, followed by the choices or bounds."""
    choices = " | ".join(str(choice) for choice in get_args(field.annotation) if isinstance(choice, str))
    limits = choices or " to ".join(bounds(field))
    return f"{field.description}" + (f" ({limits})" if limits else "")


def bounds(field: FieldInfo) -> Iterator[str]:
    """Yield the lower and the upper bound of a number."""
    for mark in field.metadata:
        for name, word in (("ge", ""), ("gt", "above "), ("le", ""), ("lt", "below ")):
            if (limit := getattr(mark, name, None)) is not None:
                yield f"{word}{limit}"


def default(field: FieldInfo) -> str:
    """Return the default as the variable would hold it; empty where this machine decides."""
    return "" if field.default_factory else shown(field.default) or ""


if __name__ == "__main__":
    ENV_EXAMPLE.write_text(env_example(), encoding="utf-8")
