"""Searches all that a service leaves behind for the secrets that it was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

from botbridge.settings import PREFIX, setting_fields
from tests.journey.bridge import Bridge

SECRET_SETTINGS = frozenset(
    name.removeprefix(PREFIX) for name, field in setting_fields() if field.annotation == SecretStr | None
)
"""By name without the prefix."""


def secrets_of(bridge: Bridge) -> dict[str, str]:
    """The secrets that a service was told, by the setting's name."""
    return {name: bridge.settings[name] for name in SECRET_SETTINGS & bridge.settings.keys()}


def spellings(secret: str) -> Iterator[bytes]:
    """A secret as it may stand somewhere: whole, as an address spells it, and its half that no prefix gives away."""
    yield secret.encode()
    yield secret.replace(":", "%3A").encode()
    half = urlsplit(secret).path if "://" in secret else secret.partition(":")[2]
    yield (half or secret).encode()


def found_in(places: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which secret stands where."""
    return [
        (place, name)
        for place, content in places.items()
        for name, secret in secrets.items()
        if any(spelling in content for spelling in spellings(secret))
    ]


def left_behind(home: Path) -> dict[str, bytes]:
    """The bytes of every file in a home: what was written to stdout and stderr, database, its log, backups, lock."""
    return {str(file.relative_to(home)): file.read_bytes() for file in home.rglob("*") if file.is_file()}


def known_to_the_kernel(process: psutil.Process, *names: str) -> dict[str, bytes]:
    """What `ps` and its like read of a process."""
    return {f"{process.pid} {name}": Path(f"/proc/{process.pid}/{name}").read_bytes() for name in names}


def leaks(bridge: Bridge) -> list[tuple[str, str]]:
    """Which secret stands in which file of a service's home."""
    return found_in(left_behind(bridge.home), secrets_of(bridge))
