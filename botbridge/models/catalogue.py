"""The models that botbridge knows by name, read from `catalogue.toml` and what the operator has added."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from botbridge.errors import CatalogueInvalid, ModelNotFound
from botbridge.models.catalogue_file import CatalogueFile, mending, own_catalogue_path, read_own_catalogue
from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.names import HubSource, NamedModel, parse_name
from botbridge.sentences import Sentence

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.toml")

NEAR_NAMES: Final = 3
"""How many names are offered to somebody who mistyped one."""


class Catalogue(BaseModel):
    """All entries and the sources that they cite, in the order of the file, the operator's last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[tuple[Source, ...], Field(alias="source")] = ()
    entries: Annotated[tuple[CatalogueEntry, ...], Field(alias="model")]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        for what, ids in (
            ("entries", [entry.id for entry in self.entries]),
            ("sources", [source.id for source in self.sources]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"two {what} of the catalogue share an id")
        return self

    @model_validator(mode="after")
    def _what_is_cited_is_listed(self) -> Self:
        known = {source.id for source in self.sources}
        for entry in self.entries:
            if unknown := sorted(entry.cited - known):
                raise ValueError(f"{entry.id}: sources that are not listed: {', '.join(unknown)}")
        return self

    def entry(self, model_id: str) -> CatalogueEntry | None:
        """Return the entry of this id; None when there is none."""
        return next((entry for entry in self.entries if entry.id == model_id), None)

    def find(self, name: str) -> CatalogueEntry:
        """Return the entry that a name means: its id, the hub's repository that it comes from, or its publisher's.

        Raises:
            ModelNotFound: There is none; names near it are offered.
        """
        by_id = self.entry(name)
        if by_id is not None:
            return by_id
        source = self.resolve(name).source
        repo = source.repo if isinstance(source, HubSource) else None
        for entry in self.entries:
            if isinstance(entry.source, HubSource) and entry.source.repo == repo:
                return entry
        for entry in self.entries:
            if repo in {entry.hub_id, *(file.hub_id for file in entry.files)}:
                return entry
        raise ModelNotFound(
            Sentence("the catalogue has no {name}", name=repr(name)),
            *self._offer(name),
            Sentence(
                "{command} shows what it has, and {other} adds to it",
                command="`botbridge models list`",
                other="`botbridge models add FILE`",
            ),
        )

    def near(self, name: str) -> tuple[str, ...]:
        """Return ids that a mistyped name may mean, the nearest first.

        Args:
            name: An id or a hub id; of the latter the part behind the slash counts.
        """
        typed = name.rpartition("/")[2].casefold()
        ids = [entry.id for entry in self.entries]
        close = difflib.get_close_matches(typed, ids, n=NEAR_NAMES, cutoff=0.6)
        within = [each for each in ids if typed and typed in each]
        return tuple(dict.fromkeys([*close, *within]))[:NEAR_NAMES]

    def cited_by(self, entries: Iterable[CatalogueEntry]) -> tuple[Source, ...]:
        """Return the sources that some entries cite, in the order of the file."""
        cited = {source for entry in entries for source in entry.cited}
        return tuple(source for source in self.sources if source.id in cited)

    def resolve(self, name: str) -> NamedModel:
        """Understand a name: an id of the catalogue, `ORG/NAME[@REVISION][:QUANTIZATION]` of the hub, or a path.

        Raises:
            ModelNotFound: It is none of these; names near it are offered.
        """
        entry = self.entry(name)
        if entry is not None:
            return NamedModel(name, entry.id, entry.source, entry.hub_id)
        try:
            return parse_name(name)
        except ModelNotFound as error:
            raise ModelNotFound(*error.args, *self._offer(name)) from error

    def _offer(self, name: str) -> tuple[Sentence, ...]:
        near = self.near(name)
        return (Sentence("near it: {names}", names=", ".join(near)),) if near else ()


def load_catalogue(path: Path = CATALOGUE_FILE, *, home: Path | None = None) -> Catalogue:
    """Read and check the catalogue; a fault in our own file is a bug and raises `pydantic.ValidationError`.

    Args:
        home: Where `models add` keeps the operator's entries; None leaves them out.

    Raises:
        CatalogueInvalid: What the operator added is damaged; the sentence holds the command that mends it.
    """
    built_in = Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    own = None if home is None else read_own_catalogue(home)
    if home is None or own is None:
        return built_in
    at = own_catalogue_path(home)
    try:
        return joined(built_in, own)
    except CatalogueInvalid as error:
        raise CatalogueInvalid(f"{at}: {error}; {mending(at)}") from error


def joined(built_in: Catalogue, own: CatalogueFile) -> Catalogue:
    """Return a catalogue with the operator's entries behind botbridge's own.

    A later version of botbridge may bring a model or a source of the same id. Its model then takes the place of the
    operator's; a source of the operator's is renamed, so that each entry keeps the one that it cites.

    Raises:
        CatalogueInvalid: Two entries or sources share an id, or an entry cites what neither side lists.
    """
    for what, ids in (("entries", [entry.id for entry in own.entries]), ("sources", [each.id for each in own.sources])):
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise CatalogueInvalid(f"two {what} share the id {twice[0]!r}")
    known = {source.id for source in built_in.sources}
    listed = known | {source.id for source in own.sources}
    for entry in own.entries:
        if unknown := sorted(entry.cited - listed):
            raise CatalogueInvalid(f"entry {entry.id!r} cites {unknown[0]!r}, which no [[source]] explains")
    new_ids = {source.id: _free_id(source.id, listed) for source in own.sources if source.id in known}
    sources = [source.model_copy(update={"id": new_ids.get(source.id, source.id)}) for source in own.sources]
    entries = [_citing(entry, new_ids) for entry in own.entries if built_in.entry(entry.id) is None]
    return Catalogue.model_validate({"source": (*built_in.sources, *sources), "model": (*built_in.entries, *entries)})


def _free_id(source_id: str, taken: Iterable[str]) -> str:
    name = f"own-{source_id}"
    while name in taken:
        name = f"own-{name}"
    return name


def _citing(entry: CatalogueEntry, new_ids: Mapping[str, str]) -> CatalogueEntry:
    """Return an entry whose citations follow sources that were renamed."""
    if not entry.cited & new_ids.keys():
        return entry
    evidence = {
        fact: tuple(new_ids.get(source, source) for source in sources) for fact, sources in entry.evidence.items()
    }
    scores = tuple(each.model_copy(update={"source": new_ids.get(each.source, each.source)}) for each in entry.scores)
    files = tuple(each.model_copy(update={"source": new_ids.get(each.source, each.source)}) for each in entry.files)
    return entry.model_copy(update={"evidence": evidence, "scores": scores, "files": files})
