"""Turn a GGUF file into what the transformers engine loads; runs as a child process of its own.

    python -m botbridge.models.convert SOURCE.gguf DIRECTORY

The only module of this package that imports torch, and only inside `convert`:
the service stays small because it starts this as a process instead of calling it.

Covered: any architecture that transformers reads from GGUF. The weights are
dequantized once and stored as bfloat16: half of what float32 takes to store and
to load, and far finer than the 4 and 8 bits they come from. Not covered:
keeping the quantization (engines that want it read the GGUF itself, which stays
beside the result).
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gguf import GGUFReader

DIGIT_SPLITTERS = frozenset({"smollm"})
"""Vocabularies learned on text whose digits stand alone, which transformers does not know of.

Source: llama.cpp src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM: `\\p{N}` before the GPT-2 pattern.
"""

CONTROL_TOKEN = 3
"""`LLAMA_TOKEN_TYPE_CONTROL`. Source: llama.cpp include/llama.h."""


class Facts(NamedTuple):
    """What the GGUF says about its vocabulary and limits; None where it says nothing."""

    pre_tokenizer: str | None
    control_tokens: frozenset[str]
    end_of_turn: int | None
    chat_template: str | None
    context_tokens: int | None


def convert(source: Path, directory: Path) -> None:
    """Write config, weights, tokenizer and chat template of `source` into `directory`.

    Raises:
        ValueError: The file is no GGUF, its architecture is unknown, or the
            result would not speak as the source says it should.
    """
    from gguf import GGUFReader  # noqa: PLC0415

    facts = read_facts(GGUFReader(source))

    import torch  # noqa: PLC0415  (seconds and hundreds of megabytes: only for a file that is a GGUF)
    from transformers import (  # noqa: PLC0415
        AutoConfig,
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
    )
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, name = str(source.parent), source.name

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
    restore_vocabulary(tokenizer, facts)
    check_vocabulary(tokenizer, facts)

    config = AutoConfig.from_pretrained(folder, gguf_file=name, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    tensors = load_gguf_checkpoint(  # type: ignore[no-untyped-call]
        str(source), return_tensors=True, model_to_load=model, torch_dtype=torch.bfloat16
    )["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    lost = [weight for weight in missing if model.get_parameter(weight).is_meta] + list(unexpected)
    if lost:
        message = f"weights do not fit the architecture: {', '.join(lost[:3])}"
        raise ValueError(message)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def read_facts(reader: GGUFReader) -> Facts:
    """Read what the conversion must keep from the file's header."""

    def content(key: str) -> Any:  # noqa: ANN401  (a GGUF value is a number, a string or a list of them)
        field = reader.get_field(key)
        return None if field is None else field.contents()

    tokens = content("tokenizer.ggml.tokens") or []
    types = content("tokenizer.ggml.token_type") or []
    return Facts(
        pre_tokenizer=content("tokenizer.ggml.pre"),
        control_tokens=frozenset(token for token, kind in zip(tokens, types, strict=False) if kind == CONTROL_TOKEN),
        end_of_turn=content("tokenizer.ggml.eos_token_id"),
        chat_template=content("tokenizer.chat_template"),
        context_tokens=content(f"{content('general.architecture')}.context_length"),
    )


def restore_vocabulary(tokenizer: Any, facts: Facts) -> None:  # noqa: ANN401  (transformers' tokenizer is untyped)
    """Give the tokenizer back what transformers drops on the way: lone digits and the length limit."""
    from tokenizers import pre_tokenizers  # noqa: PLC0415

    if facts.pre_tokenizer in DIGIT_SPLITTERS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    if facts.context_tokens is not None:
        tokenizer.model_max_length = facts.context_tokens


def check_vocabulary(tokenizer: Any, facts: Facts) -> None:  # noqa: ANN401  (transformers' tokenizer is untyped)
    """Refuse a tokenizer that would let text become a control token, or never end a turn.

    Raises:
        ValueError: A control token is not special, or the end of turn or the
            chat template differs from the source's.
    """
    open_tokens = facts.control_tokens - set(tokenizer.all_special_tokens) - special_tokens(tokenizer)
    if open_tokens:
        message = f"control tokens that plain text could form: {', '.join(sorted(open_tokens)[:3])}"
        raise ValueError(message)
    if facts.end_of_turn is not None and tokenizer.eos_token_id != facts.end_of_turn:
        message = f"end of turn is {tokenizer.eos_token_id}, not {facts.end_of_turn} as the file says"
        raise ValueError(message)
    if facts.chat_template and tokenizer.chat_template != facts.chat_template:
        message = "the chat template was lost"
        raise ValueError(message)


def special_tokens(tokenizer: Any) -> set[str]:  # noqa: ANN401  (transformers' tokenizer is untyped)
    """Return the added tokens which are marked special, as text."""
    return {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}


def die_with_parent() -> None:
    """End this process as soon as standard input ends: a killed parent must not leave a converter behind."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's own exit.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def main(arguments: list[str]) -> int:
    """Convert as asked on the command line; 0 when it worked, 1 with one line on stderr when not, 2 for wrong use."""
    if len(arguments) != 2:  # noqa: PLR2004  (source and directory)
        print("usage: python -m botbridge.models.convert SOURCE.gguf DIRECTORY", file=sys.stderr)  # noqa: T201
        return 2
    die_with_parent()
    source, directory = (Path(argument) for argument in arguments)
    try:
        convert(source, directory)
    except (ValueError, OSError, KeyError, ImportError) as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
