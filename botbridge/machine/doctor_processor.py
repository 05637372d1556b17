"""Judges a processor's instructions, each by what every engine does with it.

Sources: torch and OpenVINO compute with oneDNN, which has kernels for SSE 4.1,
AVX2, AVX-512, VNNI, BF16 and AMX (developer guide, `dnnl_cpu_isa_t`). OpenVINO
wants SSE 4.2 at least, or arm64-v8a (its system requirements, 2026). llama.cpp
is compiled here for all that the processor has (`scripts/native.py`,
GGML_NATIVE); which weights its AMX kernels take stands in ggml-cpu/amx/common.h,
`qtype_has_amx_kernels`. What number format `transformers` takes, and when it
computes with 8-bit integers, stands in inference/engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botbridge.machine.doctor_facts import Examined, Row, Status
from botbridge.sentences import Sentence

HOST_PROCESSOR: Final = Sentence("another processor; in a virtual machine, pass the host's through (QEMU: -cpu host)")


@dataclass(frozen=True, slots=True)
class Feature:
    """A set of instructions.

    Attributes:
        name: As people know it.
        flags: Any one of these says that it is there.
        use: What each engine does with it.
        wanted_by: The engine that cannot do without.
    """

    name: str
    flags: frozenset[str]
    use: str
    wanted_by: str | None = None


X86: Final = (
    Feature(
        "SSE4.2",
        frozenset({"sse4_2"}),
        Sentence("openvino: cannot do without; transformers: slowest kernels; llamacpp: compiled in"),
        wanted_by="openvino",
    ),
    Feature("AVX2", frozenset({"avx2"}), Sentence("transformers, openvino: 8 numbers at once; llamacpp: compiled in")),
    Feature(
        "AVX-512", frozenset({"avx512f"}), Sentence("transformers, openvino: 16 numbers at once; llamacpp: compiled in")
    ),
    Feature(
        "VNNI",
        frozenset({"avx512_vnni", "avx_vnni"}),
        Sentence(
            "openvino, llamacpp: 8-bit products of quantized weights; transformers: INFERENCE__QUANTIZE=int8 needs it "
            "or AMX"
        ),
    ),
    Feature(
        "BF16",
        frozenset({"avx512_bf16", "amx_bf16"}),
        Sentence(
            "transformers: half the memory of float32, else float32; openvino: its number format; "
            "llamacpp: BF16 weights"
        ),
    ),
    Feature(
        "AMX",
        frozenset({"amx_tile"}),
        Sentence(
            "transformers, openvino: products of whole tiles; llamacpp: the same for Q4_0, Q4_1, Q8_0 and K quants"
        ),
    ),
)

ARM: Final = (
    Feature(
        "NEON",
        frozenset({"asimd", "neon"}),
        Sentence("all engines: 4 numbers at once; openvino cannot do without"),
        "openvino",
    ),
    Feature(
        Sentence("dot product"),
        frozenset({"asimddp"}),
        Sentence("llamacpp, openvino: 8-bit products of quantized weights"),
    ),
    Feature("I8MM", frozenset({"i8mm"}), Sentence("llamacpp: 8-bit products of whole tiles")),
    Feature("BF16", frozenset({"bf16"}), Sentence("transformers: half the memory of float32, else float32")),
)

BY_ARCHITECTURE: Final = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}


def instructions(examined: Examined) -> list[Row]:
    """Judge each set of instructions that matters on this kind of processor."""
    processor = examined.machine.processor
    features = BY_ARCHITECTURE.get(processor.architecture.lower())
    if features is None:
        needed, upgrade = Sentence("x86-64 or 64-bit Arm"), Sentence("nobody tried it here")
        return [Row("CPU", processor.architecture, needed, Status.UNKNOWN, upgrade)]
    if not processor.flags:
        untold = Sentence("the system does not tell")
        return [Row(_component(feature), untold, feature.use, Status.UNKNOWN) for feature in features]
    taken = None if examined.engines is None else examined.engines.taken
    return [_row(feature, processor.flags, taken) for feature in features]


def _row(feature: Feature, flags: frozenset[str], taken: str | None) -> Row:
    there = sorted(feature.flags & flags)
    if there:
        return Row(_component(feature), Sentence("yes ({flags})", flags=", ".join(there)), feature.use)
    if feature.wanted_by is not None and feature.wanted_by == taken:
        command = "echo BOTBRIDGE_INFERENCE__ENGINE=transformers >> .env"
        how = Sentence("{command}; or {other}", command=command, other=HOST_PROCESSOR)
        upgrade = Sentence("{engine} cannot compute here", engine=taken)
        return Row(_component(feature), Sentence("no"), feature.use, Status.UPGRADE, upgrade, how)
    upgrade = Sentence("slower without")
    return Row(_component(feature), Sentence("no"), feature.use, Status.OPTIONAL, upgrade, HOST_PROCESSOR)


def _component(feature: Feature) -> Sentence:
    return Sentence("CPU: {feature}", feature=feature.name)
