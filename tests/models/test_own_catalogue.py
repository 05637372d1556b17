"""`models add`: a file of one's own is checked whole, kept whole, and known to everybody from then on."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from botbridge.errors import CatalogueInvalid
from botbridge.models.adding import add_models
from botbridge.models.catalogue import Catalogue, load_catalogue
from botbridge.models.catalogue_file import own_catalogue_path
from botbridge.models.names import HubSource
from tests.models.own_entries import own_file

BUILT_IN = load_catalogue()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def add(home: Path, text: str, *, replace: bool = False, built_in: Catalogue = BUILT_IN) -> tuple[str, ...]:
    """Write a file and add it."""
    file = home.parent / "file.toml"
    file.write_text(text, encoding="utf-8")
    return add_models(file, home, built_in, replace=replace)


def test_an_added_model_stands_behind_the_built_in_ones(home: Path) -> None:
    assert add(home, own_file()) == ("mine",)
    whole = load_catalogue(home=home)
    assert [entry.id for entry in whole.entries] == [*(entry.id for entry in BUILT_IN.entries), "mine"]
    assert whole.resolve("mine").source == HubSource("hub", "org/mine")
    assert whole.find("org/mine").scores[0].percent == 0
    assert [source.title for source in whole.cited_by([whole.find("mine")])] == ["My card"]


def test_it_is_kept_for_its_owner_alone_and_nothing_is_left_beside_it(home: Path) -> None:
    add(home, own_file())
    path = own_catalogue_path(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(home.iterdir()) == [path]


def test_what_a_killed_command_left_does_not_stand_in_the_way(home: Path) -> None:
    home.mkdir()
    own_catalogue_path(home).with_suffix(".new").write_text("half")
    add(home, own_file())
    assert load_catalogue(home=home).entry("mine")


def test_a_second_file_joins_the_first_and_may_cite_the_same_source(home: Path) -> None:
    add(home, own_file("one"))
    add(home, own_file("two"))
    whole = load_catalogue(home=home)
    assert whole.find("one").evidence == whole.find("two").evidence
    assert [source.id for source in whole.sources].count("my-card") == 1


def test_what_a_text_holds_survives_the_writing(home: Path) -> None:
    """Quotes, line ends, controls and all that TOML wants escaped."""
    said = 'He said "no\\n" \x7f \x1b[31m نعم'
    escaped = 'He said \\"no\\\\n\\" \\u007f \\u001b[31m نعم'
    add(home, own_file(more=f'strength = "{escaped}"\nlanguage_count = 3'))
    assert load_catalogue(home=home).find("mine").strength == said


def test_an_id_of_botbridges_own_is_refused(home: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="'phi-2' is an entry of botbridge's own"):
        add(home, own_file("phi-2"))
    assert not home.exists()


def test_an_id_that_was_added_before_is_replaced_only_when_that_is_said(home: Path) -> None:
    add(home, own_file(more='strength = "old"'))
    with pytest.raises(CatalogueInvalid, match="'mine' was added before; --replace"):
        add(home, own_file(more='strength = "new"'))
    assert load_catalogue(home=home).find("mine").strength == "old"
    add(home, own_file(more='strength = "new"'), replace=True)
    assert load_catalogue(home=home).find("mine").strength == "new"


def test_a_replaced_entry_takes_its_source_along(home: Path) -> None:
    add(home, own_file(title="First card"))
    add(home, own_file(title="Second card"), replace=True)
    whole = load_catalogue(home=home)
    assert [source.title for source in whole.cited_by([whole.find("mine")])] == ["Second card"]


def test_a_source_that_another_entry_cites_is_not_taken_from_it(home: Path) -> None:
    add(home, own_file("one", title="First card"))
    with pytest.raises(CatalogueInvalid, match="'my-card' already is another one, which 'one' cites"):
        add(home, own_file("two", title="Second card"))


def test_sources_may_be_those_of_the_built_in_catalogue(home: Path) -> None:
    file = '{ format = "gguf", quantization = "Q4_0", size_bytes = 5, source = "computed" }'
    add(home, own_file(more=f"files = [{file}]"))
    assert load_catalogue(home=home).find("mine").files[0].source == "computed"


def test_a_later_botbridge_may_bring_a_source_or_a_model_of_the_same_id(home: Path, tmp_path: Path) -> None:
    """Neither an upgrade stops the bot, nor does an entry cite what it never meant."""
    add(home, own_file("mine", source="later", title="The operator's"))
    newer = tmp_path / "newer.toml"
    newer.write_text(own_file("theirs", source="later", title="botbridge's"))
    whole = load_catalogue(newer, home=home)
    assert [source.title for source in whole.cited_by([whole.find("mine")])] == ["The operator's"]
    assert [source.title for source in whole.cited_by([whole.find("theirs")])] == ["botbridge's"]
    newer.write_text(own_file("mine", source="later", title="botbridge's"))
    whole = load_catalogue(newer, home=home)
    assert [source.title for source in whole.cited_by(whole.entries)] == ["botbridge's"]


WHEEL = """
[model.source]
kind = "wheel"
requirement = "{requirement}"
wheel_bytes = 1
wheel_sha256 = "{sha}"
member = "{member}"
gguf_sha256 = "{sha}"
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (own_file().replace("parameters = 1000", "parameters = -3"), "'mine', field parameters: it should be greater"),
        (own_file().replace("parameters = 1000", "parameter = 1000"), "field parameter is no field of it; is 'parame"),
        (own_file().replace("gated = false\n", ""), "entry 'mine', field gated is missing"),
        (own_file().replace('gated = ["my-card"]\n', ""), "mine: no source for gated"),
        (own_file().replace('"causal"', '"rnn"'), "field kind: it should be 'causal' or 'seq2seq', not 'rnn'"),
        (own_file().replace("percent = 0", "percent = 101"), "field scores.0.percent: .* 100, not 101"),
        (own_file().replace("percent = 0", "per_cent = 0"), "field scores.0.per_cent is no field of it; is 'percent'"),
        (own_file().replace('weights = "yes"', 'weights = "maybe"'), "field openness.weights"),
        (own_file().replace('licence = ["my-card"]', 'licence = ["other"]'), "'mine' cites 'other', which no"),
        (own_file().replace('id = "my-card"', 'id = "My card"'), "source 'My card', field id"),
        (own_file() + own_file(source="my-other-card"), "two entries share the id 'mine'"),
        (own_file() + own_file("other"), "two sources share the id 'my-card'"),
        (
            own_file() + '[model.source]\nkind = "hub"\nrepo = "a/b"\nrevisions = "x"\n',
            "source.revisions .* 'revision'",
        ),
        (own_file() + "[[models]]\nid = 1\n", "field models is no field of it; is 'model' meant?"),
        (own_file().replace('title = "Mine"', 'title = "Mine"\ntitle = "Twice"'), "no TOML: .*line 10"),
        ("model = [3]", "entry number 1, the whole"),
        ("# nothing", "holds no \\[\\[model\\]\\]"),
        ("x = [", "is no TOML"),
        (own_file() + WHEEL.format(requirement="--index-url=http://x", member="a.gguf", sha="0"), "NAME==VERSION"),
        (own_file() + WHEEL.format(requirement="a==1 -r x", member="a.gguf", sha="0"), "NAME==VERSION"),
        (own_file() + WHEEL.format(requirement="a==1", member="../../a.gguf", sha="0"), "field source.member"),
        (own_file() + WHEEL.format(requirement="a==1", member="/a.gguf", sha="0"), "field source.member"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence_and_changes_nothing(home: Path, text: str, told: str) -> None:
    with pytest.raises(CatalogueInvalid, match=told) as caught:
        add(home, text)
    assert str(caught.value).startswith(str(home.parent / "file.toml"))
    assert "\n" not in str(caught.value).replace("\\n", "")
    assert "pydantic" not in str(caught.value)
    assert not home.exists()


def test_a_file_that_is_not_there_or_no_text_is_told(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="cannot be read: No such file"):
        add_models(tmp_path / "absent.toml", home, BUILT_IN)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogueInvalid, match="no text in UTF-8"):
        add_models(tmp_path / "binary.toml", home, BUILT_IN)


@pytest.mark.parametrize(
    "damage",
    ["[[model", own_file().replace("= 1000", "= 0"), own_file() + own_file(), own_file().replace('d = ["my', 'd = ["')],
)
def test_a_damaged_catalogue_is_one_sentence_with_the_command_that_mends_it(home: Path, damage: str) -> None:
    add(home, own_file())
    path = own_catalogue_path(home)
    path.write_text(damage)
    with pytest.raises(CatalogueInvalid, match=f"^{path}.*`mv {path} {path}.damaged`.*botbridge models add"):
        load_catalogue(home=home)
