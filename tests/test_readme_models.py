"""README's table of models says what the catalogue says, number by number."""

from __future__ import annotations

import re

from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import CatalogueEntry
from botbridge.models.footprint import BITS_PER_WEIGHT
from scripts.model_table import BEGIN, END, README, model_table

TEXT = README.read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """The cells of README's table by model."""
    table = TEXT.partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip("| \n").split(" | ") for line in table.splitlines()[2:]]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_the_table_is_what_the_catalogue_gives() -> None:
    assert model_table() in TEXT, "run `make docs`"


def test_every_number_is_recomputed_from_the_catalogue() -> None:
    """Not by the script that wrote them."""
    entries = {entry.id: entry for entry in load_catalogue().entries}
    assert rows().keys() == entries.keys()
    for model, cells in rows().items():
        parameters, context, size, _, _, _, mmlu, gsm8k = cells
        entry = entries[model]
        assert int(parameters.removeprefix("about ").replace(",", "")) == entry.parameters
        assert int(context.replace(",", "")) == entry.context_tokens
        assert abs(float(size.removeprefix("about ").removesuffix(" GB")) - four_bits_gb(entry)) <= 0.005 + 1e-9
        assert number(mmlu) == published(entry, "MMLU")
        assert number(gsm8k) == published(entry, "GSM8K")


def four_bits_gb(entry: CatalogueEntry) -> float:
    published = [file.size_bytes for file in entry.files if file.quantization == "Q4_K_M"]
    return (published[0] if published else entry.parameters * BITS_PER_WEIGHT["Q4_K_M"] / 8) / 1e9


def number(cell: str) -> float | None:
    return None if cell == "–" else float(cell)


def published(entry: CatalogueEntry, benchmark: str) -> float | None:
    found = [s.percent for s in entry.scores if s.benchmark == benchmark and s.source == "tii-evaluations"]
    return found[0] if found else None


def test_scores_beside_one_another_come_from_one_source_and_one_number_of_examples() -> None:
    shown = {
        (score.benchmark, score.shots, score.of)
        for entry in load_catalogue().entries
        for score in entry.scores
        if score.source == "tii-evaluations" and score.benchmark in ("MMLU", "GSM8K")
    }
    assert shown == {("MMLU", "5", None), ("GSM8K", "5, strict", None)}
    assert re.search(r"MMLU \(5 shown\) and GSM8K \(5 shown, strict\)", TEXT)


def test_every_model_that_the_readme_types_is_known() -> None:
    section = TEXT.partition("## Choosing a model")[2].partition("\n## ")[0]
    commands = re.findall(r"^botbridge models (?:show|compare|openness) (.+)$", section, re.MULTILINE)
    catalogue = load_catalogue()
    assert [catalogue.find(name).id for line in commands for name in line.split()]


def test_what_nobody_looked_up_is_marked_in_its_cell() -> None:
    """A gate that is thought not to be there is named, too: else nothing would bear the mark."""
    marks = 0
    for entry in load_catalogue().entries:
        _, _, _, licence, openness, _, _, _ = rows()[entry.id]
        assert ("gated (not verified)" in licence) is ("gated" in entry.not_verified)
        assert (f"{entry.licence} (not verified)" in licence) is ("licence" in entry.not_verified)
        assert ("(not verified)" in openness) is ("openness" in entry.not_verified)
        marks += len(entry.not_verified)
    assert TEXT.count("(not verified)") == marks == 13


def test_a_round_number_is_not_shown_as_if_it_had_been_counted() -> None:
    round_ones = {entry.id for entry in load_catalogue().entries if entry.parameters_are_round}
    assert round_ones == {model for model, cells in rows().items() if cells[0].startswith("about ")}
    assert {entry.id for entry in load_catalogue().entries if "round number" in (entry.note or "")} == round_ones
