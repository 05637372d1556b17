"""A Hugging Face tokenizer as prompt building and decoding need it.

Importing this module, and reading a tokenizer that lies beside a GGUF, loads no
torch: engines that compute without it are ready sooner and stay smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jinja2
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from botbridge.answers import Role
from botbridge.inference.engines.dialogue import Dialogue
from botbridge.inference.prompt import (
    PLAIN_STOP_STRINGS,
    ChatTemplate,
    Message,
    PromptBuilder,
    Render,
    TemplateUnfit,
    cut_at_turns,
    plain_template,
    text_after_answer,
    try_template,
)
from botbridge.models.files import TOKENIZER_NAME, ModelFiles
from botbridge.thoughts import OPENING

GUARDS: Final = ("\n", "|")
"""What may stand before a text so that it is not taken for a beginning; seldom part of a token with letters in it."""


class HfTokenizer:
    """Encodes template text with control tokens and people's text without.

    Many tokenizers write a blank before the first word, some behind every added
    token, too. Which do is tried out, not read from their settings, which have
    been spelt in several ways.
    Source: the normalizer Prepend and the pre-tokenizer Metaspace of tokenizers
    0.23; transformers 5.23 models/llama/tokenization_llama.py, `legacy`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        # White space is ordinary text, even where a vocabulary has got it as added tokens.
        self.control_ids = frozenset(tokenizer.all_special_ids) | {
            token_id for token_id, token in added.items() if not token.content.isspace()
        }
        letter = self._encode("a", plain=False)
        self._guards = tuple(guard for guard in GUARDS if self._behind(guard, "a", plain=False) not in (None, letter))
        # Behind these, a text is encoded as at the beginning.
        self._openers = {
            token_id
            for token_id, token in added.items()
            if self._guards and self._encode(f"{token.content}a", plain=False) == [token_id, *letter]
        }

    def encode(self, text: str, after: int | None = None) -> list[int]:
        """Encode text of the template, that follows the token `after`."""
        return self._placed(text, after, plain=False)

    def encode_plain(self, text: str, after: int | None = None) -> list[int]:
        """Encode text of a person, that follows the token `after`; unpaired surrogates become question marks."""
        return self._placed(text.encode("utf-8", "replace").decode(), after, plain=True)

    def decode(self, ids: Sequence[int]) -> str:
        """Decode an answer without its special tokens."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _placed(self, text: str, after: int | None, *, plain: bool) -> list[int]:
        if after is not None and after not in self._openers:
            for guard in self._guards:
                ids = self._behind(guard, text, plain=plain)
                if ids is not None:
                    return ids
        return self._encode(text, plain=plain)

    def _behind(self, guard: str, text: str, *, plain: bool) -> list[int] | None:
        """Encode text behind a guard, which is cut off; None where both share a token."""
        before, ids = self._encode(guard, plain=plain), self._encode(guard + text, plain=plain)
        return ids[len(before) :] if before and ids[: len(before)] == before else None

    def _encode(self, text: str, *, plain: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=plain))


def own_render(tokenizer: PreTrainedTokenizerBase) -> Render:
    """Return the model's own chat template; what it refuses becomes TemplateUnfit.

    Templates that let a model think unless they are told not to (Qwen 3, SmolLM 3)
    are told; to all others the name means nothing, as a template may be given any.
    Source: https://huggingface.co/Qwen/Qwen3-0.6B, tokenizer_config.json.
    """

    def render(messages: Sequence[Message]) -> str:
        try:
            text = tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return str(text)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise TemplateUnfit(f"the chat template refuses the conversation: {error}") from error

    return render


class ModelTemplate:
    """The template of a model, and where its answers end.

    Attributes:
        template: The model's own, or the supplied one for a model without.
        stop_ids: Tokens that end a turn.
        stop_strings: Texts that do, for templates that use no control token there.
        notes: What the operator should know.
        opening: The tag of thoughts, where the template writes it before every answer (DeepSeek R1's does).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int]) -> None:
        """Try the model's template out.

        Args:
            tokenizer: Brings the template, if there is one.
            end_ids: What the model's generation settings say ends an answer.
        """
        self.stop_ids = frozenset(end_ids)
        self.stop_strings: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.opening = ""
        try:
            if not tokenizer.chat_template:
                raise TemplateUnfit("it has none")
            self.template = try_template(own_render(tokenizer))
        except TemplateUnfit as error:
            self.template = ChatTemplate(plain_template, start_ids(tokenizer))
            self.stop_strings = PLAIN_STOP_STRINGS
            self.notes = (f"The model's own chat template is not used ({error}); a plain dialogue is, without fences.",)
            return
        wrapped = HfTokenizer(tokenizer)
        after = text_after_answer(self.template.render)
        ids = wrapped.encode(after)
        if ids and ids[0] in wrapped.control_ids:
            self.stop_ids |= {ids[0]}
        elif after.strip():
            self.stop_strings = (after.rstrip(),)
        if cut_at_turns(self.template.render, (Role.USER, Role.ASSISTANT, Role.USER))[-1].rstrip().endswith(OPENING):
            self.opening = OPENING


def load_tokenizer(files: ModelFiles) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer; none of its code is run.

    Beside a GGUF its file is taken as it is, as a rule one that was written from
    the GGUF's header. `AutoTokenizer` would import torch, and for some
    architectures it takes the words only and cuts text by rules of its own.
    Source: transformers 5.23 models/auto/tokenization_auto.py,
    MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS, qwen2 for one.
    """
    tokenizer: PreTrainedTokenizerBase
    if files.gguf is not None and (files.directory / TOKENIZER_NAME).is_file():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(files.directory, local_files_only=True)
        return tokenizer
    from transformers import AutoTokenizer  # noqa: PLC0415 - it imports torch

    tokenizer = AutoTokenizer.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
    return tokenizer


def load_dialogue(tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int], context_tokens: int) -> Dialogue:
    """Return how to talk to a model.

    Args:
        tokenizer: Brings the template, if there is one.
        end_ids: What the model's generation settings say ends an answer.
        context_tokens: Room for prompt and answer together.
    """
    wrapped, template = HfTokenizer(tokenizer), ModelTemplate(tokenizer, end_ids)
    return Dialogue(
        PromptBuilder(wrapped, template.template, context_tokens),
        wrapped.decode,
        template.stop_ids,
        template.stop_strings,
        template.notes,
        template.opening,
    )


def start_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the beginning-of-text token if the tokenizer puts one before every text."""
    ids = list(tokenizer.encode("a"))
    return (ids[0],) if ids and ids[0] == tokenizer.bos_token_id else ()
