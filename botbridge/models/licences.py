"""The licences of the catalogue's models, clause by clause, read from `licences.toml`.

What stands there was read in the licence itself by people who are no lawyers;
each condition names its clause, so that it can be read again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from botbridge.models.facts import Id, Source, Text
from botbridge.models.uses import Use

LICENCES_FILE: Final = Path(__file__).with_name("licences.toml")


_STRICT: Final = ConfigDict(frozen=True, extra="forbid")


class Permission(StrEnum):
    """What a licence says to a use; each is stricter than the one before."""

    ALLOWED = "allowed"
    CONDITIONAL = "conditional"
    UNKNOWN = "unknown"
    NOT_ALLOWED = "not allowed"

    @property
    def strictness(self) -> int:
        """Its place in the order; nobody knows what an unread text forbids, so it comes after conditions."""
        return list(Permission).index(self)


class Kind(StrEnum):
    """What a condition is about.

    Attributes:
        CONTROL: The licensor may restrict what was licensed, or wants its newest version used.
        DISCLOSURE: People are told that a machine writes.
        LIABILITY: Who answers for what, and that nothing is warranted.
        NAMING: What a model made from this one, or its description, must be called.
        SHARE_TERMS: The licence or its limits go along with the model, or with access to it.
        TERMINATION: What ends the licence.
    """

    CONTROL = "control"
    DISCLOSURE = "disclosure"
    EXPORT = "export"
    FIELD_OF_USE = "field of use"
    LIABILITY = "liability"
    NAMING = "naming"
    NOTICE = "notice"
    REGISTRATION = "registration"
    RESEARCH_ONLY = "research only"
    REVENUE_CEILING = "revenue ceiling"
    SHARE_TERMS = "share terms"
    TERMINATION = "termination"
    TRADEMARK = "trademark"
    USER_CEILING = "user ceiling"


CEILINGS: Final = frozenset({Kind.REVENUE_CEILING, Kind.USER_CEILING})


class Condition(BaseModel):
    """One clause, in our words.

    Attributes:
        clause: Its number in the licence.
        since: The narrowest use that it concerns; wider ones are concerned as well.
        source: Id of the text in which it was read.
        forbids: These uses are not licensed at all.
        ceiling: Of a ceiling alone: people a month, or US dollars a year, above which nothing is licensed.
        ceiling_is_licensed: Whether exactly the ceiling still is.
    """

    model_config = _STRICT

    kind: Kind
    clause: Text
    since: Use
    sentence: Text
    source: Id
    forbids: bool = False
    ceiling: Annotated[int, Field(gt=0)] | None = None
    ceiling_is_licensed: bool = True

    @model_validator(mode="after")
    def _ceilings_have_a_number_and_others_none(self) -> Self:
        if (self.kind in CEILINGS) != (self.ceiling is not None):
            raise ValueError(f"clause {self.clause}: a ceiling is given by a ceiling's clause, and by no other")
        return self


class Licence(BaseModel):
    """One licence.

    Attributes:
        id: SPDX id, or the hub's tag.
        version: Of the text, as it says itself: a number or a date. Another one has to be accepted anew.
        url: Where its text stands; None where it was not found.
        sources: The texts in which all of this was read; none for a licence that nobody read.
        needs_acceptance: It binds whoever uses the model, not only those who hand it on.
        uses: What it says to each use.
        conditions: Of wider uses, too; `concerning` chooses.
        badge: What has to be shown where people use the model.
        notice: What a Notice file beside the weights has to say.
        note: What else has to be known; why it is unknown, where it is.
    """

    model_config = _STRICT

    id: Text
    title: Text
    version: Text
    url: Text | None = None
    sources: tuple[Id, ...] = ()
    needs_acceptance: bool
    uses: Mapping[Use, Permission]
    conditions: Annotated[tuple[Condition, ...], Field(alias="condition")] = ()
    badge: Text | None = None
    notice: Text | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _uses_and_conditions_say_the_same(self) -> Self:
        if set(self.uses) != set(Use):
            raise ValueError(f"{self.id}: says nothing of {', '.join(sorted(set(Use) - set(self.uses)))}")
        for use, permission in self.uses.items():
            concerning = self.concerning(use)
            if (permission is Permission.NOT_ALLOWED) != any(condition.forbids for condition in concerning):
                raise ValueError(f"{self.id}: {use} is {permission}, and its conditions say otherwise")
            if permission is Permission.CONDITIONAL and not concerning:
                raise ValueError(f"{self.id}: {use} is conditional without a condition")
        return self

    @model_validator(mode="after")
    def _wider_uses_are_not_laxer(self) -> Self:
        strictness = [self.uses[use].strictness for use in Use]
        if strictness != sorted(strictness):
            raise ValueError(f"{self.id}: a wider use is laxer than a narrower one")
        return self

    @model_validator(mode="after")
    def _what_is_said_is_accepted_explained_and_sourced(self) -> Self:
        permissions = set(self.uses.values())
        if permissions & {Permission.NOT_ALLOWED, Permission.UNKNOWN} and not self.needs_acceptance:
            raise ValueError(f"{self.id}: limits use and is not accepted by anybody")
        if Permission.UNKNOWN in permissions and self.note is None:
            raise ValueError(f"{self.id}: unknown without a note that says why")
        if permissions != {Permission.UNKNOWN} and not self.sources:
            raise ValueError(f"{self.id}: no source for what it says")
        return self

    def concerning(self, use: Use) -> tuple[Condition, ...]:
        """Return the conditions that this use has to keep."""
        return tuple(condition for condition in self.conditions if use.includes(condition.since))

    @property
    def shown(self) -> tuple[str, ...]:
        """The lines that the licence wants seen."""
        return tuple(line for line in (self.badge, self.notice) if line is not None)

    @property
    def cited(self) -> frozenset[str]:
        """The ids of all sources that this licence refers to."""
        return frozenset({*self.sources, *(condition.source for condition in self.conditions)})


class Licences(BaseModel):
    """All licences that were read, and what a gated model asks beside its licence.

    Attributes:
        gate: What the hub asks before it gives the files of a gated model.
    """

    model_config = _STRICT

    sources: Annotated[tuple[Source, ...], Field(alias="source")]
    gate: Condition
    entries: Annotated[tuple[Licence, ...], Field(alias="licence")]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        for what, ids in (
            ("licences", [licence.id for licence in self.entries]),
            ("sources", [source.id for source in self.sources]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"two {what} share an id")
        return self

    @model_validator(mode="after")
    def _what_is_cited_is_listed(self) -> Self:
        cited = {self.gate.source, *(source for licence in self.entries for source in licence.cited)}
        if unknown := sorted(cited - {source.id for source in self.sources}):
            raise ValueError(f"sources that are not listed: {', '.join(unknown)}")
        return self

    def find(self, licence_id: str) -> Licence:
        """Return the licence of this id; of one that was never read, nothing but that."""
        found = next((licence for licence in self.entries if licence.id == licence_id), None)
        return unread(licence_id) if found is None else found

    def source(self, source_id: str) -> Source:
        """Return a source that a licence cites."""
        return next(source for source in self.sources if source.id == source_id)


def unread(licence_id: str) -> Licence:
    """Return what is known of a licence that nobody read for botbridge: nothing, for every use."""
    return Licence(
        id=licence_id,
        title=licence_id,
        version="unread",
        needs_acceptance=True,
        uses=dict.fromkeys(Use, Permission.UNKNOWN),
        note="Nobody read this licence for botbridge: read it yourself, or have a lawyer read it.",
    )


def load_licences(path: Path = LICENCES_FILE) -> Licences:
    """Read and check the licences; a fault in the file is a bug of ours and raises `pydantic.ValidationError`."""
    return Licences.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
