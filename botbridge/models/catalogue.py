"""The models that botbridge knows by name, read from `catalogue.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.names import NamedModel, parse_name

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.toml")


class Catalogue(BaseModel):
    """All entries and the sources that they cite, in the order of the file."""

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

    def resolve(self, name: str) -> NamedModel:
        """Understand a name: an id of the catalogue, `ORG/NAME[@REVISION][:QUANTIZATION]` of the hub, or a path.

        Raises:
            ModelNotFound: It is none of these.
        """
        entry = self.entry(name)
        return parse_name(name) if entry is None else NamedModel(name, entry.id, entry.source, entry.hub_id)


def load_catalogue(path: Path = CATALOGUE_FILE) -> Catalogue:
    """Read and check the catalogue; a fault in the file is a bug of ours and raises `pydantic.ValidationError`."""
    return Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
