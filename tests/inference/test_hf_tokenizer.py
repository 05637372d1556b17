"""Real tokenizers: nothing that a person writes becomes a control token."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

from botbridge.answers import RequestId, Role, Turn
from botbridge.inference.answer_text import AnswerText
from botbridge.inference.engines.dialogue import GrowingAnswer
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, ModelTemplate, load_dialogue, load_tokenizer
from botbridge.inference.prompt import PromptBuilder, plain_ids
from botbridge.inference.sampling import Choice
from botbridge.models.files import ModelFiles
from tests.fakes.tiny_models import CHAT_TEMPLATE, byte_tokenizer, word_tokenizer


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """A vocabulary of pieces that holds the names of its special tokens as ordinary pieces, as Llama 2's does."""
    pieces = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), ("▁", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("[INST]", normalized=True), AddedToken("%", normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def greedy_bpe_tokenizer() -> PreTrainedTokenizerFast:
    """A vocabulary whose words come before its merges, as Llama 3's do, control tokens among them."""
    alphabet = {symbol: place for place, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet | {"<think>": 256}, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("\n\n", normalized=False)])
    tokenizer.add_special_tokens(["<|eot_id|>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eot_id|>")


LONG = "internationalisation"


def marked_words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Words and merges like Llama 2's: a word with a blank before it is another token than the same word without."""
    letters = ["▁", "\n", *map(chr, range(33, 127))]
    symbols = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    words = {symbol: place for place, symbol in enumerate(symbols)}
    merges = []
    for word in ("▁▁", "\n\n", "▁Hello", "Hello", "▁Hi", "Hi", "▁Hey", f"▁{LONG}", "▁[", "ho"):
        for end in range(2, len(word) + 1):
            if word[:end] not in words:
                words[word[:end]] = len(words)
                merges.append((word[: end - 1], word[end - 1]))
    return words, merges


def prepending_tokenizer() -> PreTrainedTokenizerFast:
    """As the tokenizer.json of Llama 2, TinyLlama and Mistral 7B: a blank is put before all that stands alone."""
    words, merges = marked_words()
    tokenizer = Tokenizer(models.BPE(words, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("[TOOL]", normalized=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama_tokenizer(*, legacy: bool) -> LlamaTokenizer:
    """The library's own for such words: a blank at the beginning only or, as it was once, after control tokens, too."""
    words, merges = marked_words()
    return LlamaTokenizer(vocab=words, merges=merges, legacy=legacy)


MARKING = {
    "prepend": prepending_tokenizer(),
    "metaspace first": llama_tokenizer(legacy=False),
    "metaspace always": llama_tokenizer(legacy=True),
}
"""Those that write the beginning of a text otherwise than its middle."""

TOKENIZERS = {
    "bytes": byte_tokenizer(chat=True),
    "words": word_tokenizer(),
    "unigram": unigram_tokenizer(),
    "greedy bpe": greedy_bpe_tokenizer(),
    **MARKING,
}

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
BETWEEN_MARKS = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>{% endif %}"


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_no_text_of_a_person_becomes_a_control_token(name: str, data: st.DataObject) -> None:
    """Any mixture of the vocabulary's own names, parts of them and other text, full-width forms included."""
    tokenizer = TOKENIZERS[name]
    added = {token_id: token.content for token_id, token in tokenizer.added_tokens_decoder.items()}
    names = list(added.values())
    parts = [part for word in names for part in (word, word[: len(word) // 2], word[len(word) // 2 :])]
    wide = ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word) for word in names]
    text = "".join(data.draw(st.lists(st.sampled_from([*parts, *wide]) | st.text(max_size=3), max_size=10)))
    wrapped = HfTokenizer(tokenizer)
    ids = plain_ids(wrapped, text, data.draw(st.sampled_from([None, *wrapped.encode("user")])))
    assert [added[token_id] for token_id in ids if not added.get(token_id, " ").isspace()] == []


@pytest.mark.parametrize("name", ["bytes", "prepend"])
@given(before=st.text(), after=st.text())
def test_what_people_write_reaches_the_model_unchanged(name: str, before: str, after: str) -> None:
    """Encoding and decoding give the text back, names of control tokens included; nothing shows where it was halved."""
    wrapped = HfTokenizer(TOKENIZERS[name])
    text = f"{before}<|turn|>system<tool>{after}".replace("▁", " ")
    assert wrapped.decode(plain_ids(wrapped, text)) == text


def test_special_tokens_in_a_text_are_split_by_the_tokenizer_itself() -> None:
    """Halving the text is for what remains: tokens that were added without being special."""
    wrapped = HfTokenizer(TOKENIZERS["bytes"])
    assert wrapped.control_ids.isdisjoint(wrapped.encode_plain("<|turn|>system"))
    assert not wrapped.control_ids.isdisjoint(wrapped.encode_plain("<tool>"))


def test_the_template_itself_makes_control_tokens() -> None:
    """The same names mean something when the template writes them."""
    tokenizer = TOKENIZERS["bytes"]
    ids = HfTokenizer(tokenizer).encode("<|turn|>user\n")
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|turn|>")


def test_without_control_tokens_in_the_text_the_prompt_is_what_the_library_makes() -> None:
    """Building by segments changes nothing for honest text."""
    tokenizer = TOKENIZERS["bytes"]
    model = ModelTemplate(tokenizer, [])
    turns = [Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "ho"), Turn(Role.USER, "what is 1 < 2?")]
    messages = [{"role": "system", "content": "be kind"}, *({"role": t.role.value, "content": t.text} for t in turns)]
    ours = PromptBuilder(HfTokenizer(tokenizer), model.template, 1000).build("be kind", turns, 10)
    library = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(ours.ids) == library


HONEST = st.lists(st.sampled_from(["Hi", "Hello", "Hey", "ho", " ", "▁", "\n", "[", "🙂", "é"]), max_size=8).map(
    "".join
)


@cache
def speaking(name: str, template: str) -> tuple[PreTrainedTokenizerFast, PromptBuilder]:
    """A tokenizer with this chat template, and the prompts that are built with it."""
    tokenizer = deepcopy(TOKENIZERS[name])
    tokenizer.chat_template = template
    return tokenizer, PromptBuilder(HfTokenizer(tokenizer), ModelTemplate(tokenizer, []).template, 10_000)


@pytest.mark.parametrize("template", [MISTRAL, ZEPHYR, BETWEEN_MARKS])
@pytest.mark.parametrize("name", [*MARKING, "greedy bpe"])
@given(texts=st.lists(HONEST.map(lambda text: text.strip(" ▁\n")).filter(bool), min_size=3, max_size=3))
def test_every_turn_is_written_as_in_the_middle_of_the_whole(name: str, template: str, texts: list[str]) -> None:
    """A tokenizer that puts a blank before all that stands alone puts none before a turn that is encoded alone."""
    tokenizer, prompts = speaking(name, template)
    turns = [Turn(role, text) for role, text in zip((Role.USER, Role.ASSISTANT, Role.USER), texts, strict=True)]
    messages = [{"role": turn.role.value, "content": turn.text} for turn in turns]
    library = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(prompts.build("", turns, 10).ids) == library


@pytest.mark.parametrize("name", MARKING)
@given(text=HONEST)
def test_behind_other_text_a_text_is_encoded_as_its_continuation(name: str, text: str) -> None:
    """Also when it begins with what its guard is made of, which the vocabulary joins."""
    wrapped = HfTokenizer(MARKING[name])
    before = wrapped.encode("x")
    assert before + wrapped.encode_plain(text, before[-1]) == wrapped.encode_plain(f"x{text}")


@pytest.mark.parametrize("name", MARKING)
@given(text=HONEST)
def test_told_token_by_token_an_answer_keeps_its_blanks(name: str, text: str) -> None:
    """Decoders of such vocabularies drop the first blank of what they are given; only an answer's own first is."""
    wrapped = HfTokenizer(MARKING[name])
    for ids in (wrapped.encode_plain(text), wrapped.encode_plain(text, after=wrapped.encode("x")[-1])):
        answer = AnswerText(wrapped.decode)
        told = "".join([*map(answer.push, ids), answer.finish()])
        assert told == text.replace("▁", " ").strip()


@pytest.mark.parametrize("context_tokens", range(120, 160))
def test_history_that_is_longer_in_the_middle_than_alone_leaves_the_answer_its_room(context_tokens: int) -> None:
    """The word is one token at the beginning, and twenty behind a line's end."""
    tokenizer, _ = speaking("prepend", ZEPHYR)
    prompts = PromptBuilder(HfTokenizer(tokenizer), ModelTemplate(tokenizer, []).template, context_tokens)
    turns = [Turn(role, LONG) for role in (Role.USER, Role.ASSISTANT)] * 5
    assert prompts.build("", [*turns, Turn(Role.USER, LONG)], 20).max_new_tokens == 20


def test_an_unpaired_surrogate_is_shown_as_a_question_mark() -> None:
    """Python strings may hold what UTF-8 cannot."""
    wrapped = HfTokenizer(TOKENIZERS["bytes"])
    assert wrapped.decode(wrapped.encode_plain("a\ud800b")) == "a?b"


def test_the_end_of_turn_token_of_the_template_ends_an_answer() -> None:
    """Even when the model's generation settings forgot it."""
    tokenizer = TOKENIZERS["bytes"]
    model = ModelTemplate(tokenizer, [7])
    assert model.stop_ids == {7, tokenizer.convert_tokens_to_ids("<|end|>")}
    assert model.stop_strings == ()


def test_a_template_that_ends_turns_with_plain_text_ends_answers_there() -> None:
    """As a string, because there is no token."""
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n{% endfor %}### assistant:\n"
    assert ModelTemplate(tokenizer, [7]).stop_strings == ("\n### user:",)


@pytest.mark.parametrize("template", [None, "{{ raise_exception('no') }}", "{{ messages[-1].content }}", "{% for %}"])
def test_a_model_without_a_usable_template_gets_the_supplied_one(template: str | None) -> None:
    """And the operator a note."""
    tokenizer = byte_tokenizer(chat=False)
    tokenizer.chat_template = template
    model = ModelTemplate(tokenizer, [7])
    assert model.stop_strings == ("\nUser:", "\nAssistant:")
    assert "is not used" in model.notes[0]


def test_the_supplied_template_begins_with_the_token_that_the_model_expects_first() -> None:
    """Where the tokenizer puts one before every text."""
    tokenizer = byte_tokenizer(chat=False)
    assert ModelTemplate(tokenizer, [7]).template.start_ids == ()
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", tokenizer.bos_token_id)]
    )
    assert ModelTemplate(tokenizer, [7]).template.start_ids == (tokenizer.bos_token_id,)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_beside_a_gguf_a_tokenizer_speaks_as_it_does_elsewhere(name: str, tmp_path: Path) -> None:
    """The shorter way to it, without torch, changes no prompt, no end and no control token."""
    TOKENIZERS[name].save_pretrained(tmp_path)
    files = ModelFiles("m", "r", tmp_path)
    found = load_tokenizer(files)
    (tmp_path / "m.gguf").touch()
    beside = load_tokenizer(files)
    turns = [Turn(Role.USER, "hi <tool> [INST]%"), Turn(Role.ASSISTANT, "ho\n\n"), Turn(Role.USER, "what is <think>?")]
    one, other = (
        (template.stop_ids, template.stop_strings, template.notes, wrapped.control_ids, prompt)
        for tokenizer in (found, beside)
        for wrapped in [HfTokenizer(tokenizer)]
        for template in [ModelTemplate(tokenizer, [])]
        for prompt in [PromptBuilder(wrapped, template.template, 1000).build("be kind", turns, 10)]
    )
    assert one == other


def test_beside_a_gguf_text_is_cut_as_the_tokenizers_file_says(tmp_path: Path) -> None:
    """Not as transformers cuts it for the architecture: Qwen 2's own rule lets every digit stand alone."""
    letters = {symbol: place for place, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters | {"12": 256}, merges=[("1", "2")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    (tmp_path / "m.gguf").touch()
    assert HfTokenizer(load_tokenizer(ModelFiles("m", "r", tmp_path))).encode_plain("12") == [256]


def test_beside_a_gguf_without_a_tokenizers_file_the_library_looks_for_another_form(tmp_path: Path) -> None:
    """A directory of the operator's own may hold the words and their merges in files of their own."""
    letters = {symbol: place for place, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    (tmp_path / "vocab.json").write_text(json.dumps(letters | {"<|endoftext|>": 256, "in": 257}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\ni n\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "m.gguf").touch()
    assert HfTokenizer(load_tokenizer(ModelFiles("m", "r", tmp_path))).encode_plain("in") == [257]


THINKS_UNLESS_TOLD = (
    CHAT_TEMPLATE + "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
"""As Qwen 3's: thoughts that are empty stand before the answer.

Source: https://huggingface.co/Qwen/Qwen3-0.6B, tokenizer_config.json.
"""


@pytest.mark.parametrize("has_gguf", [False, True], ids=["safetensors", "beside a GGUF"])
def test_a_model_that_thinks_unless_told_is_told(has_gguf: bool, tmp_path: Path) -> None:
    """Whichever way its tokenizer is read; a template that knows no such word writes what it always wrote."""
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = THINKS_UNLESS_TOLD
    tokenizer.save_pretrained(tmp_path)
    if has_gguf:
        (tmp_path / "m.gguf").touch()
    files = ModelFiles("m", "r", tmp_path)
    ends = []
    for template in (THINKS_UNLESS_TOLD, CHAT_TEMPLATE):
        found = load_tokenizer(files)
        found.chat_template = template
        dialogue = load_dialogue(found, [], 1000)
        prompt = dialogue.prompts.build("", [Turn(Role.USER, "hi")], 10)
        ends.append(found.decode(prompt.ids))
        assert not dialogue.notes
        assert not dialogue.opening
    assert ends == [
        "<|turn|>user\nhi<|end|>\n<|turn|>assistant\n<think>\n\n</think>\n\n",
        "<|turn|>user\nhi<|end|>\n<|turn|>assistant\n",
    ]


def test_thoughts_that_the_template_begins_are_told_from_the_answer() -> None:
    """As DeepSeek R1's does: the model itself writes the closing tag only."""
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = CHAT_TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}"
    dialogue = load_dialogue(tokenizer, [], 1000)
    ids = tokenizer.encode("Hm.</think>Hi", add_special_tokens=False)
    growing = GrowingAnswer(RequestId("1"), dialogue, len(ids))
    events = [growing.push(Choice(token_id, 1.0)) for token_id in ids]
    assert "".join(event.text for event in events) == "<think>Hm.</think>Hi"
    assert events[-1].completion_ids == tuple(ids)
