"""Write the table of models in README.md from the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import NOT_VERIFIED, Arabic, CatalogueEntry
from botbridge.models.footprint import footprint

README: Final = Path(__file__).resolve().parent.parent / "README.md"
BEGIN: Final = "<!-- models: written by `make docs` from botbridge/models/catalogue.toml -->\n"
END: Final = "<!-- models: end -->\n"

QUANTIZATION: Final = "Q4_K_M"
SCORES_FROM: Final = "tii-evaluations"
"""The one source that measured several of these models alike; figures of others do not stand beside its own."""

BENCHMARKS: Final = ("MMLU", "GSM8K")
UNKNOWN: Final = "–"
HEAD: Final = (
    "| model | parameters | context | 4 bits | licence | openness | Arabic | MMLU | GSM8K |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def model_table() -> str:
    """Return the table, between its marks."""
    return BEGIN + HEAD + "".join(row(entry) for entry in load_catalogue().entries) + END


def row(entry: CatalogueEntry) -> str:
    """Return the line of one model."""
    weights = footprint(entry, QUANTIZATION, context_tokens=0, conversations=0)
    about = "about " if entry.parameters_are_round else ""
    cells = (
        f"`{entry.id}`",
        f"{about}{entry.parameters:,}" + mark(entry, "parameters"),
        f"{entry.context_tokens:,}" + mark(entry, "context_tokens"),
        f"{'' if weights.measured else about}{weights.weights_bytes / 1e9:.2f} GB",
        entry.licence + mark(entry, "licence") + gate(entry),
        str(entry.openness.level) + mark(entry, "openness"),
        arabic(entry.arabic) + mark(entry, "arabic"),
        *(score(entry, benchmark) for benchmark in BENCHMARKS),
    )
    return f"| {' | '.join(cells)} |\n"


def mark(entry: CatalogueEntry, fact: str) -> str:
    """Return what stands behind a fact that nobody looked up."""
    return f" ({NOT_VERIFIED.replace('-', ' ')})" if fact in entry.not_verified else ""


def gate(entry: CatalogueEntry) -> str:
    """Return whether the hub asks for something first; nothing where it is known not to."""
    said = "gated" if entry.gated else "not gated"
    return f", {said}{mark(entry, 'gated')}" if entry.gated or "gated" in entry.not_verified else ""


def arabic(said: Arabic | None) -> str:
    """Return what the publisher says about Arabic."""
    words = {Arabic.FIRST: "first", Arabic.LISTED: "listed", Arabic.NO: "no"}
    return UNKNOWN if said is None else words[said]


def score(entry: CatalogueEntry, benchmark: str) -> str:
    """Return the result of the one source; nothing where it has none."""
    found = [each.percent for each in entry.scores if (each.source, each.benchmark) == (SCORES_FROM, benchmark)]
    return f"{found[0]:g}" if found else UNKNOWN


def with_table(readme: str) -> str:
    """Return the README with its table written anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + model_table() + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
