"""The file of licences: a fault in it is found when it is read."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from botbridge.models.licences import LICENCES_FILE, Licences

Content = dict[str, Any]


def faulty(change: Callable[[Content], object]) -> Content:
    """The file with a change."""
    content = tomllib.loads(LICENCES_FILE.read_text(encoding="utf-8"))
    change(content)
    return content


def licence(content: Content, licence_id: str) -> Content:
    return next(each for each in content["licence"] if each["id"] == licence_id)


def condition(content: Content, licence_id: str, kind: str) -> Content:
    return next(each for each in licence(content, licence_id)["condition"] if each["kind"] == kind)


FAULTS: list[tuple[str, Callable[[Content], object], str]] = [
    (
        "a source that is not listed",
        lambda c: condition(c, "gemma", "notice").update(source="hearsay"),
        "not listed: hearsay",
    ),
    ("a gate without its source", lambda c: c["gate"].update(source="hearsay"), "not listed: hearsay"),
    ("the same licence twice", lambda c: c["licence"].append(c["licence"][0]), "two licences share an id"),
    ("the same source twice", lambda c: c["source"].append(c["source"][0]), "two sources share an id"),
    ("no source at all", lambda c: licence(c, "MIT").update(sources=[]), "no source for what it says"),
    ("a use that is left out", lambda c: licence(c, "MIT")["uses"].pop("saas"), "says nothing of saas"),
    (
        "a prohibition that no clause makes",
        lambda c: licence(c, "opt-175b")["condition"].pop(1),
        "saas is not allowed, and its conditions say otherwise",
    ),
    (
        "a clause that forbids what is allowed",
        lambda c: condition(c, "MIT", "liability").update(forbids=True),
        "conditions say otherwise",
    ),
    (
        "a condition without a clause",
        lambda c: licence(c, "MIT").update(condition=[]),
        "embed is conditional without a condition",
    ),
    (
        "a wider use that is laxer",
        lambda c: licence(c, "gemma").update(uses={"personal": "conditional", "saas": "allowed", "embed": "allowed"}),
        "laxer than a narrower",
    ),
    (
        "a limit that nobody accepts",
        lambda c: licence(c, "CC-BY-NC-4.0").update(needs_acceptance=False),
        "not accepted by anybody",
    ),
    (
        "unknown, and nobody says why",
        lambda c: licence(c, "falcon-llm-license").pop("note"),
        "without a note that says why",
    ),
    (
        "a ceiling without its number",
        lambda c: condition(c, "llama2", "user ceiling").pop("ceiling"),
        "a ceiling is given by a ceiling's clause",
    ),
    (
        "a number that limits nothing",
        lambda c: condition(c, "llama2", "export").update(ceiling=7),
        "a ceiling is given by a ceiling's clause",
    ),
    ("a kind that nobody knows", lambda c: condition(c, "llama2", "export").update(kind="exports"), "kind"),
    ("a misspelt field", lambda c: licence(c, "MIT").update(noticed="x"), "noticed"),
]


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault_is_named(change: Callable[[Content], object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Licences.model_validate(faulty(change))


def test_the_file_as_it_is_has_none() -> None:
    assert Licences.model_validate(faulty(lambda _: None)).entries


def test_no_source_is_listed_that_nobody_cites() -> None:
    licences = Licences.model_validate(faulty(lambda _: None))
    cited = {licences.gate.source, *(source for licence in licences.entries for source in licence.cited)}
    assert {source.id for source in licences.sources} == cited
