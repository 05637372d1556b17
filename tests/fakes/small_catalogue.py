"""A dozen models for tests of what is chosen among them; figures as their publishers give them."""

from __future__ import annotations

from typing import Any

from botbridge.models.catalogue import Catalogue

OPEN_WEIGHTS = {"architecture": "yes", "weights": "yes", "training_code": "no", "training_data": "no"}
FACTS = (
    "parameters",
    "context_tokens",
    "architecture",
    "licence",
    "gated",
    "openness",
    "released",
    "languages",
    "arabic",
    "kv_bytes_per_token",
)
ALIKE = "one-board"
"""The one source that measured several of them in one way."""

OWN = "their-own"


def model(
    model_id: str, parameters: int, nominal_b: float, architecture: str, tasks: str, **facts: Any
) -> dict[str, Any]:
    """An entry, with every fact from one source."""
    entry = {
        "id": model_id,
        "title": model_id,
        "hub_id": f"org/{model_id}",
        "parameters": parameters,
        "nominal_b": nominal_b,
        "context_tokens": 8192,
        "architecture": architecture,
        "kind": "causal",
        "licence": "Apache-2.0",
        "gated": False,
        "openness": OPEN_WEIGHTS,
        "tasks": tasks.split(),
        **facts,
    }
    return entry | {"evidence": {name: ["facts"] for name in FACTS if entry.get(name) not in (None, ())}}


def score(benchmark: str, percent: float, shots: str | None = "5", source: str = ALIKE, of: str | None = None) -> Any:
    """A published result."""
    return {"benchmark": benchmark, "percent": percent, "shots": shots, "source": source, "of": of}


def gguf(repo: str, **sizes: int) -> list[dict[str, Any]]:
    """Published GGUF files, by their form."""
    return [
        {"format": "gguf", "quantization": form, "size_bytes": size, "hub_id": repo, "source": "facts"}
        for form, size in sizes.items()
    ]


MODELS = (
    model(
        "qwen3-4b",
        4_022_468_096,
        4,
        "Qwen3ForCausalLM",
        "chat logic maths code multilingual arabic",
        released="2025-04",
        arabic="listed",
        language_count=119,
        kv_bytes_per_token=147_456,
        scores=[score("GSM8K", 87.79, None, OWN, of="Qwen3-4B-Base")],
    ),
    model(
        "qwen3-1.7b",
        1_720_574_976,
        1.7,
        "Qwen3ForCausalLM",
        "chat logic maths multilingual arabic",
        released="2025-04",
        arabic="listed",
        languages=["ar", "en", "zh"],
        language_count=119,
        kv_bytes_per_token=114_688,
        scores=[score("GSM8K", 69.83), score("MMLU", 57.04)],
    ),
    model(
        "falcon-h1-1.5b",
        1_554_863_488,
        1.5,
        "FalconH1ForCausalLM",
        "chat logic maths multilingual arabic",
        released="2025-05",
        arabic="listed",
        language_count=18,
        licence="falcon-llm-license",
        scores=[score("GSM8K", 74.98), score("MMLU", 62.03)],
    ),
    model(
        "llama-3.2-1b",
        1_235_814_400,
        1,
        "LlamaForCausalLM",
        "chat multilingual",
        released="2024-09",
        arabic="no",
        languages=["de", "en", "es", "fr", "hi", "it", "pt", "th"],
        licence="llama3.2",
        gated=True,
        kv_bytes_per_token=32_768,
        scores=[score("GSM8K", 44.28), score("MMLU", 45.93)],
        files=gguf("org/llama-3.2-1b-GGUF", Q4_K_M=808_000_000, Q8_0=1_320_000_000),
    ),
    model(
        "phi-4-mini",
        3_836_021_760,
        3.8,
        "Phi3ForCausalLM",
        "chat logic maths code multilingual arabic",
        released="2025-02",
        arabic="listed",
        language_count=23,
        licence="MIT",
        scores=[score("GSM8K", 88.6, None, OWN)],
    ),
    model(
        "mistral-7b-instruct-v0.1-gguf",
        7_241_732_096,
        7,
        "MistralForCausalLM",
        "chat logic maths",
        released="2023",
        kv_bytes_per_token=131_072,
        scores=[score("GSM8K", 52.2, "8, maj@8", OWN, of="the base model")],
        files=gguf("TheBloke/Mistral-7B-Instruct-v0.1-GGUF", Q4_K_M=4_370_000_000, Q8_0=7_700_000_000),
        source={"kind": "hub", "repo": "TheBloke/Mistral-7B-Instruct-v0.1-GGUF", "quantization": "Q4_K_M"},
    ),
    model(
        "neural-chat-7b-v3-1",
        7_241_732_096,
        7,
        "MistralForCausalLM",
        "chat logic",
        released="2023-11",
        arabic="no",
        languages=["en"],
        kv_bytes_per_token=131_072,
        scores=[score("GSM8K", 19.56, "5", OWN)],
    ),
    model(
        "bloomz-3b",
        3_002_557_440,
        3,
        "BloomForCausalLM",
        "multilingual arabic",
        released="2022-11",
        arabic="listed",
        language_count=45,
        licence="bigscience-rail-1.0",
        kv_bytes_per_token=307_200,
    ),
    model(
        "opt-6.7b",
        6_658_473_984,
        6.7,
        "OPTForCausalLM",
        "",
        released="2022-05",
        licence="opt-175b",
        kv_bytes_per_token=524_288,
    ),
    model(
        "xglm-7.5b",
        7_492_771_840,
        7.5,
        "XGLMForCausalLM",
        "multilingual",
        released="2021-12",
        language_count=134,
        licence="MIT",
    ),
    model(
        "m2m100-1.2b",
        1_239_470_080,
        1.2,
        "M2M100ForConditionalGeneration",
        "translation multilingual arabic chat",
        kind="seq2seq",
        arabic="listed",
        language_count=100,
        licence="MIT",
    ),
    model(
        "smollm2-135m",
        134_515_008,
        0.135,
        "LlamaForCausalLM",
        "chat",
        released="2024-10",
        arabic="no",
        languages=["en"],
        kv_bytes_per_token=23_040,
        scores=[score("GSM8K", 1.4, "5", OWN)],
    ),
)

SMALL_CATALOGUE = Catalogue.model_validate(
    {"source": [{"id": name, "title": name} for name in ("facts", ALIKE, OWN)], "model": MODELS}
)
