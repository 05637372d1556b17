"""Which GGUF files OpenVINO's reader makes the right model of, and which it would take and get wrong. Pure.

Its reader (2026.4.1) knows more architectures than those here; what they come out as was compared with llama.cpp and
transformers, token by token. Wrong, and told by nothing: Phi-3 with long and short factors, SmolLM3 (it rotates in the
layers that should not), Hunyuan, MiniCPM, and Gemma 3 with scaled positions (it scales those of its windows, too).
Of LLaMA's own factors, which it leaves out, `openvino_rotary` takes care.
"""

from __future__ import annotations

from typing import Final

from botbridge.models.gguf_header import GgufHeader

COMPARED: Final = frozenset({"gemma3", "llama", "qwen2", "qwen3"})
"""Architectures as their GGUFs name them; a Mistral's says llama. Source: tests/inference/test_openvino_engine.py."""

UNSCALED: Final = frozenset({"gemma3"})
"""Those that come out right only where nothing scales their positions."""


WITHOUT_EFFECT: Final = {
    "attention.scale": (0,),
    "embedding_scale": (0, 1),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
}
"""What OpenVINO leaves out, with the values at which it changes nothing.

Compared with llama.cpp, logits of a llama with other ones were off by more than their own spread.
"""

WINDOWED: Final = frozenset({"gemma3"})
"""Those whose sliding windows OpenVINO keeps to; the others look back over everything."""


def openvino_obstacle(header: GgufHeader) -> str | None:
    """Say why OpenVINO is not to compute a model; None where it may.

    >>> openvino_obstacle(GgufHeader({"general.architecture": "phi3"}, {}))
    'OpenVINO was not seen to compute it as other engines do'
    """
    architecture = str(header.facts.get("general.architecture", ""))
    if architecture not in COMPARED:
        return "OpenVINO was not seen to compute it as other engines do"
    if architecture in UNSCALED and header.facts.get(f"{architecture}.rope.scaling.type", "none") != "none":
        return "OpenVINO scales the positions of its windows, too"
    if header.facts.get(f"{architecture}.expert_count", 0):
        return "it has experts, with which OpenVINO was compared with no other engine"
    for key, harmless in WITHOUT_EFFECT.items():
        if header.facts.get(f"{architecture}.{key}", harmless[0]) not in harmless:
            return f"OpenVINO leaves out its {key}"
    if architecture not in WINDOWED and header.facts.get(f"{architecture}.attention.sliding_window", 0):
        return "OpenVINO leaves out its sliding window"
    return None
