"""A catalogue of the operator's own: the file that a command is given, and HOME/catalogue.toml, which holds what came.

Both have the form of `catalogue.toml`. Whoever wrote one is told what is wrong in a sentence that names file, entry
and field.
"""

from __future__ import annotations

import difflib
import reprlib
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from botbridge.errors import CatalogueInvalid
from botbridge.models.facts import CatalogueEntry, Openness, Score, Source, WeightsFile
from botbridge.models.names import HubSource, WheelSource

OWN_CATALOGUE: Final = "catalogue.toml"

_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "source": frozenset(Source.model_fields),
    "model": frozenset(CatalogueEntry.model_fields),
    "scores": frozenset(Score.model_fields),
    "files": frozenset(WeightsFile.model_fields),
    "openness": frozenset(Openness.model_fields),
    "hub": frozenset(field.name for field in fields(HubSource)),
    "wheel": frozenset(field.name for field in fields(WheelSource)),
}
"""The fields that may stand in each part, by the part's name in pydantic's path."""

_TOO_MANY: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
"""pydantic's names for a field that nobody asked for: in its own models, and in dataclasses."""


class CatalogueFile(BaseModel):
    """What such a file holds. Whether all that it cites is listed is looked at when it joins a catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[tuple[Source, ...], Field(alias="source")] = ()
    entries: Annotated[tuple[CatalogueEntry, ...], Field(alias="model")] = ()


def own_catalogue_path(home: Path) -> Path:
    """Return where the operator's entries are kept."""
    return home / OWN_CATALOGUE


def read_catalogue_file(path: Path) -> CatalogueFile:
    """Read a file of entries.

    Raises:
        CatalogueInvalid: It cannot be read, is no TOML, or an entry is wrong.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueInvalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogueInvalid(f"{path} is no text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogueInvalid(f"{path} is no TOML: {error}") from error
    try:
        return CatalogueFile.model_validate(raw)
    except ValidationError as error:
        raise CatalogueInvalid(f"{path}: {explain(error, raw)}") from error


def read_own_catalogue(home: Path) -> CatalogueFile | None:
    """Return what `models add` has kept; None when there is nothing.

    Raises:
        CatalogueInvalid: It is damaged; the sentence holds the command that mends it.
    """
    path = own_catalogue_path(home)
    if not path.exists():
        return None
    try:
        return read_catalogue_file(path)
    except CatalogueInvalid as error:
        raise CatalogueInvalid(f"{error}; {mending(path)}") from error


def mending(path: Path) -> str:
    """Return what the operator can do about their damaged catalogue."""
    aside = shlex.quote(f"{path}.damaged")
    return f"correct it, or `mv {shlex.quote(str(path))} {aside}` and add your files again with `botbridge models add`"


def explain(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """Say one of pydantic's findings in words, and how many others there are.

    A misspelt field is two of them, one that is missing and one too many; the second one says more.
    """
    found = error.errors(include_url=False)
    first, *others = sorted(found, key=lambda each: each["type"] not in _TOO_MANY)
    place, name = _place(first["loc"], raw)
    match first["type"]:
        case "missing":
            what = f"{name} is missing"
        case kind if kind in _TOO_MANY:
            what = f"{name} is no field of it{_near(first['loc'])}"
        case "value_error":
            # Our own validators name the entry already.
            return f"{first['msg'].removeprefix('Value error, ')}{_more(len(others))}"
        case _:
            given = "" if isinstance(first["input"], Mapping) else f", not {reprlib.repr(first['input'])}"
            said = first["msg"][:1].lower() + first["msg"][1:]
            what = f"{name}: {said.replace('input should', 'it should')}{given}"
    return f"{place}{what}{_more(len(others))}"


def _more(others: int) -> str:
    return "" if not others else f" (and {others} more)"


def _place(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> tuple[str, str]:
    """Return the entry in words, and the field's path inside it."""
    match location:
        case ("model" | "source" as kind, int() as index, *inside):
            table = raw[kind][index]
            told = table.get("id") if isinstance(table, Mapping) else None
            what = "entry" if kind == "model" else "source"
            which = f"{what} {told!r}, " if isinstance(told, str) else f"{what} number {index + 1}, "
            # The kind of a source is a choice that pydantic names in the path, and no field.
            names = [str(part) for part in inside if part not in ("hub", "wheel", "[key]")]
            return which, f"field {'.'.join(names)}" if names else "the whole"
        case _:
            return "", f"field {'.'.join(str(part) for part in location)}"


def _near(location: tuple[int | str, ...]) -> str:
    """Return the field that was probably meant."""
    *outside, name = location
    part = next((part for part in reversed(outside) if part in _FIELDS), None)
    known = {"source", "model"} if part is None else _FIELDS[str(part)]
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; is {close[0]!r} meant?" if close else ""
