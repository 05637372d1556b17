"""Which models are let through, which are refused, and what the sentence says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from botbridge.errors import ModelNotLicensed
from botbridge.models.acceptance import Acceptance, write_acceptance
from botbridge.models.clearance import Clearance, clear, entry_of, refusal
from botbridge.models.licences import load_licences
from botbridge.models.names import parse_name
from botbridge.models.uses import Use
from tests.fakes.licensed_models import catalogue_of, licensed

LICENCES = load_licences()
ACCEPTED_AT = datetime(2026, 11, 28, tzinfo=UTC)

# licence, gated, declared use, accepted use, what the sentence holds (None: let through)
CASES: list[tuple[str, bool, str | None, str | None, str | None]] = [
    ("Apache-2.0", False, None, None, None),
    ("Apache-2.0", False, "embed", None, None),
    ("MIT", False, "embed", None, None),
    ("Apache-2.0", True, None, None, "--use personal --accept; --use saas or embed"),
    ("Apache-2.0", True, "saas", None, "--use saas --accept"),
    ("Apache-2.0", True, "saas", "saas", None),
    ("llama3.2", True, None, None, "botbridge models licence tiny --use personal --accept"),
    ("llama3.2", True, None, "personal", None),
    ("llama3.2", True, "personal", "embed", None),
    ("llama3.2", True, "saas", "personal", "accepted for personal alone"),
    ("llama3.2", True, "embed", "saas", "accepted for saas alone"),
    ("gemma", False, None, None, "read it at https://ai.google.dev/gemma/terms"),
    ("bigscience-rail-1.0", False, "saas", None, "which was not accepted here"),
    ("lfm1.0", False, None, None, "which was not accepted here"),
    ("lfm1.0", False, "saas", "saas", None),
    ("falcon-llm-license", False, None, None, "which was not accepted here"),
    ("falcon-llm-license", False, None, "saas", None),
    ("somebodys-own-1.0", False, None, None, "read it, then accept it with"),
    ("opt-175b", False, None, None, "which was not accepted here"),
    ("opt-175b", False, None, "personal", None),
    ("opt-175b", False, "saas", None, "must not be used for saas"),
    ("opt-175b", False, "saas", "personal", "clause 2.a(i): Neither the model"),
    ("opt-175b", False, "saas", "saas", "must not be used for saas"),
    ("opt-175b", False, None, "saas", "must not be used for saas"),
    ("CC-BY-NC-4.0", False, "embed", "embed", "must not be used for embed"),
]


@pytest.mark.parametrize(("licence", "gated", "declared", "accepted", "sentence"), CASES)
def test_what_is_declared_and_accepted_decides(
    licence: str, gated: bool, declared: str | None, accepted: str | None, sentence: str | None
) -> None:
    entry, found = licensed(licence, gated=gated), LICENCES.find(licence)
    was = None if accepted is None else Acceptance("tiny", found.id, found.version, Use(accepted), ACCEPTED_AT)
    gate = LICENCES.gate if gated else None
    reason = refusal(entry, found, gate, None if declared is None else Use(declared), was)
    assert (reason is None) == (sentence is None), reason
    assert reason is None or (sentence is not None and sentence in reason), reason


@pytest.mark.parametrize(("licence", "version"), [("gemma", "2024-02-21"), ("llama3.2", "2026-04-01")])
def test_a_licence_that_changed_is_asked_for_again(licence: str, version: str) -> None:
    was = Acceptance("tiny", licence, version, Use.EMBED, ACCEPTED_AT)
    reason = refusal(licensed("gemma"), LICENCES.find("gemma"), None, Use.PERSONAL, was)
    assert reason is not None
    assert f"accepted as {licence} ({version}) and is now the Gemma Terms of Use (2026-04-01)" in reason


CATALOGUE = catalogue_of(
    licensed(
        "llama3.2",
        gated=True,
        model="llama",
        hub_id="meta/Llama",
        files=[
            {"format": "gguf", "quantization": "Q4_K_M", "size_bytes": 1, "hub_id": "q/Llama-GGUF", "source": "card"},
            {"format": "gguf", "quantization": "Q8_0", "size_bytes": 1, "hub_id": "q/Own-GGUF", "source": "card"},
        ],
    ),
    licensed("Apache-2.0", model="own", hub_id="q/Own-GGUF"),
    licensed("Apache-2.0", model="llama-again", hub_id="meta/Llama"),
)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("llama", "llama"),
        ("meta/Llama", "llama"),
        ("META/llama", "llama"),
        ("meta/Llama@v1", "llama"),
        ("meta/Llama:Q4_K_M", "llama"),
        ("q/Llama-GGUF:Q4_K_M", "llama"),
        ("q/Own-GGUF:Q8_0", "own"),
        ("llama-again", "llama-again"),
        ("meta/Other", None),
        ("/srv/meta/Llama", None),
        ("./llama.gguf", None),
    ],
)
def test_a_model_of_the_catalogue_is_known_by_each_of_its_names(name: str, entry: str | None) -> None:
    found = entry_of(CATALOGUE, CATALOGUE.resolve(name))
    assert (None if found is None else found.id) == entry


def test_a_model_outside_the_catalogue_is_let_through_as_unknown(tmp_path: Path) -> None:
    named = parse_name("org/unheard-of")
    assert clear(named, catalogue=CATALOGUE, home=tmp_path, declared=Use.SAAS) == Clearance(is_known=False)
    assert list(tmp_path.iterdir()) == []


def test_an_accepted_model_comes_with_what_has_to_be_shown_and_laid_beside_it(tmp_path: Path) -> None:
    named, licence = parse_name("meta/Llama"), LICENCES.find("llama3.2")
    with pytest.raises(ModelNotLicensed, match="models licence llama --use personal --accept"):
        clear(named, catalogue=CATALOGUE, home=tmp_path, declared=None)
    write_acceptance(tmp_path, Acceptance("llama", licence.id, licence.version, Use.PERSONAL, ACCEPTED_AT))
    cleared = clear(named, catalogue=CATALOGUE, home=tmp_path, declared=None)
    assert cleared == Clearance(is_known=True, shown=licence.shown, notice=licence.notice)
    with pytest.raises(ModelNotLicensed, match="accepted for personal alone"):
        clear(named, catalogue=CATALOGUE, home=tmp_path, declared=Use.SAAS)


def test_the_acceptance_of_one_model_is_none_of_another(tmp_path: Path) -> None:
    catalogue = catalogue_of(licensed("gemma", model="one"), licensed("gemma", model="other"))
    licence = LICENCES.find("gemma")
    path = write_acceptance(tmp_path, Acceptance("one", licence.id, licence.version, Use.EMBED, ACCEPTED_AT))
    clear(catalogue.resolve("one"), catalogue=catalogue, home=tmp_path, declared=None)
    path.with_name("other.json").write_bytes(path.read_bytes())
    with pytest.raises(ModelNotLicensed):
        clear(catalogue.resolve("other"), catalogue=catalogue, home=tmp_path, declared=None)
