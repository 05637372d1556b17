"""A tiny random model of each family that people run, made from its real configuration class.

Each has what is particular about its family: how it knows positions, which
heads share keys, windows, capped scores, biases, tied embeddings, and the way
its chat template marks turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from botbridge.models.files import ModelFiles
from tests.fakes.tiny_models import bytes_with, save

CONTEXT_TOKENS = 256
WINDOW = 8
"""Far smaller than the texts of the tests."""


@dataclass(frozen=True, slots=True)
class Template:
    """How an instruct model marks turns.

    Attributes:
        special_tokens: What the vocabulary holds for it; the last one ends a turn.
        jinja: The template.
    """

    special_tokens: tuple[str, ...]
    jinja: str


CHATML = Template(
    ("<|im_start|>", "<|im_end|>"),
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
)
ZEPHYR = Template(
    ("<s>", "</s>"),
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
)
LLAMA3 = Template(
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
)
MISTRAL = Template(
    ("<s>", "[INST]", "[/INST]", "</s>"),
    "<s>{% if messages[0].role == 'system' %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
)
GEMMA = Template(
    ("<bos>", "<start_of_turn>", "<end_of_turn>"),
    "<bos>{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
)
HARMONY = Template(
    ("<|start|>", "<|message|>", "<|end|>"),
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|message|>{% endif %}",
)


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    Attributes:
        make: Its configuration class, or a function like one.
        template: None for base models, which get the supplied one.
        ragged: Whether its sequences can be computed together.
    """

    make: Callable[..., PreTrainedConfig]
    template: Template | None
    settings: Mapping[str, Any]
    ragged: bool = True


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT_TOKENS,
    "initializer_range": 0.3,
}
GROUPED = SMALL | {"num_key_value_heads": 2, "intermediate_size": 64}
ALTERNATING = GROUPED | {
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": WINDOW,
    "head_dim": 8,
}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

FAMILIES = {
    "gpt2": Family(
        GPT2Config,
        None,
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT_TOKENS, "initializer_range": 0.3},
    ),
    "phi-2": Family(PhiConfig, None, SMALL | {"intermediate_size": 64, "tie_word_embeddings": False}),
    "tinyllama": Family(LlamaConfig, ZEPHYR, GROUPED | {"tie_word_embeddings": False}),
    "llama-3.2": Family(LlamaConfig, LLAMA3, GROUPED | {"tie_word_embeddings": True, "rope_parameters": LLAMA3_ROPE}),
    "smollm2": Family(LlamaConfig, CHATML, GROUPED | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "mistral": Family(MistralConfig, MISTRAL, GROUPED | {"sliding_window": WINDOW, "tie_word_embeddings": False}),
    "qwen2": Family(Qwen2Config, CHATML, GROUPED | {"tie_word_embeddings": True}),
    "qwen3": Family(Qwen3Config, CHATML, GROUPED | {"head_dim": 16, "tie_word_embeddings": False}),
    "gemma-2": Family(
        Gemma2Config, GEMMA, ALTERNATING | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}
    ),
    "gemma-3": Family(Gemma3TextConfig, GEMMA, ALTERNATING),
    "gpt-oss": Family(
        GptOssConfig,
        HARMONY,
        ALTERNATING
        | {
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        },
    ),
    "opt": Family(
        OPTConfig,
        None,
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": CONTEXT_TOKENS,
            "init_std": 0.3,
            "pad_token_id": 1,
        },
    ),
    "gpt-neox": Family(GPTNeoXConfig, None, SMALL | {"intermediate_size": 64, "tie_word_embeddings": False}),
    "bloom": Family(
        BloomConfig, None, {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}, ragged=False
    ),
}


def tiny_model(family: Family, directory: Path) -> ModelFiles:
    """A model of a family, saved as a directory of the hub holds it."""
    tokenizer = family_tokenizer(family)
    config = family.make(
        **{
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
            "pad_token_id": None,
        }
        | family.settings
    )
    torch.manual_seed(7)
    return save(AutoModelForCausalLM.from_config(config), tokenizer, directory)


def family_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """One token a byte and the family's own marks; the last of them ends a text."""
    if family.template is None:
        return PreTrainedTokenizerFast(tokenizer_object=bytes_with(["<|endoftext|>"]), eos_token="<|endoftext|>")
    marks = list(family.template.special_tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_with(marks), eos_token=marks[-1], chat_template=family.template.jinja
    )
