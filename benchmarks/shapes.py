"""The models that are measured: the embedded one, and one of Llama-3.2-1B's shape with random weights.

Speed depends on shapes and formats, not on what the weights say; a model of the
larger shape cannot be fetched without an account, so it is made here, once, in
the cache directory: a Q4_0 GGUF of 0.8 GB and a tokenizer of as many tokens.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import gguf
import numpy as np
import platformdirs
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, PreTrainedTokenizerFast

from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import ModelFiles
from botbridge.models.store import ModelStore
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import load_settings

LAYERS, WIDTH, INNER, HEADS, KV_HEADS, HEAD, VOCABULARY = 16, 2048, 8192, 32, 8, 64, 128_256
CONTEXT_TOKENS = 8192
"""Source: https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct, config.json (context cut to what is measured)."""

Q4_0_BYTES, Q4_0_BLOCK = 18, 32
Q6_K_BYTES, Q6_K_BLOCK = 210, 256
TEMPLATE = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def embedded() -> ModelFiles:
    """Return the default model as it was pulled; ModelNotFound names the command that pulls it."""
    return ModelStore(load_settings().home).find(load_catalogue().resolve(DEFAULT_MODEL))


def one_billion() -> ModelFiles:
    """Return the model of the larger shape, made if it is not there yet."""
    directory = Path(platformdirs.user_cache_dir("botbridge")) / "bench" / "llama-1b-shape-3"
    if not (directory / "model-q4_0.gguf").is_file():
        directory.mkdir(parents=True, exist_ok=True)
        tokenizer = _tokenizer()
        tokenizer.save_pretrained(directory)
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, max_position_embeddings=CONTEXT_TOKENS
        ).save_pretrained(directory)
        unfinished = directory / "unfinished"
        _write_gguf(unfinished, tokenizer)
        unfinished.rename(directory / "model-q4_0.gguf")
    return ModelFiles("llama-1b-shape", "random weights", directory)


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, and a character for every token, so that an answer read again has as many tokens.

    Those beyond the printable ones are of two planes that nothing is assigned in: an answer of characters for
    private use would count as empty.
    """
    own = [chr(place) for place in range(32, 127)]
    unassigned = (chr(place) for start in (0x40000, 0x50000) for place in range(start, start + 0xFFFE))
    names = [*own, *itertools.islice(unassigned, VOCABULARY - len(own) - 2)]
    tokenizer = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<|turn|>", "<|end|>"])
    end: str = "<|end|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, chat_template=TEMPLATE)  # type: ignore[no-untyped-call]


def _write_gguf(path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("llama-1b-shape")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    names = tokenizer.convert_ids_to_tokens(list(range(VOCABULARY)))
    control = set(tokenizer.all_special_ids) | {VOCABULARY - 2}
    writer.add_token_list(names)
    writer.add_token_types([3 if place in control else 1 for place in range(VOCABULARY)])
    writer.add_token_merges(["t o"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(TEMPLATE)

    def add(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", _q4_0(random, rows, columns), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def add_ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    embeddings = _q6_k(random, VOCABULARY, WIDTH)
    writer.add_tensor("token_embd.weight", embeddings, raw_dtype=gguf.GGMLQuantizationType.Q6_K)
    add_ones("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        add_ones(f"{block}.attn_norm")
        add_ones(f"{block}.ffn_norm")
        for name, rows in (("attn_q", WIDTH), ("attn_output", WIDTH), ("attn_k", KV_HEADS * HEAD)):
            add(f"{block}.{name}", rows, WIDTH)
        add(f"{block}.attn_v", KV_HEADS * HEAD, WIDTH)
        add(f"{block}.ffn_gate", INNER, WIDTH)
        add(f"{block}.ffn_up", INNER, WIDTH)
        add(f"{block}.ffn_down", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _q4_0(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return random blocks of 32 weights: a float16 scale and 32 four-bit numbers."""
    blocks = random.integers(0, 256, (rows * columns // Q4_0_BLOCK, Q4_0_BYTES), dtype=np.uint8)
    blocks[:, :2] = np.full(len(blocks), 0.004, np.float16).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, columns // Q4_0_BLOCK * Q4_0_BYTES)


def _q6_k(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return random blocks of 256 weights: six-bit numbers, 16 scales and a float16 scale of these."""
    blocks = random.integers(0, 256, (rows * columns // Q6_K_BLOCK, Q6_K_BYTES), dtype=np.uint8)
    blocks[:, 192:208] = random.integers(1, 20, (len(blocks), 16), dtype=np.uint8)
    blocks[:, 208:] = np.full(len(blocks), 0.0001, np.float16).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, columns // Q6_K_BLOCK * Q6_K_BYTES)
