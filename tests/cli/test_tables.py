"""Tables: as wide as the terminal, plain elsewhere, and unmoved by Arabic."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from botbridge.cli.bench import speed_table
from botbridge.cli.compare_page import compare_page
from botbridge.cli.model_pages import list_page, show_page
from botbridge.cli.model_words import language_of
from botbridge.cli.openness_page import openness_page
from botbridge.cli.tables import Page, Table, drawn, fits, plain, turned
from botbridge.cli.tongue import Tongue
from botbridge.machine.figures import EngineFigures, Report
from botbridge.models.catalogue import load_catalogue
from botbridge.models.comparing import compare
from botbridge.models.listing import FIRST_TO_GO, USUAL_COLUMNS, Listed

CATALOGUE = load_catalogue()
LISTED = tuple(Listed(entry) for entry in CATALOGUE.entries)
COMPARED = ("llama-3.2-1b-instruct", "mistral-7b-instruct-v0.1-gguf", "bloomz-3b", "falcon-h1-arabic-3b-instruct")
SCREEN_LINES = 24
TERMINAL = 80

EN, AR = language_of(Tongue.EN), language_of(Tongue.AR)
TABLE = Table(("model", "حجم"), (("qwen3-0.6b", "كلمة طويلة جدا هنا تلتف"), ("a\nb", "1,234")), frozenset({1}))


def lines(page: Page, tongue: Tongue) -> list[str]:
    """What a terminal of 80 columns shows."""
    language = language_of(tongue)
    return [line for part in page for line in drawn(part, language, TERMINAL).split("\n")]


@pytest.mark.parametrize("tongue", list(Tongue))
def test_every_page_fits_80_columns(tongue: Tongue) -> None:
    words = language_of(tongue)
    pages = [list_page(LISTED, USUAL_COLUMNS, len(LISTED), words, width=TERMINAL)]
    pages += [show_page(each, CATALOGUE.sources, {}, words) for each in LISTED]
    chosen = [CATALOGUE.find(model) for model in COMPARED]
    pages.append(compare_page([Listed(each) for each in chosen], compare(chosen), CATALOGUE.sources, words, TERMINAL))
    for page in pages:
        assert [line for line in lines(page, tongue) if cell_len(line) > TERMINAL] == []


@pytest.mark.parametrize("tongue", list(Tongue))
def test_in_the_list_every_name_stands_whole_and_what_had_no_room_is_told(tongue: Tongue) -> None:
    """A name that is broken in two cannot be copied."""
    words = language_of(tongue)
    page = list_page(LISTED, USUAL_COLUMNS, len(LISTED), words, width=TERMINAL, optional=FIRST_TO_GO)
    shown = lines(page, tongue)
    assert [line for line in shown if cell_len(line) > TERMINAL] == []
    for entry in CATALOGUE.entries:
        assert any(entry.id in line for line in shown), entry.id
    assert "--columns" in str(page[-1])
    wide = list_page(LISTED, USUAL_COLUMNS, len(LISTED), words, width=200, optional=FIRST_TO_GO)
    assert isinstance(wide[0], Table)
    assert len(wide[0].columns) == len(USUAL_COLUMNS)


@pytest.mark.parametrize("tongue", list(Tongue))
@pytest.mark.parametrize("model", [entry.id for entry in CATALOGUE.entries])
def test_openness_is_one_screen(model: str, tongue: Tongue) -> None:
    page = openness_page(CATALOGUE.find(model), CATALOGUE.sources, language_of(tongue))
    shown = lines(page, tongue)
    blank_before_its_table = 1
    assert len(shown) + blank_before_its_table <= SCREEN_LINES
    assert max(cell_len(line) for line in shown) <= TERMINAL


def test_of_many_models_there_are_tables_below_one_another() -> None:
    chosen = [CATALOGUE.find(model) for model in COMPARED]
    listed = [Listed(each) for each in chosen]
    page = compare_page(listed, compare(chosen), CATALOGUE.sources, EN, TERMINAL)
    heads = [part.columns for part in page if isinstance(part, Table)]
    assert heads == [("", *COMPARED[:3]), ("", COMPARED[3])]
    wide = compare_page(listed, compare(chosen), CATALOGUE.sources, EN, 10**6)
    assert [part.columns for part in wide if isinstance(part, Table)] == [("", *COMPARED)]


def test_elsewhere_a_row_is_a_line() -> None:
    assert plain(TABLE, EN).split("\n") == [
        "model       " + " " * 20 + "حجم",
        "qwen3-0.6b  كلمة طويلة جدا هنا تلتف",
        "a; b        " + " " * 18 + "1,234",
    ]


SENTENCE = "الذاكرة \u2068\u2068smollm2-135m\u2069 مع \u2068llama.cpp and more\u2069\u2069"
NESTED = Table(("",), ((SENTENCE,),), ruled=True)
"""An Arabic sentence in which isolates hold others, and which is wrapped inside of them."""


@pytest.mark.parametrize("shown", [drawn(TABLE, AR, 30), plain(TABLE, AR), drawn(NESTED, AR, 20), plain(NESTED, AR)])
def test_in_arabic_columns_keep_their_places(shown: str) -> None:
    """Each line begins from the left, and no cell reaches into its neighbour, also where it was wrapped."""
    for line in shown.split("\n"):
        assert line.startswith("\u200e")
        outside, depth = [], 0
        for char in line:
            depth += (char in "\u2066\u2067\u2068") - (char == "\u2069")
            if depth == 0:
                outside.append(char)
            assert depth >= 0
        assert depth == 0
        assert set("".join(outside)) <= {"\u200e", "\u2069", " ", "─"}


def test_a_wrapped_arabic_cell_is_set_from_the_right_on_each_of_its_lines() -> None:
    """Also where a line begins with a Latin name."""
    lines = [line for line in drawn(NESTED, AR, 20).split("\n") if "─" not in line]
    assert len(lines) > 2
    assert all("\u2067" in line for line in lines[1:])


@pytest.mark.parametrize("indent", [0, 2])
def test_a_wrapped_line_keeps_its_indent(indent: int) -> None:
    lines = drawn(" " * indent + "one two three four five", EN, 12).split("\n")
    assert len(lines) > 2
    assert {len(line) - len(line.lstrip(" ")) for line in lines} == {indent}


def test_what_bench_found_is_cut_nowhere_however_narrow_the_terminal() -> None:
    """One engine a column where a row of them has no room."""
    names = ("llamacpp", "openvino", "transformers")
    engines = [EngineFigures(name, decode_tokens_s={1: 69.0, 16: 1192.0}, bandwidth_share=0.25) for name in names]
    table = speed_table(Report("m", "r", 2, 3e10, tuple(engines)))
    for width in (TERMINAL, 60):
        shown = drawn(table if fits(table, width) else turned(table), EN, width)
        assert all(cell in shown for cell in ("token", "16 at", "1192", "0.25", *names))
        assert max(map(cell_len, shown.split("\n"))) <= width


def test_a_long_name_is_folded_and_not_cut() -> None:
    name = "a-very-long-name-of-a-model-that-fits-nowhere"
    shown = drawn(Table(("model",), ((name,),)), EN, 20)
    assert "".join(shown.split("\n")[2:]).replace(" ", "") == name
