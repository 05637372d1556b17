"""Loads a model of Hugging Face's for `BatchEngine`: weights, number format, device, tokenizer and template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, load_dialogue, load_tokenizer
from botbridge.inference.engines.safetensors_files import count_numbers
from botbridge.inference.engines.step import LoadedModel
from botbridge.inference.engines.transformers_device import (
    Devices,
    TorchDevices,
    check_room,
    choose_device,
    choose_dtype,
    dtype_name,
)
from botbridge.inference.engines.transformers_packed import pack
from botbridge.inference.engines.transformers_plain import PlainModel, cache_bytes, can_truncate
from botbridge.inference.engines.transformers_proof import Unproven, cache_shape, proven_ragged_model
from botbridge.inference.options import EngineOptions
from botbridge.models.store import ModelFiles

FALLBACK_CONTEXT_TOKENS = 2048
"""For models whose configuration names no limit."""


def load_transformers(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
    """Load a model and find out how it can be driven.

    Raises:
        ValueError: No model was given, it has no safetensors or damaged ones, or the device or number format is
            unknown.
        MemoryError: Its weights do not fit.
    """
    return load_on(files, options, TorchDevices())


def load_on(files: ModelFiles | None, options: EngineOptions, devices: Devices) -> LoadedModel:
    """Do what `load_transformers` does, with these devices."""
    if files is None:
        raise ValueError("the transformers engine needs a model")
    if files.gguf is not None and not files.has_safetensors:
        raise ValueError("this model is here as GGUF only: use the engine llamacpp or openvino")
    device = choose_device(options.device, devices)
    dtype, notes = choose_dtype(options.dtype, device)
    check_room(count_numbers(files.directory), dtype, devices.free_bytes(device))
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = load_tokenizer(files.directory)
    model = read_model(files.directory, dtype, devices.place(device))
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", FALLBACK_CONTEXT_TOKENS)
    context_tokens = min(limit, options.context_tokens or limit)
    dialogue = load_dialogue(tokenizer, end_ids(model.generation_config, tokenizer), context_tokens)
    probe = probe_cache(model)
    version = f"transformers {transformers.__version__}, torch {torch.__version__}, {dtype_name(dtype)} on {device}"
    info = EngineInfo("transformers", version, context_tokens, (*notes, *dialogue.notes))
    try:
        ragged = proven_ragged_model(
            model,
            probe,
            encode=HfTokenizer(tokenizer).encode_plain,
            context_tokens=context_tokens,
            prepare=lambda model: pack(model, dtype) if device == "cpu" else 0,
        )
    except Unproven as error:
        plain = PlainModel(read_model(files.directory, dtype, devices.place(device)))
        note = f"The answers of this model are computed one after another in each step, which is slower: {error}."
        info = replace(info, notes=(*info.notes, note))
        return LoadedModel(info, plain, dialogue, max(cache_bytes(probe), 1), can_truncate(probe))
    return LoadedModel(info, ragged, dialogue, cache_shape(probe).token_bytes)


def read_model(directory: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Read a model's weights; none of its code is run."""
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    assert isinstance(model, PreTrainedModel)
    model.to(device).eval()  # type: ignore[arg-type]  # its `to` is wrapped untyped
    return model


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
