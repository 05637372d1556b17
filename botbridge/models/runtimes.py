"""What computes a model's architecture, by what the catalogue or the model's own files say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from botbridge.errors import ModelDamaged
from botbridge.models.facts import CatalogueEntry, Kind
from botbridge.models.files import ModelFiles
from botbridge.models.gguf_header import GgufHeader, read_gguf_header
from botbridge.models.openvino_limits import openvino_obstacle
from botbridge.models.own import MODEL_CONFIG


class Runtime(StrEnum):
    """What computes a model, by the name that people know; each is an engine of botbridge."""

    LLAMA_CPP = "llama.cpp"
    OPENVINO = "openvino"
    TRANSFORMERS = "transformers"

    @property
    def engine(self) -> str:
        """The name in BOTBRIDGE_INFERENCE__ENGINE."""
        return "llamacpp" if self is Runtime.LLAMA_CPP else self.value


EVERY_ENGINE: Final = tuple(runtime.engine for runtime in Runtime)

LLAMA_CPP: Final = frozenset(
    {
        "BloomForCausalLM",
        "FalconH1ForCausalLM",
        "GPT2LMHeadModel",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "GraniteForCausalLM",
        "GraniteMoeHybridForCausalLM",
        "JAISLMHeadModel",
        "Lfm2ForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Olmo2ForCausalLM",
        "Phi3ForCausalLM",
        "PhiForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
    }
)
"""Architectures of the catalogue that become GGUF. Sources: llama.cpp's converter, the classes that it registers;
gguf 0.19, constants.MODEL_ARCH_NAMES, which knows no OPT and no XGLM."""

OPENVINO: Final = frozenset(
    {"Gemma3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
)
"""Those whose GGUF OpenVINO computes; a Mistral's says llama. Source: `openvino_limits`."""

RUNTIMES_FILE: Final = Path(__file__).with_name("runtimes.toml")

OWN_CODE: Final = frozenset({"JAISLMHeadModel"})
"""Those that come with code of their publisher's, which is never run. Source: transformers has no such class."""

FASTEST_FIRST: Final = (Runtime.LLAMA_CPP, Runtime.OPENVINO, Runtime.TRANSFORMERS)
"""Source: inference/choice.py."""


def runtimes_of(entry: CatalogueEntry) -> tuple[Runtime, ...]:
    """Return what computes a model's architecture, the fastest first; nothing computes what is no conversation."""
    if entry.kind is Kind.SEQ2SEQ:
        return ()
    able = {
        Runtime.LLAMA_CPP: entry.architecture in LLAMA_CPP,
        Runtime.OPENVINO: entry.architecture in OPENVINO,
        Runtime.TRANSFORMERS: entry.architecture not in OWN_CODE,
    }
    return tuple(runtime for runtime in FASTEST_FIRST if able[runtime])


@dataclass(frozen=True, slots=True)
class KnownArchitectures:
    """What engines know, by the names in a model's own files.

    Attributes:
        model_types: Of config.json; transformers computes these.
        gguf: Of the heads of GGUF files; llama.cpp computes these.
    """

    model_types: frozenset[str]
    gguf: frozenset[str]


def load_known_architectures() -> KnownArchitectures:
    """Read what `runtimes.toml` lists."""
    listed = tomllib.loads(RUNTIMES_FILE.read_text(encoding="utf-8"))
    return KnownArchitectures(
        frozenset(listed["transformers"]["model_types"]), frozenset(listed["llamacpp"]["architectures"])
    )


def engines_computing(
    entry: CatalogueEntry | None, files: ModelFiles | None = None, coming: GgufHeader | None = None
) -> frozenset[str]:
    """Return the engines that compute a model, by what the catalogue and the model's own files say of it.

    Args:
        entry: The catalogue's; None where it has none, which speaks against no engine.
        files: None where they are not here, which speaks against none either.
        coming: What a GGUF says of itself that is to be prepared.
    """
    able = frozenset(EVERY_ENGINE if entry is None else (runtime.engine for runtime in runtimes_of(entry)))
    if files is not None:
        able -= _excluded_by(files)
    if coming is not None:
        able -= _excluded_by_header(coming, load_known_architectures())
    return able


def _excluded_by(files: ModelFiles) -> frozenset[str]:
    """Return the engines that do not know the form which they would read, or any conversation with such a model."""
    config, known = _config(files.directory), load_known_architectures()
    if config.get("is_encoder_decoder") is True:
        return frozenset(EVERY_ENGINE)
    excluded = set()
    if files.has_safetensors and str(config.get("model_type")) not in known.model_types:
        excluded.add(Runtime.TRANSFORMERS.engine)
    by_head = frozenset() if files.gguf is None else _excluded_by_header(_header(files.gguf), known)
    return by_head.union(excluded)


def _excluded_by_header(header: GgufHeader, known: KnownArchitectures) -> frozenset[str]:
    excluded = set()
    if header.facts.get("general.architecture") not in known.gguf:
        excluded.add(Runtime.LLAMA_CPP.engine)
    if openvino_obstacle(header) is not None:
        excluded.add(Runtime.OPENVINO.engine)
    return frozenset(excluded)


def _config(directory: Path) -> Mapping[str, object]:
    try:
        found = json.loads((directory / MODEL_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _header(path: Path) -> GgufHeader:
    """Return what a GGUF says of itself; of one that is damaged nothing is known."""
    try:
        return read_gguf_header(path)
    except ModelDamaged:
        return GgufHeader({}, {})
