"""What computes a model's architecture. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from botbridge.models.facts import CatalogueEntry


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
"""Those whose GGUF OpenVINO computes; a Mistral's says llama. Source: inference/engines/openvino_reading.py."""

OWN_CODE: Final = frozenset({"JAISLMHeadModel"})
"""Those that come with code of their publisher's, which is never run. Source: transformers has no such class."""

FASTEST_FIRST: Final = (Runtime.LLAMA_CPP, Runtime.OPENVINO, Runtime.TRANSFORMERS)
"""Source: inference/choice.py."""


def runtimes_of(entry: CatalogueEntry) -> tuple[Runtime, ...]:
    """Return what computes a model's architecture, the fastest first."""
    able = {
        Runtime.LLAMA_CPP: entry.architecture in LLAMA_CPP,
        Runtime.OPENVINO: entry.architecture in OPENVINO,
        Runtime.TRANSFORMERS: entry.architecture not in OWN_CODE,
    }
    return tuple(runtime for runtime in FASTEST_FIRST if able[runtime])


def engines_computing(entry: CatalogueEntry | None) -> frozenset[str]:
    """Return the engines that compute a model's architecture; of a model that is in no catalogue, all that might."""
    return frozenset(EVERY_ENGINE if entry is None else (runtime.engine for runtime in runtimes_of(entry)))
