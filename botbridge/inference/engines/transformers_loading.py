"""Loads a model of Hugging Face's for `BatchEngine`: weights, number format, device, tokenizer and template."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from botbridge.inference.adapters import has_peft
from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.hf_settings import FALLBACK_CONTEXT_TOKENS
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, load_dialogue, load_tokenizer
from botbridge.inference.engines.step import LoadedModel, StepModel
from botbridge.inference.engines.transformers_adapters import LoraAdapters, load_adapters
from botbridge.inference.engines.transformers_device import (
    Devices,
    Placement,
    Room,
    TorchDevices,
    choose_placement,
    within,
)
from botbridge.inference.engines.transformers_packed import pack
from botbridge.inference.engines.transformers_plain import PlainModel, cache_bytes, can_truncate
from botbridge.inference.engines.transformers_proof import Encode, Unproven, proven_plain_model, proven_ragged_model
from botbridge.inference.engines.transformers_quantized import quantize
from botbridge.inference.engines.transformers_ragged import RaggedModel
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.models.safetensors_files import count_numbers


def load_transformers(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
    """Load a model and find out how it can be driven.

    Raises:
        ValueError: No model was given, it has no safetensors or damaged ones, or
            an option asks for what there is not.
        MemoryError: Its weights do not fit.
    """
    return load_on(files, options, TorchDevices())


def load_on(files: ModelFiles | None, options: EngineOptions, devices: Devices) -> LoadedModel:
    """Do what `load_transformers` does, with these devices."""
    if files is None:
        raise ValueError("the transformers engine needs a model")
    if files.gguf is not None and not files.has_safetensors:
        raise ValueError("this model is here as GGUF only: use the engine llamacpp or openvino")
    placement = choose_placement(options, devices)
    numbers = count_numbers(files.directory)
    with within(Room(numbers, placement.dtype, devices.free_bytes(placement.device))):
        return _load(files, placement, options.context_tokens)


def _load(files: ModelFiles, placement: Placement, most_context_tokens: int | None) -> LoadedModel:
    """Load what is known to be there and to fit."""
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = load_tokenizer(files)
    model, adapters = read_with_adapters(files, placement)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", FALLBACK_CONTEXT_TOKENS)
    context_tokens = min(limit, most_context_tokens or limit)
    dialogue = load_dialogue(tokenizer, end_ids(model.generation_config, tokenizer), context_tokens)
    probe = probe_cache(model)
    weights_bytes = 0 if placement.int8 else read_bytes(model)
    notes = (*placement.notes, *dialogue.notes)
    driven: StepModel
    encode = HfTokenizer(tokenizer).encode_plain
    try:
        driven = driven_together(
            model, probe, placement, encode=encode, context_tokens=context_tokens, adapters=adapters
        )
        cuttable, token_bytes = True, driven.token_bytes
    except Unproven as error:
        driven = driven_one_by_one(*read_with_adapters(files, placement), placement, encode)
        cuttable, token_bytes = can_truncate(probe), max(cache_bytes(probe), 1)
        notes += (f"The answers of this model are computed one after another in each step, which is slower: {error}.",)
    version = f"transformers {transformers.__version__}, torch {torch.__version__}, {placement}"
    info = EngineInfo("transformers", version, context_tokens, notes, weights_bytes, adapters.known)
    return LoadedModel(info, driven, dialogue, token_bytes, cuttable)


def read_with_adapters(files: ModelFiles, placement: Placement) -> tuple[PreTrainedModel, LoraAdapters]:
    """Read a model's weights and put the adapters beside it into it."""
    model = read_model(files.directory, placement)
    return model, load_adapters(model, files, has_peft=has_peft())


def read_model(directory: Path, placement: Placement) -> PreTrainedModel:
    """Read a model's weights; none of its code is run."""
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=placement.dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    assert isinstance(model, PreTrainedModel)
    model.to(placement.place).eval()  # type: ignore[arg-type]  # its `to` is wrapped untyped
    return model


def read_bytes(model: PreTrainedModel) -> int:
    """Return how many bytes of weights a token's computation reads.

    All of them, but of an embedding that is not the output layer, too, a single row.
    """
    embedding = model.get_input_embeddings()
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    total = sum(parameter.nbytes for parameter in model.parameters())
    is_tied = output is not None and output.weight is embedding.weight
    return total if is_tied else total - sum(parameter.nbytes for parameter in embedding.parameters())


def driven_together(
    model: PreTrainedModel,
    probe: DynamicCache,
    placement: Placement,
    *,
    encode: Encode,
    context_tokens: int,
    adapters: LoraAdapters,
) -> RaggedModel:
    """Return the model with all of its sequences in one pass, its layers packed or quantized.

    Packing is part of the proof. Quantizing changes logits by more than the
    proof accepts and comes after it; each layer is tried by itself.

    Raises:
        Unproven: The model does not allow it, and is of no further use.
    """
    prepare = partial(pack, dtype=placement.dtype) if placement.packs and not placement.int8 else None
    ragged = proven_ragged_model(
        model, probe, encode=encode, context_tokens=context_tokens, prepare=prepare, adapters=adapters
    )
    if placement.int8:
        quantize(model)
    return ragged


def driven_one_by_one(
    model: PreTrainedModel, adapters: LoraAdapters, placement: Placement, encode: Encode
) -> PlainModel:
    """Return the model with one sequence after another, as the library computes them, quantized if that is wanted.

    Raises:
        ValueError: It cannot go on from what it has computed.
    """
    plain = proven_plain_model(model, encode, adapters)
    if placement.int8:
        quantize(model)
    return plain


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
