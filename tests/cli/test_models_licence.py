"""`botbridge models licence`: what it prints, and what it keeps."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from botbridge.cli.models import models_app
from botbridge.errors import ModelNotFound, ModelNotLicensed
from botbridge.models.acceptance import read_acceptance
from botbridge.models.catalogue import load_catalogue
from botbridge.models.uses import Use

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "licence.json").read_text())
LLAMA, GEMMA, OPT = "meta-llama/Llama-3.2-1B-Instruct", "google/gemma-3-1b-it", "facebook/opt-6.7b"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no `.env` lies there
    return tmp_path


def licence(*words: str) -> Result:
    return CliRunner().invoke(models_app, ["licence", *words])


def facts(*words: str) -> dict[str, Any]:
    """What it prints as JSON, which is of the published form."""
    found = json.loads(licence(*words, "--json").stdout)
    jsonschema.validate(found, SCHEMA, format_checker=jsonschema.FormatChecker())
    return found


@pytest.mark.parametrize("use", list(Use))
@pytest.mark.parametrize("model", [entry.id for entry in load_catalogue().entries])
def test_every_model_of_the_catalogue_is_told_of_in_the_published_form(model: str, use: Use) -> None:
    found = facts(model, "--use", use)
    assert (found["model"], found["use"]) == (model, use)
    assert found["conditions"] or (found["permission"] == "unknown" and found["note"])
    assert {each["source"] for each in found["conditions"]} <= {source["id"] for source in found["sources"]}


def test_people_read_each_condition_with_its_clause_and_its_source() -> None:
    result = licence(LLAMA, "--use", "saas")
    assert result.exit_code == 0
    assert "use saas: conditional\n" in result.stdout
    assert '  notice (1.b.i(B)): "Built with Llama" stands' in result.stdout
    assert "[llama-3-2-licence]\n" in result.stdout
    assert "read in llama-3-2-licence: Llama 3.2 Community License Agreement, " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("not accepted yet: botbridge models licence ")


def test_the_numbers_of_the_operator_decide() -> None:
    fits = facts(LLAMA, "--use", "saas", "--monthly-users", "700000000")
    ceiling = next(each for each in fits["conditions"] if each["kind"] == "user ceiling")
    assert (fits["permission"], ceiling["state"], ceiling["ceiling"]) == ("conditional", "met", 700_000_000)
    assert facts(LLAMA, "--use", "saas", "--monthly-users", "700000001")["permission"] == "not allowed"
    told = licence(LLAMA, "--use", "saas", "--monthly-users", "700000001")
    assert "  user ceiling (2), broken: " in told.stdout
    assert told.exit_code == 0


def test_accepting_is_kept_and_told(home: Path) -> None:
    before = facts(GEMMA, "--use", "saas")
    assert (before["needs_acceptance"], before["accepted"], before["acceptance"]) == (True, False, None)
    result = licence(GEMMA, "--use", "saas", "--accept", "--by", "Sara")
    assert result.exit_code == 0
    assert result.stdout.startswith("accepted: Gemma Terms of Use (2026-04-01) with ")
    assert "accepted by Sara on " in result.stdout
    after = facts(GEMMA, "--use", "saas")
    assert (after["accepted"], after["acceptance"]["use"], after["acceptance"]["accepted_by"]) == (True, "saas", "Sara")
    kept = read_acceptance(home, before["model"])
    assert kept is not None
    assert timedelta() <= datetime.now(UTC) - kept.accepted_at < timedelta(minutes=5)
    assert facts(GEMMA, "--use", "personal")["accepted"] is True
    assert facts(GEMMA, "--use", "embed")["accepted"] is False


@pytest.mark.parametrize(
    "words",
    [
        (OPT, "--use", "saas"),
        (OPT, "--use", "embed", "--json"),
        (LLAMA, "--use", "saas", "--monthly-users", "800000000"),
    ],
)
def test_what_is_not_allowed_cannot_be_accepted(home: Path, words: tuple[str, ...]) -> None:
    result = licence(*words, "--accept")
    assert isinstance(result.exception, ModelNotLicensed)
    assert str(result.exception).startswith("not accepted: ")
    assert "not allowed" in result.stdout
    assert not (home / "acceptances").exists()


def test_a_model_outside_the_catalogue_is_a_note_with_the_address_to_read() -> None:
    result = licence("org/unheard-of", "--use", "saas")
    note = "org/unheard-of: licence unknown to botbridge; read https://huggingface.co/org/unheard-of"
    assert (result.exit_code, result.stdout) == (0, f"{note}\n")
    found = facts("org/unheard-of", "--use", "saas")
    assert (found["permission"], found["licence"], found["note"]) == ("unknown", None, note)
    refused = licence("org/unheard-of", "--use", "saas", "--accept")
    assert isinstance(refused.exception, ModelNotLicensed)


def test_the_use_of_the_settings_counts_where_none_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    without = licence(OPT)
    assert without.exit_code == 2
    assert "BOTBRIDGE_LICENCE__USE" in without.stderr
    monkeypatch.setenv("BOTBRIDGE_LICENCE__USE", "saas")
    assert facts(OPT)["permission"] == "not allowed"
    assert facts(OPT, "--use", "personal")["permission"] == "conditional"


@pytest.mark.parametrize(
    "words",
    [
        ("--use", "everything"),
        ("--use", "saas", "--monthly-users", "-1"),
        ("--use", "saas", "--annual-revenue-usd", "much"),
        ("--use", "saas", "--by", "Sara"),
        ("--use", "saas", "--accept", "--by", ""),
        ("--use", "saas", "--accept", "--by", "x" * 201),
    ],
    ids=" ".join,
)
def test_wrong_use_is_told_and_nothing_kept(home: Path, words: tuple[str, ...]) -> None:
    assert licence(GEMMA, *words).exit_code == 2
    assert not (home / "acceptances").exists()


def test_a_name_that_no_model_can_have_is_told() -> None:
    assert isinstance(licence("nonsense", "--use", "saas").exception, ModelNotFound)


@pytest.mark.parametrize("words", [(LLAMA, "saas"), (OPT, "saas"), (GEMMA, "embed"), ("org/unheard-of", "saas")])
def test_in_arabic_all_but_names_numbers_and_what_has_to_be_shown_is_arabic(words: tuple[str, str]) -> None:
    """Each Latin piece in an Arabic line is an isolate, else a terminal turns its clause and its address around.

    And each Arabic line has a letter or mark outside of isolates that says where it begins.
    """
    model, use = words
    result = licence(model, "--use", use, "--lang", "ar")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) >= len(licence(model, "--use", use).stdout.splitlines())
    assert not re.search("[٠-٩]", result.stdout)
    for line in lines:
        assert line.count("\u2068") == line.count("\u2069"), line
        if re.search("[\u0600-\u06ff]", line):
            outside = line
            while (inner := re.sub("\u2068[^\u2068\u2069]*\u2069", "", outside)) != outside:
                outside = inner
            assert not re.search("[a-z]", outside.replace("botbridge", "").replace("UTC", "")), line
            assert re.search("[\u0600-\u06ff\u200f]", outside), line


def test_in_arabic_the_verdict_the_clause_and_the_command_are_said() -> None:
    told = licence(LLAMA, "--use", "saas", "--monthly-users", "800000000", "--lang", "ar").stdout
    assert "غير مسموح" in told
    assert "حد المستخدمين\u2069 (\u20682\u2069)، غير مستوفى" in told
    assert "700 مليون مستخدم في الشهر" in told
    assert "Built with Llama" in told
    waits = licence(LLAMA, "--use", "saas", "--lang", "ar").stdout.splitlines()[-1]
    assert waits == "لم تُقبل بعد: \u2068botbridge models licence llama-3.2-1b-instruct --use saas --accept\u2069"


def test_beside_json_it_is_told_elsewhere() -> None:
    result = licence(GEMMA, "--use", "saas", "--accept", "--json")
    assert result.stderr.startswith("accepted: ")
    assert json.loads(result.stdout)["accepted"] is True


def test_in_arabic_what_is_accepted_is_kept_as_ever(home: Path) -> None:
    result = licence(GEMMA, "--use", "saas", "--accept", "--by", "Sara", "--lang", "ar")
    assert result.stdout.startswith("قُبلت: ")
    assert "قبلها \u2068Sara\u2069 في " in result.stdout
    kept = read_acceptance(home, "gemma-3-1b-it")
    assert kept is not None
    assert kept.use == "saas"


def test_a_licence_and_a_gate_that_nobody_looked_up_are_marked() -> None:
    model = "falcon-h1-arabic-3b-instruct"
    told = licence(model, "--use", "personal").stdout
    assert told.count("(not verified)") == 2
    assert facts(model, "--use", "personal")["not_verified"] == ["gated", "licence"]
    assert facts(LLAMA, "--use", "personal")["not_verified"] == []
