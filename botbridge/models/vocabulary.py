"""The tokenizer that a GGUF file describes, as transformers loads it; imported by the converter's process only.

transformers rebuilds it from the file's header. Here it is given back what is
lost on the way, and held against the header before anybody speaks through it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

BYTE_LEVEL: Final = "gpt2"
"""`tokenizer.ggml.model` of vocabularies whose text is cut by a pre-tokenizer first."""

DIGIT_SPLITTERS: Final = frozenset(
    {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
)
"""Vocabularies learned on text whose digits stand alone, which transformers does not know of.

Source: llama.cpp src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM: `\\p{N}` before the GPT-2 pattern.
"""

PLAIN_SPLITTERS: Final = frozenset(
    {None, "default", "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "roberta-bpe"}
)
"""Vocabularies whose text is cut by the GPT-2 pattern alone. Source: as above, LLAMA_VOCAB_PRE_TYPE_GPT2."""

BLOOM_SPLITTERS: Final = frozenset({"bloom", "poro-chat", "gpt3-finnish"})
BLOOM_SPLIT: Final = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
"""Source: as above, LLAMA_VOCAB_PRE_TYPE_BLOOM."""

SAME_SPLIT: Final = {"stablelm2": "qwen2", "hunyuan": "qwen2", "chatglm-bpe": "llama-bpe"}
"""Vocabularies that are cut as another one is that transformers knows. Source: as above."""

WHOLE_WORDS_FIRST: Final = frozenset({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "tekken"})
"""Vocabularies that take a word which is a token as it is, without merging. Source: as above, `ignore_merges`."""

CONTROL_TOKEN: Final = 3
"""`LLAMA_TOKEN_TYPE_CONTROL`. Source: llama.cpp include/llama.h."""


class Facts(NamedTuple):
    """What the GGUF says about its vocabulary and limits; None where it says nothing.

    Attributes:
        end_of_text: Token that ends a text, in chat models mostly a turn, too.
        end_of_turn: Token that ends a turn, where that is another one.
    """

    tokenizer_model: str | None
    pre_tokenizer: str | None
    control_tokens: frozenset[str]
    end_of_text: int | None
    end_of_turn: int | None
    chat_template: str | None
    context_tokens: int | None


def read_facts(gguf: Path) -> Facts:
    """Read what the conversion must keep from the file's header."""
    from transformers.integrations.gguf.reader import read_gguf_metadata  # noqa: PLC0415  (seconds: for files that are GGUF)

    header, _ = read_gguf_metadata(str(gguf), ("tokenizer.ggml.tokens",))
    tokens, types = header.get("tokenizer.ggml.tokens", ()), header.get("tokenizer.ggml.token_type", ())
    return Facts(
        tokenizer_model=header.get("tokenizer.ggml.model"),
        pre_tokenizer=header.get("tokenizer.ggml.pre"),
        control_tokens=frozenset(token for token, kind in zip(tokens, types, strict=False) if kind == CONTROL_TOKEN),
        end_of_text=header.get("tokenizer.ggml.eos_token_id"),
        end_of_turn=header.get("tokenizer.ggml.eot_token_id"),
        chat_template=header.get("tokenizer.chat_template"),
        context_tokens=header.get(f"{header['general.architecture']}.context_length"),
    )


def make_tokenizer(gguf: Path, facts: Facts) -> Any:  # noqa: ANN401  (transformers' tokenizer is untyped)
    """Return the tokenizer that the file describes.

    Raises:
        ValueError: Its kind is unknown, or the result would not speak as the source says it should.
    """
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415
    from transformers.integrations.gguf.gguf_tokenizer_mapping import (  # noqa: PLC0415
        convert_gguf_tokenizer,
        get_gguf_tokenizer,
    )

    architecture, content, settings = get_gguf_tokenizer(str(gguf))
    content["pre_tokenizer_type"] = SAME_SPLIT.get(facts.pre_tokenizer or "", facts.pre_tokenizer)
    backend, _ = convert_gguf_tokenizer(architecture, content)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **settings)  # type: ignore[no-untyped-call]
    if facts.tokenizer_model == BYTE_LEVEL:
        restore_splitting(tokenizer, facts.pre_tokenizer)
    if facts.context_tokens is not None:
        tokenizer.model_max_length = facts.context_tokens
    check_vocabulary(tokenizer, facts)
    return tokenizer


def restore_splitting(tokenizer: Any, pre_tokenizer: str | None) -> None:  # noqa: ANN401  (as above)
    """Give a byte-level tokenizer the way of cutting text that its merges were learned with.

    Raises:
        ValueError: That way is unknown: numbers and rare letters would be read otherwise than the model learned them.
    """
    from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS  # noqa: PLC0415

    backend = tokenizer.backend_tokenizer
    backend.model.ignore_merges = pre_tokenizer in WHOLE_WORDS_FIRST
    if pre_tokenizer in DIGIT_SPLITTERS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    elif pre_tokenizer in BLOOM_SPLITTERS:
        split = pre_tokenizers.Split(Regex(BLOOM_SPLIT), behavior="isolated")
        letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    elif not {pre_tokenizer, SAME_SPLIT.get(pre_tokenizer or "")} & {*PLAIN_SPLITTERS, *GGUF_PRE_TOKENIZER_SPLITS}:
        message = f"its vocabulary is of the kind {pre_tokenizer!r}, which is not known here"
        raise ValueError(message)


def check_vocabulary(tokenizer: Any, facts: Facts) -> None:  # noqa: ANN401  (as above)
    """Refuse a tokenizer that would let text become a control token, or never end a turn.

    Raises:
        ValueError: A control token is not special, or the end of text or the
            chat template differs from the source's.
    """
    open_tokens = facts.control_tokens - set(tokenizer.all_special_tokens) - special_tokens(tokenizer)
    if open_tokens:
        message = f"control tokens that plain text could form: {', '.join(sorted(open_tokens)[:3])}"
        raise ValueError(message)
    if facts.end_of_text is not None and tokenizer.eos_token_id != facts.end_of_text:
        message = f"end of turn is {tokenizer.eos_token_id}, not {facts.end_of_text} as the file says"
        raise ValueError(message)
    if facts.chat_template and tokenizer.chat_template != facts.chat_template:
        message = "the chat template was lost"
        raise ValueError(message)


def end_ids(facts: Facts) -> int | list[int] | None:
    """Return the tokens that end an answer, in the form of a generation configuration.

    >>> end_ids(Facts("llama", None, frozenset(), 1, 107, None, None))
    [1, 107]
    >>> end_ids(Facts("gpt2", "smollm", frozenset(), 2, None, None, None))
    2
    """
    ids = [token_id for token_id in (facts.end_of_text, facts.end_of_turn) if token_id is not None]
    distinct = list(dict.fromkeys(ids))
    if len(distinct) > 1:
        return distinct
    return distinct[0] if distinct else None


def special_tokens(tokenizer: Any) -> set[str]:  # noqa: ANN401  (as above)
    """Return the added tokens which are marked special, as text."""
    return {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
