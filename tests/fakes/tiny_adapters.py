"""LoRA adapters of random weights for the tiny models, made and saved by peft."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from botbridge.models.files import AdapterFiles, ModelFiles
from botbridge.models.manifest import AdapterBase

EVERYWHERE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")


def tiny_lora(
    files: ModelFiles, directory: Path, name: str, *, base: str | None = None, seed: int = 1, **settings: Any
) -> AdapterFiles:
    """An adapter that changes answers clearly.

    Args:
        files: What it is made of.
        directory: Where it is written.
        name: How it is called.
        base: What it says that it was made for; None for the model's own name.
        seed: Other weights for other seeds.
        settings: Of `LoraConfig`; all layers of a Llama where it names none.
    """
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
    chosen = {"r": 4, "lora_alpha": 8, "target_modules": list(EVERYWHERE), "init_lora_weights": False, **settings}
    with warnings.catch_warnings(action="ignore"):  # peft asks transformers for what that calls deprecated
        made = get_peft_model(model, LoraConfig(**chosen))
    made.peft_config["default"].base_model_name_or_path = base or files.model
    made.peft_config["default"].init_lora_weights = chosen["init_lora_weights"]
    with warnings.catch_warnings(action="ignore"):
        made.save_pretrained(directory)
    return AdapterFiles(name, f"revision of {name}", directory, AdapterBase(base or files.model))
