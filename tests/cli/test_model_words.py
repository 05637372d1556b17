"""The words of `botbridge models`: complete in Arabic, and none left over."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from babel.messages.pofile import read_po

from botbridge.cli.model_words import CLAUSES_DOMAIN, DOMAIN, conditions, language_of
from botbridge.cli.tongue import Tongue
from botbridge.conversation.texts import load_texts
from botbridge.machine.prices import load_prices
from botbridge.models.facts import Score
from botbridge.models.licences import load_licences, unread

PACKAGE = Path(__file__).parents[2] / "botbridge"


def sentences_in_code() -> set[str]:
    """Every literal that pages say; clauses, which `clauses` says, are told of in `licences.toml`.

    What other parts say stands in a `Sentence`.
    """
    return {
        ast.literal_eval(node.args[0])
        for path in [*PACKAGE.rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_saying(node, in_cli=path.parent.name == "cli")
    }


def is_saying(call: ast.Call, *, in_cli: bool) -> bool:
    function = ast.unparse(call.func)
    return function == "Sentence" or (in_cli and function == "words.say")


def sentences_of_prices() -> set[str]:
    prices = load_prices()
    titles = {each.title for each in (*prices.prices, *prices.powers)}
    return titles | {price.note for price in prices.prices if price.note is not None}


def arabic(domain: str = DOMAIN) -> dict[str, str]:
    with (PACKAGE / "locale" / domain / "ar.po").open("rb") as file:
        return {str(entry.id): str(entry.string) for entry in read_po(file, locale="ar") if entry.id}


def test_every_sentence_has_an_arabic_one_and_no_other_is_left_over() -> None:
    assert set(arabic()) == sentences_in_code() | sentences_of_prices()


def sentences_of_licences() -> set[str]:
    """What is said of each clause, and beside it."""
    licences = load_licences()
    conditions = [licences.gate, *(condition for licence in licences.entries for condition in licence.conditions)]
    notes = {licence.note for licence in (*licences.entries, unread("unheard-of"))}
    return {condition.sentence for condition in conditions} | {note for note in notes if note is not None}


def test_every_clause_is_said_in_arabic_with_its_numbers_and_no_other_is_left_over() -> None:
    """A number that is lost or changed in a translation would be another clause."""
    translated = arabic(CLAUSES_DOMAIN)
    assert set(translated) == sentences_of_licences()
    numbers = re.compile(r"\d+(?:\.\d+)*")
    for english, translation in translated.items():
        assert "{" not in english
        assert re.search("[\u0600-\u06ff]", translation), english
        assert sorted(numbers.findall(translation)) == sorted(numbers.findall(english)), english
        assert sorted(re.findall('"[^"]+"', translation)) == sorted(re.findall('"[^"]+"', english)), english


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
