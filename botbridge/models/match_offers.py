"""In which forms a model can be run, by which engine, and what each form takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from botbridge.models.facts import CatalogueEntry, WeightsFile
from botbridge.models.footprint import BITS_PER_WEIGHT, footprint
from botbridge.models.match_facts import MOST_EXACT_FIRST, Offer, Runtime, Wish
from botbridge.models.names import HubSource, WheelSource

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

WHOLE: Final = frozenset({"F32", "BF16", "F16"})
"""Forms of the engine transformers: numbers as the publisher has them."""

SIXTEEN_BITS: Final = frozenset({"BF16", "F16"})

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


SEARCH: Final = "botbridge models search"


def offers(entry: CatalogueEntry, wish: Wish) -> list[Offer]:
    """Return the ways to run a model that a wish allows: files that somebody offers first, then the most exact."""
    found = [
        _offer(entry, runtime, form, wish)
        for runtime in runtimes_of(entry)
        if wish.runtime in {None, runtime}
        for form in _forms(entry, runtime)
        if form in wish.forms
    ]
    return sorted(found, key=lambda offer: (offer.command.startswith(SEARCH), MOST_EXACT_FIRST.index(offer.form)))


def _forms(entry: CatalogueEntry, runtime: Runtime) -> Iterator[str]:
    published = {file.quantization for file in entry.files}
    for form in MOST_EXACT_FIRST:
        if (form in WHOLE) == (runtime is Runtime.TRANSFORMERS) and (form in BITS_PER_WEIGHT or form in published):
            yield form


def _offer(entry: CatalogueEntry, runtime: Runtime, form: str, wish: Wish) -> Offer:
    load = wish.load
    taken = footprint(entry, form, context_tokens=load.conversation_tokens, conversations=load.conversations)
    doubled_bytes = taken.weights_bytes if form in SIXTEEN_BITS and not wish.room.computes_bfloat16 else 0
    file = next((file for file in entry.files if file.quantization == form), None)
    return Offer(
        runtime=runtime,
        form=form,
        footprint=taken,
        file=file,
        memory_bytes=taken.memory_bytes + doubled_bytes + load.kept_bytes,
        disk_bytes=0 if entry.id in wish.installed else taken.weights_bytes,
        command=_command(entry, form, file),
    )


def _command(entry: CatalogueEntry, form: str, file: WeightsFile | None) -> str:
    match entry.source:
        case WheelSource(member=member) if form in member:
            is_own = True
        case HubSource(quantization=quantization):
            is_own = quantization == form or (quantization is None and form in WHOLE)
        case _:
            is_own = False
    if is_own:
        return f"botbridge models pull {entry.id}"
    if file is not None and file.hub_id is not None:
        return f"botbridge models pull {file.hub_id}:{form}"
    return f"{SEARCH} --tag gguf --text {entry.hub_id.rpartition('/')[2]}"
