"""Reads JSON that somebody else wrote: a field has the right type or the update is malformed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botbridge.characters import storable

Json = Mapping[str, Any]


class Malformed(ValueError):
    """An update is not what the Bot API says it is."""


def integer(source: Json, name: str) -> int:
    """A field that must be an integer.

    Raises:
        Malformed: It is missing or something else; `true` is something else.
    """
    value = source.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} is no integer"
        raise Malformed(message)
    return value


def text(source: Json, name: str) -> str | None:
    """A field that may be missing, and is text otherwise; lone surrogates and NUL are replaced.

    The length in UTF-16 units stays as it was, so that offsets keep their meaning.

    Raises:
        Malformed: It is something else.
    """
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        message = f"{name} is no text"
        raise Malformed(message)
    return storable(value)


def mapping(source: Json, name: str) -> Json | None:
    """A field that may be missing, and is an object otherwise.

    Raises:
        Malformed: It is something else.
    """
    value = source.get(name)
    if value is not None and not isinstance(value, Mapping):
        message = f"{name} is no object"
        raise Malformed(message)
    return value


def required(source: Json, name: str) -> Json:
    """A field that must be an object.

    Raises:
        Malformed: It is missing or something else.
    """
    value = mapping(source, name)
    if value is None:
        message = f"{name} is missing"
        raise Malformed(message)
    return value


def objects(source: Json, name: str) -> tuple[Json, ...]:
    """A field that is a list of objects, empty when it is missing.

    Raises:
        Malformed: It is something else.
    """
    value = source.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        message = f"{name} is no list of objects"
        raise Malformed(message)
    return tuple(value)
