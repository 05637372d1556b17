"""Models of a few thousand random weights, built in code: the real classes, small enough for every test run."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from botbridge.models.files import ModelFiles

CHAT_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)

LOOPING_WORDS = ("I", "do", "not", "know", "what", "to", "say")


def byte_tokenizer(*, chat: bool) -> PreTrainedTokenizerFast:
    """One token a byte, three special tokens and, for chat, one added token that is not special."""
    tokenizer = bytes_with(["<|endoftext|>", "<|turn|>", "<|end|>"])
    if chat:
        tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=CHAT_TEMPLATE)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def bytes_with(special_tokens: list[str]) -> Tokenizer:
    """One token a byte, and these."""
    vocabulary = {symbol: place for place, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special_tokens)
    return tokenizer


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of `LOOPING_WORDS`; every other word is unknown."""
    words = ["<unk>", "<eos>", "User", "Assistant", ":", *LOOPING_WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<unk>", "<eos>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")


def tiny_llama(directory: Path, width: int = 32) -> ModelFiles:
    """An instruct model with a chat template of its own; 512 tokens of context."""
    tokenizer = byte_tokenizer(chat=True)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=None,
        initializer_range=0.5,
    )
    return save(LlamaForCausalLM(config), tokenizer, directory)


def tiny_gpt2(directory: Path) -> ModelFiles:
    """A base model without a chat template; 512 tokens of context."""
    tokenizer = byte_tokenizer(chat=False)
    torch.manual_seed(2)
    return save(GPT2LMHeadModel(_gpt2_config(tokenizer)), tokenizer, directory)


def looping_gpt2(directory: Path, *, width: int = 32, layers: int = 2, context_tokens: int = 512) -> ModelFiles:
    """A GPT-2 whose likeliest next word is always the next of `LOOPING_WORDS`, round and round.

    Attention and feed-forward add nothing, so the last word alone decides; the
    output layer maps each word's embedding to the word after it. They are
    computed all the same: one that is wide and deep enough takes its time.
    """
    tokenizer = word_tokenizer()
    config = _gpt2_config(
        tokenizer, width=width, layers=layers, context_tokens=context_tokens, tie_word_embeddings=False
    )
    model = GPT2LMHeadModel(config)
    words = [tokenizer.convert_tokens_to_ids(word) for word in LOOPING_WORDS]
    follower = dict.fromkeys(range(len(tokenizer)), words[0])
    follower |= dict(zip(words, words[1:] + words[:1], strict=True))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        embeddings = torch.eye(len(tokenizer), model.config.n_embd)
        model.transformer.wte.weight.copy_(embeddings)
        model.transformer.ln_f.weight.fill_(1.0)
        for token_id, next_id in follower.items():
            model.lm_head.weight[next_id] += embeddings[token_id]
    return save(model, tokenizer, directory)


def _gpt2_config(
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int = 32,
    layers: int = 2,
    context_tokens: int = 512,
    tie_word_embeddings: bool = True,
) -> GPT2Config:
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=width,
        n_layer=layers,
        n_head=4,
        n_positions=context_tokens,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=tie_word_embeddings,
        initializer_range=0.5,
    )


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> ModelFiles:
    """Write a model as a directory of the hub holds it."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return ModelFiles(model=f"tiny-{directory.name}", revision="built in code", directory=directory)
