"""TOML written: the tables of a catalogue, one key a line."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence

Value = str | bool | int | float | dt.date | Sequence["Value"] | Mapping[str, "Value"]


def array_of_tables(name: str, tables: Sequence[Mapping[str, Value]]) -> str:
    """Return tables as `[[name]]` each; what lies deeper stands in one line, as TOML 1.0 wants it of inline tables.

    >>> print(array_of_tables("source", [{"id": "card", "third_party": True}]))
    [[source]]
    id = "card"
    third_party = true
    <BLANKLINE>
    """
    return "\n".join(line for table in tables for line in _table(name, table))


def _table(name: str, table: Mapping[str, Value]) -> Iterator[str]:
    yield f"[[{name}]]"
    for key, value in table.items():
        yield f"{_text(key)} = {_value(value)}" if not _is_bare(key) else f"{key} = {_value(value)}"
    yield ""


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case dt.date():
            return value.isoformat()
        case Mapping():
            inside = ", ".join(
                f"{key if _is_bare(key) else _text(key)} = {_value(each)}" for key, each in value.items()
            )
            return f"{{ {inside} }}"
        case _:
            return f"[{', '.join(_value(each) for each in value)}]"


def _text(text: str) -> str:
    """Return a basic string. JSON's escapes are all TOML's, but JSON lets DEL stand (toml.io/en/v1.0.0#string)."""
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_bare(key: str) -> bool:
    return key.isascii() and bool(key) and all(char.isalnum() or char in "_-" for char in key)
