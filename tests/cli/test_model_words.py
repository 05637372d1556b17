"""The words of `botbridge models`: complete in Arabic, and none left over."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from babel.messages.pofile import read_po

from botbridge.cli.model_words import DOMAIN, conditions, language_of
from botbridge.cli.tongue import Tongue
from botbridge.conversation.texts import load_texts
from botbridge.models.facts import Score

PACKAGE = Path(__file__).parents[2] / "botbridge"
SAYING = ("model_words.py", "model_pages.py", "compare_page.py", "openness_page.py")


def sentences_in_code() -> set[str]:
    """Every literal that these pages say."""
    return {
        said
        for name in SAYING
        for node in ast.walk(ast.parse((PACKAGE / "cli" / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say"
        for said in [ast.literal_eval(node.args[0])]
    }


def arabic() -> dict[str, str]:
    with (PACKAGE / "locale" / DOMAIN / "ar.po").open("rb") as file:
        return {str(entry.id): str(entry.string) for entry in read_po(file, locale="ar") if entry.id}


def test_every_sentence_has_an_arabic_one_and_no_other_is_left_over() -> None:
    assert set(arabic()) == sentences_in_code()


def test_translations_fill_in_the_same_names() -> None:
    names = re.compile(r"\{(\w+)\}")
    for english, translation in arabic().items():
        assert translation, english
        assert sorted(names.findall(translation)) == sorted(names.findall(english)), english


def test_the_chats_texts_are_another_domain() -> None:
    assert load_texts().tags == load_texts(DOMAIN).tags == ("en", "ar")
    assert load_texts().language("ar").say("licence") == "licence"
    assert language_of(Tongue.AR).say("licence") == "الرخصة"


def test_the_number_of_examples_is_said_with_what_the_publisher_remarks() -> None:
    def said(shots: str | None, of: str | None = None) -> str:
        return conditions(Score(benchmark="MMLU", percent=1, shots=shots, of=of, source="card"), language_of(Tongue.EN))

    assert said("5") == "5 shown"
    assert said("8, CoT") == "8 shown, CoT"
    assert said("not thinking") == "not thinking"
    assert said(None, "the base model") == "shots not said; of the base model"
