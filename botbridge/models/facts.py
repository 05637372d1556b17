"""What the catalogue can say of a model, each fact with the sources that say so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from botbridge.models.names import HubSource, WheelSource

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=96)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Percent = Annotated[float, Field(ge=0, le=100)]

_STRICT: Final = ConfigDict(frozen=True, extra="forbid")

SOURCED: Final = frozenset(
    {
        "parameters",
        "context_tokens",
        "architecture",
        "licence",
        "gated",
        "openness",
        "released",
        "languages",
        "arabic",
        "kv_bytes_per_token",
        "template",
    }
)
"""The facts that need evidence wherever they are given; scores and files name their source themselves."""


NOT_VERIFIED: Final = "not-verified"
"""The source of what nobody looked up; a fact that rests on it, be it in part, is marked wherever it is shown."""


class Kind(StrEnum):
    """What the network does with a text; only causal models chat."""

    CAUSAL = "causal"
    SEQ2SEQ = "seq2seq"


class Arabic(StrEnum):
    """What the publisher says about Arabic."""

    FIRST = "first"
    LISTED = "listed"
    NO = "no"


class Task(StrEnum):
    """What people need a model for."""

    CHAT = "chat"
    LOGIC = "logic"
    MATHS = "maths"
    MULTILINGUAL = "multilingual"
    ARABIC = "arabic"
    CODE = "code"
    TRANSLATION = "translation"


class Part(StrEnum):
    """How far a part of a model was published."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class Level(StrEnum):
    """How open a model is: every part, weights but not how they came about, or the architecture alone."""

    FULL = "fully open"
    WEIGHTS = "open weights"
    ARCHITECTURE = "architecture only"


class Template(StrEnum):
    """Where the form of a dialogue comes from."""

    OWN = "own"
    NONE = "none"


class Source(BaseModel):
    """Where a fact was read.

    Attributes:
        title: Document and version, enough to find it again.
        date: Of the version that was read; None where it bears none.
        third_party: A copy or a summary by somebody else than the publisher: check it again before a contract.
    """

    model_config = _STRICT

    id: Id
    title: Text
    date: dt.date | None = None
    url: Text | None = None
    third_party: bool = False


class Openness(BaseModel):
    """The four parts of a model, and what of each was published."""

    model_config = _STRICT

    architecture: Part
    weights: Part
    training_code: Part
    training_data: Part

    @property
    def level(self) -> Level:
        """Fully open takes all four, not in part; else the weights decide."""
        if {self.architecture, self.weights, self.training_code, self.training_data} == {Part.YES}:
            return Level.FULL
        return Level.ARCHITECTURE if self.weights is Part.NO else Level.WEIGHTS


class Score(BaseModel):
    """One published result; comparable only with others of the same source, benchmark and shots.

    Attributes:
        benchmark: As it is named everywhere: "MMLU", "HellaSwag", "GSM8K", "FLORES".
        percent: 0 to 100.
        shots: How many examples were shown, with the publisher's remarks ("5", "8, CoT"); None where it is not said.
        of: Which sibling was measured when it was not this very model ("base model").
    """

    model_config = _STRICT

    benchmark: Text
    percent: Percent
    shots: Text | None = None
    of: Text | None = None
    source: Id


class WeightsFile(BaseModel):
    """One form in which the weights are offered.

    Attributes:
        format: Of the file.
        quantization: In capitals as llama.cpp names it ("Q4_K_M"), or the number format ("BF16").
        size_bytes: Of all files of this form.
        sha256: Of the one file, in hexadecimal; None where it is not known.
    """

    model_config = _STRICT

    format: Annotated[str, Field(pattern="^(gguf|safetensors|pytorch)$")]
    quantization: Annotated[str, Field(pattern=r"^[A-Z0-9_]+$")]
    size_bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    hub_id: Text | None = None
    source: Id


class CatalogueEntry(BaseModel):
    """One model and what is known of it; a fact that nobody was read for is absent.

    Attributes:
        id: The name that people type.
        hub_id: Where its publisher offers it.
        source: Where `models pull` takes it from; the hub's repository when the file names none.
        parameters: Exact where it was published or follows from the published shape.
        parameters_are_round: They are the publisher's round number; the exact one was not found.
        nominal_b: The class that people sort it into, in thousand millions: 7 for 7.24.
        context_tokens: The longest text it was made for.
        architecture: Its class in transformers.
        licence: SPDX id, or the id of the publisher's own licence in `licences.toml`.
        gated: The hub gives the files only to accounts that accepted something.
        released: Year and month.
        languages: ISO 639 codes that the publisher names.
        tasks: What it is good for: judged by us from scores and card.
        kv_bytes_per_token: Of its cache with 16-bit values; depends on the shape alone.
        evidence: For each fact of `SOURCED`, the ids of the sources that say it.
        note: Where well-known documents say something else, and what the publisher says.
    """

    model_config = _STRICT

    id: Id
    title: Text
    hub_id: Text
    source: Annotated[WheelSource | HubSource, Field(discriminator="kind")]
    parameters: Annotated[int, Field(gt=0)]
    parameters_are_round: bool = False
    nominal_b: Annotated[float, Field(gt=0)]
    context_tokens: Annotated[int, Field(gt=0)]
    architecture: Text
    kind: Kind
    licence: Text
    gated: bool
    openness: Openness
    released: Annotated[str, Field(pattern=r"^\d{4}(-\d{2})?$")] | None = None
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ()
    language_count: Annotated[int, Field(gt=0)] | None = None
    arabic: Arabic | None = None
    tasks: tuple[Task, ...] = ()
    template: Template | None = None
    kv_bytes_per_token: Annotated[int, Field(gt=0)] | None = None
    files: tuple[WeightsFile, ...] = ()
    scores: tuple[Score, ...] = ()
    strength: Text | None = None
    weakness: Text | None = None
    ideal_use: Text | None = None
    note: Text | None = None
    evidence: Mapping[str, tuple[Id, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _taken_from_its_hub_repository(cls, given: object) -> object:
        if isinstance(given, dict) and "source" not in given and "hub_id" in given:
            return {**given, "source": {"kind": "hub", "repo": given["hub_id"]}}
        return given

    @model_validator(mode="after")
    def _every_fact_has_evidence(self) -> Self:
        given = {name for name in SOURCED if getattr(self, name) not in (None, ())}
        bare = sorted(given - {name for name, sources in self.evidence.items() if sources})
        if bare:
            raise ValueError(f"{self.id}: no source for {', '.join(bare)}")
        strange = sorted(set(self.evidence) - SOURCED)
        if strange:
            raise ValueError(f"{self.id}: evidence for {', '.join(strange)}, which takes none")
        return self

    @property
    def not_verified(self) -> tuple[str, ...]:
        """The facts that rest on memory, be it in part, in alphabetical order."""
        return tuple(sorted(name for name, sources in self.evidence.items() if NOT_VERIFIED in sources))

    @property
    def cited(self) -> frozenset[str]:
        """The ids of all sources that this entry refers to."""
        told = {source for sources in self.evidence.values() for source in sources}
        return frozenset(told | {score.source for score in self.scores} | {file.source for file in self.files})
