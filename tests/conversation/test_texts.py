"""The catalogue: complete, correct in its plurals, safe in right-to-left text."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from botbridge.conversation.texts import duration, load_texts

PACKAGE = Path(__file__).parents[2] / "botbridge"


def sentences_in_code() -> set[str]:
    """Every literal that the conversation hands to `say` or `count`."""
    found: set[str] = set()
    for source in (*(PACKAGE / "conversation").rglob("*.py"), PACKAGE / "menus.py", PACKAGE / "api.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="say" | "count"), args=[ast.Constant(value=str(said)), *_]):
                    # Strings have a method `count`, too, which is asked about fences.
                    found |= {said} if re.search("[a-z]", said) else set()
    return found


def catalogue(tag: str) -> dict[str, tuple[str, ...]]:
    with (PACKAGE / "locale" / f"{tag}.po").open("rb") as file:
        entries = [entry for entry in read_po(file, locale=tag) if entry.id]
    return {
        entry.id if isinstance(entry.id, str) else entry.id[0]: (
            (entry.string,) if isinstance(entry.string, str) else tuple(entry.string)
        )
        for entry in entries
    }


def test_every_sentence_of_the_code_has_an_arabic_one_and_no_other_is_left_over() -> None:
    assert set(catalogue("ar")) == sentences_in_code()


def test_translations_fill_in_the_same_names() -> None:
    names = re.compile(r"\{(\w+)\}")
    for english, translations in catalogue("ar").items():
        for translation in translations:
            assert translation, english
            assert set(names.findall(translation)) == set(names.findall(english)), english


@pytest.mark.parametrize(
    ("number", "word"),
    [(0, "لم تُمسح"), (1, "محادثة واحدة"), (2, "محادثتان"), (5, "محادثات"), (11, "محادثة"), (100, "محادثة")],
)
def test_arabic_counts_in_its_six_plural_forms(number: int, word: str) -> None:
    arabic = load_texts().language("ar")
    said = arabic.count("Done. {number} conversation was reset.", "Done. {number} conversations were reset.", number)
    assert word in said


def test_a_value_inside_an_arabic_sentence_is_isolated_from_it() -> None:
    """Without isolates a Latin name would drag the punctuation beside it to the wrong side."""
    said = load_texts().language("ar").say("I do not know /{name}. /help shows what I know.", name="foo")
    assert "\u2068foo\u2069" in said


def test_a_language_we_do_not_speak_is_answered_in_english() -> None:
    texts = load_texts()
    assert texts.language("fr-CA").tag == "en"
    assert texts.language(None).tag == "en"
    assert texts.language("ar-EG").tag == "ar"


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    said = load_texts().language("en").say("I do not know /{name}. /help shows what I know.", name="{place}")
    assert "/{place}." in said


def test_waits_are_rounded_as_people_round() -> None:
    english = load_texts().language("en")
    assert duration(english, 0) == "about 10 seconds"
    assert duration(english, 42) == "about 40 seconds"
    assert duration(english, 90) == "about 2 minutes"
    assert duration(english, 600) == "about 10 minutes"
