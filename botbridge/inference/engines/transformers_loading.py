"""Loads a model of Hugging Face's for `BatchEngine`: weights, number format, device, tokenizer and template."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.hf_tokenizer import load_dialogue, load_tokenizer
from botbridge.inference.engines.step import LoadedModel
from botbridge.inference.engines.transformers_plain import PlainModel, cache_bytes, can_truncate
from botbridge.inference.options import EngineOptions
from botbridge.models.store import ModelFiles

FALLBACK_CONTEXT_TOKENS = 2048
"""For models whose configuration names no limit."""


def load_transformers(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
    """Load a model and find out how it can be driven.

    Raises:
        ValueError: No model was given or it has no safetensors, or the device or number format is unknown.
    """
    if files is None:
        raise ValueError("the transformers engine needs a model")
    if files.gguf is not None and not files.has_safetensors:
        raise ValueError("this model is here as GGUF only: use the engine llamacpp or openvino")
    device = choose_device(options.device)
    dtype, notes = choose_dtype(options.dtype, device)
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = load_tokenizer(files.directory)
    model = AutoModelForCausalLM.from_pretrained(
        files.directory, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    model.to(torch.device(device)).eval()  # type: ignore[arg-type]  # its `to` is wrapped untyped
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", FALLBACK_CONTEXT_TOKENS)
    context_tokens = min(limit, options.context_tokens or limit)
    dialogue = load_dialogue(tokenizer, end_ids(model.generation_config, tokenizer), context_tokens)
    probe = probe_cache(model)
    version = f"transformers {transformers.__version__}, torch {torch.__version__}, {str(dtype).split('.')[-1]}"
    return LoadedModel(
        EngineInfo("transformers", f"{version} on {device}", context_tokens, (*notes, *dialogue.notes)),
        PlainModel(model),
        dialogue,
        cache_bytes_per_token=max(cache_bytes(probe), 1),
        can_truncate=can_truncate(probe),
    )


def probe_cache(model: PreTrainedModel) -> DynamicCache:
    """Return the cache of one computed token."""
    cache = DynamicCache(config=model.config)
    model(torch.zeros((1, 1), dtype=torch.int64, device=model.device), past_key_values=cache, use_cache=True)
    return cache


def end_ids(settings: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end an answer by the model's own generation settings."""
    ids = settings.eos_token_id if settings is not None else None
    listed = ids if isinstance(ids, list) else [ids]
    return [token_id for token_id in {*listed, tokenizer.eos_token_id} if token_id is not None]


def choose_device(name: str) -> str:
    """Return `cpu` or `cuda`.

    Raises:
        ValueError: There is no device of this name.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in {"cpu", "cuda"}:
        raise ValueError(f"there is no device named {name!r}")
    return name


def choose_dtype(name: str, device: str) -> tuple[torch.dtype, tuple[str, ...]]:
    """Return the number format, with notes: bfloat16 halves what is read per token, but only where it is native.

    Raises:
        ValueError: There is no number format of this name.
    """
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name != "auto":
        if name not in formats:
            raise ValueError(f"there is no number format named {name!r}")
        return formats[name], ()
    if device == "cuda" or cpu_computes_bfloat16(Path("/proc/cpuinfo")):
        return torch.bfloat16, ()
    return torch.float32, ("This CPU does not compute with bfloat16: float32 is used, which takes twice the memory.",)


def cpu_computes_bfloat16(cpuinfo: Path) -> bool:
    """Read whether the CPU has instructions for bfloat16 (x86: AVX-512 or AMX, Arm: bf16)."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(text.split())
