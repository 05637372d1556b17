"""What a measurement of this machine found, and the file that keeps it for `engine=auto` and the expected wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from botbridge.inference.choice import MANY_SLOTS

FOLDER: Final = "bench"


@dataclass(frozen=True, slots=True)
class Quality:
    """How far an engine's numbers are from those of the model in float32, on the text that ships with botbridge.

    Attributes:
        perplexity: Of the text.
        reference_perplexity: Of the text, in float32.
        agreement: Share of the text's tokens after which both think the same next token likeliest.
    """

    perplexity: float
    reference_perplexity: float
    agreement: float


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One engine with one model on this machine.

    Attributes:
        prefill_tokens_s: Prompt tokens read per second, nobody else being answered.
        decode_tokens_s: Answer tokens per second of all streams together, by the number of streams.
        first_token_cold_s: From a question after a long history to its first token, nothing being known.
        first_token_warm_s: The same question, the history being known from the turn before.
        history_tokens: How long that history was, template included, as far as it had room in the context.
        resident_bytes: Memory of the worker.
        weights_bytes: What is read of the weights for one token; 0 if unknown.
        bandwidth_share: Single-stream tokens/s x weights_bytes / read bandwidth; None if unknown.
        failure: Why nothing was measured; empty otherwise.
    """

    engine: str
    engine_version: str = ""
    prefill_tokens_s: float = 0.0
    decode_tokens_s: Mapping[int, float] = field(default_factory=dict)
    first_token_cold_s: float = 0.0
    first_token_warm_s: float = 0.0
    history_tokens: int = 0
    resident_bytes: int = 0
    weights_bytes: int = 0
    bandwidth_share: float | None = None
    quality: Quality | None = None
    failure: str = ""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `asdict` and JSON made of one; raises KeyError, TypeError or ValueError."""
        decode = {int(streams): float(rate) for streams, rate in found["decode_tokens_s"].items()}
        quality = None if found["quality"] is None else Quality(**found["quality"])
        return cls(**{**found, "decode_tokens_s": decode, "quality": quality})


@dataclass(frozen=True, slots=True)
class Report:
    """All engines with one model.

    Attributes:
        bandwidth_bytes_s: What a streaming read of memory reached just before.
    """

    model: str
    revision: str
    threads: int
    bandwidth_bytes_s: float
    engines: tuple[EngineFigures, ...]

    @property
    def fastest(self) -> EngineFigures | None:
        """The first of `fastest_first`; None where nothing was measured."""
        order = self.fastest_first
        return next((figures for figures in self.engines if figures.engine == order[0]), None) if order else None

    @property
    def fastest_first(self) -> tuple[str, ...]:
        """The engines by how much they say to one person and to several; those that failed are left out."""
        most = max((max(figures.decode_tokens_s) for figures in self._measured), default=1)
        return self._ordered(_speed, most)

    def order_for(self, slots: int) -> tuple[str, ...]:
        """The engines, fastest first, where so many answers run side by side: from MANY_SLOTS on, many count alone."""
        return self._ordered(_rate_at if slots >= MANY_SLOTS else _speed, slots)

    @property
    def _measured(self) -> list[EngineFigures]:
        return [figures for figures in self.engines if not figures.failure and figures.decode_tokens_s]

    def _ordered(self, speed: Callable[[EngineFigures, int], float], slots: int) -> tuple[str, ...]:
        fastest = sorted(self._measured, key=lambda each: speed(each, slots), reverse=True)
        return tuple(figures.engine for figures in fastest)


def _rate_at(figures: EngineFigures, slots: int) -> float:
    """What an engine says to the largest number of people, of those measured, that is not above `slots`."""
    rates = figures.decode_tokens_s
    return rates[max((people for people in rates if people <= slots), default=min(rates))]


def _speed(figures: EngineFigures, slots: int) -> float:
    """One stream and as many as there can be, weighed alike (their product orders as their geometric mean does)."""
    return _rate_at(figures, 1) * _rate_at(figures, slots)


def history_text(engines: Sequence[EngineFigures]) -> str:
    """Say after how long a history the first token was waited for; engines with a shorter context read less of it.

    >>> history_text([EngineFigures("a", history_tokens=2100), EngineFigures("b", history_tokens=2100)])
    'a history of 2100 tokens'
    >>> history_text([EngineFigures("a", history_tokens=2100), EngineFigures("b", history_tokens=1041)])
    'a history of 2100 tokens (b: 1041, for its context is short)'
    >>> history_text([])
    'a long history'
    """
    lengths = {figures.engine: figures.history_tokens for figures in engines if figures.history_tokens}
    if not lengths:
        return "a long history"
    longest = max(lengths.values())
    cut = [f"{engine}: {tokens}, for its context is short" for engine, tokens in lengths.items() if tokens < longest]
    return f"a history of {longest} tokens" + (f" ({'; '.join(cut)})" if cut else "")


def report_path(home: Path, model: str) -> Path:
    """Return where the measurement of a model is kept.

    >>> report_path(Path("home"), "org/name").as_posix()
    'home/bench/org%2Fname.json'
    """
    return home / FOLDER / f"{quote(model, safe='')}.json"


def write_report(home: Path, report: Report) -> Path:
    """Keep a measurement, replacing the former one; the file is whole or not there."""
    path = report_path(home, report.model)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path


def read_report(home: Path, model: str) -> Report | None:
    """Return the measurement of a model; None where there is none that this version understands."""
    try:
        found = json.loads(report_path(home, model).read_text(encoding="utf-8"))
        engines: Sequence[Mapping[str, Any]] = found["engines"]
        return Report(**{**found, "engines": tuple(EngineFigures.from_json(figures) for figures in engines)})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
