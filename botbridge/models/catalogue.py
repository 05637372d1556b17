"""The models that botbridge knows by name, read from `catalogue.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from botbridge.models.names import HubSource, NamedModel, WheelSource, parse_name

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.toml")

_Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=96)]


class CatalogueEntry(BaseModel):
    """One model and what is known of it.

    Attributes:
        licence: SPDX id, or the name of the publisher's own licence.
        hub_id: Where its publisher offers it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: _Id
    title: str
    licence: str
    hub_id: str
    source: Annotated[WheelSource | HubSource, Field(discriminator="kind")]


class Catalogue(BaseModel):
    """All entries, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: Annotated[tuple[CatalogueEntry, ...], Field(alias="model")]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Catalogue:
        ids = [entry.id for entry in self.entries]
        if len(set(ids)) != len(ids):
            raise ValueError("two entries of the catalogue share an id")
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
