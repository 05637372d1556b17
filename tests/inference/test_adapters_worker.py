"""From a prompt that names an adapter to the worker that computes it, or says why it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from botbridge.answers import KnownAdapter, Sampling
from botbridge.errors import AdapterUnusable
from botbridge.inference.adapters import adapters_without, known_adapters, usable_revision
from botbridge.inference.choice import ADDED_BY, installed_engines
from botbridge.inference.client import WorkerClient
from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.options import EngineOptions
from botbridge.inference.worker import Assignment, load_engine
from botbridge.models.files import AdapterFiles, ModelFiles
from botbridge.models.manifest import AdapterBase
from tests.fakes.asking import ask, prompt_of, until_state
from tests.fakes.tiny_adapters import tiny_lora
from tests.fakes.tiny_models import tiny_llama

MODEL = ModelFiles("org/tiny", "a" * 40, Path("unused"), "org/tiny")
POET = AdapterFiles("org/poet", "b" * 40, Path("unused"), AdapterBase("org/tiny"))
FOREIGN = AdapterFiles("org/foreign", "c" * 40, Path("unused"), AdapterBase("org/large"))
OTHER_REVISION = AdapterFiles("org/late", "d" * 40, Path("unused"), AdapterBase("org/tiny", "e" * 40))
BESIDE = replace(MODEL, adapters=(POET, FOREIGN, OTHER_REVISION))


def test_adapters_of_another_base_or_another_revision_of_it_have_an_obstacle_that_names_both() -> None:
    poet, foreign, late = known_adapters(BESIDE, has_peft=True)
    assert poet == KnownAdapter("org/poet", "b" * 40)
    assert foreign.obstacle == "the adapter org/foreign was made for org/large, not for org/tiny"
    assert f"the adapter org/late was made for the revision {'e' * 40} of org/tiny" in late.obstacle


def test_without_peft_each_says_what_adds_it() -> None:
    poet, foreign, _ = known_adapters(BESIDE, has_peft=False)
    assert poet.obstacle == (
        "the adapter org/poet needs peft, which is not installed; "
        "`.venv/bin/pip install -c constraints.txt -e '.[lora]'` adds it"
    )
    assert "made for org/large" in foreign.obstacle


def test_an_engine_that_computes_no_adapters_says_which_one_does() -> None:
    poet, foreign, _ = adapters_without("llamacpp", BESIDE, has_peft=True)
    assert poet.obstacle == (
        "the adapter org/poet is computed by the engine transformers only, and llamacpp is in use; "
        "BOTBRIDGE_INFERENCE__ENGINE=transformers chooses it"
    )
    assert "made for org/large" in foreign.obstacle
    assert adapters_without("echo", None, has_peft=True) == ()


def test_what_is_not_there_and_what_cannot_be_used_is_refused_by_name() -> None:
    known = [KnownAdapter("a", "1"), KnownAdapter("b", "2", "the adapter b is broken")]
    assert usable_revision(None, known) is None
    assert usable_revision("a", known) == "1"
    with pytest.raises(AdapterUnusable, match="the adapter b is broken"):
        usable_revision("b", known)
    with pytest.raises(AdapterUnusable, match="there is no adapter 'c'"):
        usable_revision("c", known)


@pytest.mark.parametrize(("adapters", "first"), [((POET,), "transformers"), ((FOREIGN,), "llamacpp"), ((), "llamacpp")])
def test_auto_takes_the_engine_that_computes_adapters_when_one_for_this_model_is_here(
    tmp_path: Path, adapters: tuple[AdapterFiles, ...], first: str
) -> None:
    """Even where another was measured to be faster."""
    if first not in installed_engines():
        pytest.skip(f"the engine {first} is not installed; `{ADDED_BY[first]}` adds it")
    for name in ("model.safetensors", "model.gguf"):
        (tmp_path / name).touch()
    files = replace(MODEL, directory=tmp_path, adapters=adapters)
    asked: list[str] = []

    class Engine:
        def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:
            return EngineInfo("any", "1", 10)

    def create(name: str) -> Engine:
        asked.append(name)
        return Engine()

    options = EngineOptions(engine="auto", fastest_engines=("llamacpp", "transformers"))
    load_engine(Assignment(1, options, files, 1.0), create, lambda _: None)  # type: ignore[arg-type]  # it is only loaded
    assert asked[0] == first


async def test_a_worker_answers_with_the_adapter_that_a_prompt_names_and_says_what_it_used(tmp_path: Path) -> None:
    """Unknown and foreign ones end the request with their name, and the worker goes on."""
    files = tiny_llama(tmp_path / "llama")
    poet = tiny_lora(files, tmp_path / "poet", "org/poet")
    foreign = tiny_lora(files, tmp_path / "foreign", "org/foreign", base="org/other")

    async def prepare() -> ModelFiles:
        return replace(files, adapters=(poet, foreign))

    options = EngineOptions(engine="transformers", device="cpu", dtype="float32", threads=1)
    sampling = Sampling(max_new_tokens=12, temperature=0, seed=1)
    async with WorkerClient(prepare, options) as generator:
        await until_state(generator, "ready")
        assert [(known.name, bool(known.obstacle)) for known in generator.status().adapters] == [
            ("org/poet", False),
            ("org/foreign", True),
        ]
        asked = prompt_of("hello", sampling=sampling)
        bare = (await ask(generator, asked)).completion.provenance
        poetic = (await ask(generator, replace(asked, adapter="org/poet"))).completion.provenance
        with pytest.raises(AdapterUnusable, match="the adapter org/foreign was made for org/other"):
            await ask(generator, replace(asked, adapter="org/foreign"))
        with pytest.raises(AdapterUnusable, match="there is no adapter 'org/nobody'"):
            await ask(generator, replace(asked, adapter="org/nobody"))
        again = (await ask(generator, asked)).completion.provenance
    assert (bare.adapter, bare.adapter_revision) == (None, None)
    assert (poetic.adapter, poetic.adapter_revision) == ("org/poet", "revision of org/poet")
    assert poetic.completion_ids != bare.completion_ids == again.completion_ids
    assert bare.cached_tokens == poetic.cached_tokens == 0, "what one adapter computed is of no use to another"
