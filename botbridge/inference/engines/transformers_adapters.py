"""LoRA adapters inside a model: all of them loaded, at most one in effect during a forward pass.

Covered: plain LoRA as PEFT writes it, of any rank, for any linear layer or
embedding, whose weights stay exact beside packed or quantized ones.
Not covered: whatever changes the model itself or keeps whole layers of its own
(DoRA, PiSSA, `modules_to_save` and so on), because the model is shared by
conversations with other adapters and with none: such an adapter is refused.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from transformers import PreTrainedModel

from botbridge.answers import KnownAdapter
from botbridge.inference.adapters import known_adapters
from botbridge.inference.engines.base import describe
from botbridge.models.files import ModelFiles

CONFIG_NAME: Final = "adapter_config.json"
WEIGHTS_NAME: Final = "adapter_model.safetensors"

TAKEN: Final = frozenset(
    {"r", "lora_alpha", "target_modules", "exclude_modules", "fan_in_fan_out", "use_rslora", "lora_bias"}
    | {"layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"}
)
"""What of an adapter's configuration counts once it is trained. Source: peft tuners/lora/config.py, LoraConfig."""

WITHOUT_EFFECT: Final = frozenset(
    {"peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"}
    | {"inference_mode", "lora_dropout", "megatron_core", "qalora_group_size", "ensure_weight_tying", "eva_config"}
)

HARMLESS_BEGINNINGS: Final = (True, False, "gaussian", "orthogonal", "eva")
"""Values of `init_lora_weights` with which training leaves the model's own weights as they were."""


class AdapterLayer(Protocol):
    """What peft puts in the place of a layer."""

    def enable_adapters(self, enabled: bool) -> None:  # noqa: FBT001 - peft's signature
        """Let adapters count, or the layer alone."""
        ...

    def set_adapter(self, adapter_names: str, inference_mode: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        """Choose the one that counts."""
        ...


class LoraAdapters:
    """The adapters of one model."""

    def __init__(
        self,
        known: Sequence[KnownAdapter] = (),
        keys: Mapping[str, str] | None = None,
        layers: Sequence[AdapterLayer] = (),
    ) -> None:
        """Put none into effect.

        Args:
            known: All that lie beside the model, with what stands in their way.
            keys: What peft calls those that are loaded, by name.
            layers: The layers that they change, and those that one changed which could not be loaded.
        """
        self.known = tuple(known)
        self._keys = dict(keys or {})
        self._layers = layers
        self._in_effect: tuple[str | None] | None = None
        self.use(None)

    def require(self, name: str | None) -> None:
        """Return if sequences can be computed with this adapter; None, the bare model, they always can.

        Raises:
            ValueError: There is no such adapter, or something stands in its way.
        """
        if name is None or name in self._keys:
            return
        obstacles = [adapter.obstacle for adapter in self.known if adapter.name == name]
        raise ValueError(obstacles[0] if obstacles else f"there is no adapter {name!r}")

    def use(self, name: str | None) -> None:
        """Put one adapter into effect, and no other; None leaves the bare model."""
        if self._in_effect == (name,):
            return
        self._in_effect = None  # unknown, should a layer raise half-way
        for layer in self._layers:
            layer.enable_adapters(name is not None)
            if name is not None:
                layer.set_adapter(self._keys[name], inference_mode=True)
        self._in_effect = (name,)


def load_adapters(model: PreTrainedModel, files: ModelFiles, *, has_peft: bool) -> LoraAdapters:
    """Put the adapters beside a model into it; the model computes as before until one is in effect.

    Call it before the model's layers are packed or quantized. An adapter that
    cannot be loaded gets an obstacle and keeps nobody else from loading.
    """
    known, keys, was_changed = [], {}, False
    for number, (adapter, source) in enumerate(
        zip(known_adapters(files, has_peft=has_peft), files.adapters, strict=True)
    ):
        key, obstacle = f"adapter_{number}", adapter.obstacle
        if not obstacle:
            was_changed = True  # one that fails may have got into some layers, where peft lets it count
            try:
                put_into(model, source.directory, key)
                keys[adapter.name] = key
            except Exception as error:  # noqa: BLE001 - a library raises anything at all over a bad file
                obstacle = f"the adapter {adapter.name} cannot be loaded: {describe(error)}"
        known.append(replace(adapter, obstacle=obstacle))
    return LoraAdapters(known, keys, adapter_layers(model) if was_changed else ())


def put_into(model: PreTrainedModel, directory: Path, key: str) -> None:
    """Put one adapter into a model.

    Raises:
        ValueError: It is more than plain LoRA, or its weights do not fit the model's layers.
    """
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict  # noqa: PLC0415 - an extra
    from peft.tuners.tuners_utils import cast_adapter_dtype  # noqa: PLC0415 - an extra
    from safetensors.torch import load_file  # noqa: PLC0415 - as needless without an adapter

    settings = taken_settings(json.loads((directory / CONFIG_NAME).read_text(encoding="utf-8")))
    weights = lora_weights(load_file(directory / WEIGHTS_NAME))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tied weights and the like, which concern training
        config = LoraConfig(**settings, init_lora_weights=True, inference_mode=True)
        inject_adapter_in_model(config, model, key)
        found = set_peft_model_state_dict(model, weights, key)
    cast_adapter_dtype(model, key)  # as PeftModel does: the few numbers of an adapter stay exact
    missing = [name for name in found.missing_keys if f".{key}." in name or name.endswith(f".{key}")]
    if found.unexpected_keys or missing:
        raise ValueError(f"its weights do not fit the layers: {min([*found.unexpected_keys, *missing])}")


def taken_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of an adapter's configuration.

    >>> taken_settings({"peft_type": "LORA", "r": 4, "bias": "none", "use_dora": False, "task_type": "CAUSAL_LM"})
    {'r': 4}

    Raises:
        ValueError: It says more than plain LoRA can do.
    """
    beginning = config.get("init_lora_weights", True)
    if beginning not in HARMLESS_BEGINNINGS:
        raise ValueError(f"it is made for changed weights of its base (init_lora_weights {beginning!r})")
    if config.get("bias", "none") != "none":
        raise ValueError("it changes the biases of its base")
    known = TAKEN | WITHOUT_EFFECT | {"init_lora_weights", "bias"}
    if more := [name for name, value in config.items() if value and name not in known]:
        raise ValueError(f"it is more than plain LoRA ({more[0]})")
    return {name: value for name, value in config.items() if name in TAKEN}


def lora_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an adapter's file is its own, without the copies of layers that peft saves beside embeddings.

    Whatever else is in it peft would write over the model's own weights. Source: peft tuners/tuners_utils.py,
    `BaseTuner._remap_adapter_state_dict_for_load`; utils/save_and_load.py, `save_embedding_layers`.

    >>> lora_weights({"lm_head.lora_A.weight": 1, "lm_head.base_layer.weight": 2})
    {'lm_head.lora_A.weight': 1}

    Raises:
        ValueError: It brings weights of the model itself.
    """
    own = {name: tensor for name, tensor in weights.items() if ".base_layer." not in name}
    if foreign := [name for name in own if ".lora_" not in name]:
        raise ValueError(f"it changes weights of its base ({min(foreign)})")
    return own


def adapter_layers(model: PreTrainedModel) -> list[AdapterLayer]:
    """Return the layers of a model that adapters change."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415 - an extra

    return [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]


def places_by_adapter(adapters: Sequence[str | None]) -> dict[str | None, list[int]]:
    """Group the places of a step's work by the adapter they are computed with.

    >>> places_by_adapter(["a", None, "a"])
    {'a': [0, 2], None: [1]}
    """
    groups: dict[str | None, list[int]] = {}
    for place, adapter in enumerate(adapters):
        groups.setdefault(adapter, []).append(place)
    return groups
