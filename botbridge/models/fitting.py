"""Does a model fit into a machine's memory: the one judgement that `models match`, `doctor` and `plan` give. Pure.

Needed are the weights as the engine holds them, the cache of the answers that
run side by side, what conversations may keep between turns, and what service,
worker and engine take by themselves. What there is, the caller says: all three
say what the machine can hold beside other programs (`machine.probe.Memory`).

Covered: number formats that the processor does not compute with, a cache of
unknown size, which leaves the answer open.
Not covered: the memory of a GPU, of which it is said how much has to be there; what INFERENCE__QUANTIZE=int8 saves.
What loading takes for a moment is less than what is reckoned (docs/performance.md, "What a worker takes").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from botbridge.sentences import Sentence
from botbridge.sizes import at_most_text, enough_text, size_text

SERVICE_BYTES: Final = 128_000_000
"""The service without a worker. Source: docs/performance.md, P7."""

DATABASE_BYTES: Final = 200_000_000
"""What database, log and the backup before an upgrade may take of the disk: our own allowance, not a measurement."""

WORKER_BYTES: Final = {"llamacpp": 250_000_000, "openvino": 250_000_000, "transformers": 450_000_000}
"""A worker without weights and cache: interpreter, libraries and work buffers, by its engine; of the last, torch and
transformers are 350 MB by themselves. Source: docs/performance.md, P8 and "What a worker takes"."""

SCALES_PART: Final = 9
"""OpenVINO keeps the scales of quantized weights in 32 bits instead of 16: to what Q4_0 takes a ninth is added, to
wider formats less."""

TABLE_ENGINES: Final = frozenset({"openvino", "transformers"})
TABLE_SHARE: Final = 0.7
TABLE_BYTES: Final = 550_000_000
"""What two engines hold beyond that, which grows with the table of words: such a share of one copy of the weights, at
most so many bytes.

How large that table is the catalogue does not say; reckoned so, a worker takes a fiftieth more at worst than is told,
and a quarter less. Source: docs/performance.md, "What a worker takes".
"""

CONVERSATION_TOKENS: Final = 2048
"""So long every answer may be however little memory is set. Source: inference/engines/llamacpp_loading.py,
LEAST_CONTEXT_TOKENS; longer ones live from INFERENCE__CACHE_BYTES."""

LEAST_SHARE: Final = 0.25
"""With llama.cpp a quarter at least is for who is not being answered. Source: inference/engines/prefix.py."""

BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Source: inference/engines/transformers_device.py, cpu_computes_bfloat16."""

FLOAT32_BYTES: Final = 4
SIXTEEN_BITS_BYTES: Final = 2


class Verdict(StrEnum):
    """Whether a model fits; unknown where what is known of it fits and the cache's size is not known."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    UNKNOWN = "not known whether it fits"


VERDICT_WORDS: Final = {
    Verdict.FITS: Sentence("fits"),
    Verdict.DOES_NOT_FIT: Sentence("does not fit"),
    Verdict.UNKNOWN: Sentence("not known whether it fits"),
}


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The forms in which weights are, or will be, on the disk.

    Attributes:
        has_gguf: As one GGUF file.
        has_safetensors: As safetensors.
        gguf_bytes: Of the GGUF file that engines would take; None where it is not known yet.
        quantization: Of the GGUF, as far as it is known.
        numbers: How many the safetensors hold; None where that is not known.
    """

    has_gguf: bool = False
    has_safetensors: bool = False
    gguf_bytes: int | None = None
    quantization: str = "GGUF"
    numbers: int | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """How the settings, and the processor, want a model held.

    Attributes:
        conversations: How many answers run side by side.
        context_tokens: Upper bound of one of them; None for the model's own.
        kept_bytes: What conversations may keep between turns.
        dtype: `auto`, `float32` or `bfloat16`.
        computes_bfloat16: Whether the processor does.
        on_gpu: The engine transformers computes on a GPU, which always does.
    """

    conversations: int = 1
    context_tokens: int | None = None
    kept_bytes: int = 0
    dtype: str = "auto"
    computes_bfloat16: bool = True
    on_gpu: bool = False

    @property
    def widens(self) -> bool:
        """Whether the engine transformers takes float32, at twice the memory of 16 bits."""
        return self.dtype == "float32" or (self.dtype == "auto" and not (self.computes_bfloat16 or self.on_gpu))


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What one model takes of a machine's memory.

    Attributes:
        form: Of the weights, as they are held.
        weights_bytes: Of the weights.
        cache_bytes: Of the answers that run side by side; None where the model's shape is not known.
        kept_bytes: What conversations may keep between turns.
        overhead_bytes: Service, worker and engine by themselves.
        conversations: So many answers run side by side.
        conversation_tokens: So long each of them may be by this reckoning.
        on_gpu: Weights, cache and what is kept lie in a GPU's memory, which nobody looks at; the machine's own holds
            the rest.
        fetching_bytes: What it takes before that, while it is fetched and turned into another form; 0 where it is
            here, or needs no other form.
    """

    engine: str
    form: str
    weights_bytes: int
    cache_bytes: int | None
    kept_bytes: int
    overhead_bytes: int
    conversations: int
    conversation_tokens: int
    on_gpu: bool = False
    fetching_bytes: int = 0

    @property
    def gpu_bytes(self) -> int:
        """What is known to be needed of a GPU's memory."""
        return self.weights_bytes + (self.cache_bytes or 0) + self.kept_bytes if self.on_gpu else 0

    @property
    def least_bytes(self) -> int:
        """All that is known to be needed of the machine's memory."""
        return max(self._serving_bytes, self.fetching_bytes)

    @property
    def _serving_bytes(self) -> int:
        computed = 0 if self.on_gpu else self.weights_bytes + (self.cache_bytes or 0) + self.kept_bytes
        return computed + self.overhead_bytes

    def kept_within(self, has_bytes: int) -> int | None:
        """Return the largest INFERENCE__CACHE_BYTES with which it fits; None where none is small enough."""
        spare_bytes = has_bytes - (self._serving_bytes - self.kept_bytes)
        if self.on_gpu or spare_bytes < 0 or self.fetching_bytes > has_bytes:
            return None
        if self.engine != "llamacpp" or self.cache_bytes is None:
            return spare_bytes
        return min(spare_bytes + self.cache_bytes, int(spare_bytes / LEAST_SHARE))

    @property
    def needed_bytes(self) -> int | None:
        """All that is needed of it; None where the cache's size is not known, or a GPU's memory is needed, too."""
        return None if self.cache_bytes is None or self.on_gpu else self.least_bytes

    @property
    def sentence(self) -> Sentence:
        """What it is made of."""
        if self.fetching_bytes <= self._serving_bytes:
            return self._serving
        fetching = Sentence("while it is fetched {size}", size=size_text(self.fetching_bytes))
        return Sentence("{first}; {more}", first=fetching, more=self._serving)

    @property
    def _serving(self) -> Sentence:
        if self.on_gpu:
            return Sentence(
                "botbridge with {engine} {overhead}; on the GPU weights {weights} ({form}), "
                "cache {cache} for {answers} of {tokens} tokens, kept between turns {kept}",
                **self._parts(),
            )
        return Sentence(
            "weights {weights} ({form}), cache {cache} for {answers} of {tokens} tokens, kept between turns {kept}, "
            "botbridge with {engine} {overhead}",
            **self._parts(),
        )

    def _parts(self) -> Mapping[str, object]:
        answers = Sentence("one answer")
        if self.conversations > 1:
            answers = Sentence("{number} answers side by side", number=self.conversations)
        return {
            "weights": size_text(self.weights_bytes),
            "form": self.form,
            "cache": Sentence("of unknown size") if self.cache_bytes is None else size_text(self.cache_bytes),
            "answers": answers,
            "tokens": self.conversation_tokens,
            "kept": size_text(self.kept_bytes),
            "engine": self.engine,
            "overhead": size_text(self.overhead_bytes),
        }

    def __str__(self) -> str:
        """Say what it is made of."""
        return self.sentence


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer, in the words that everybody uses.

    Attributes:
        has_bytes: What the machine can hold; None for no bound that is known.
    """

    need: MemoryNeed
    has_bytes: int | None

    @property
    def verdict(self) -> Verdict:
        """Whether it fits."""
        if self.has_bytes is not None and self.need.least_bytes > self.has_bytes:
            return Verdict.DOES_NOT_FIT
        return Verdict.UNKNOWN if self.need.needed_bytes is None or self.has_bytes is None else Verdict.FITS

    @property
    def short_bytes(self) -> int:
        """What is known to be lacking; 0 where nothing is."""
        return 0 if self.has_bytes is None else max(self.need.least_bytes - self.has_bytes, 0)

    @property
    def sentence(self) -> Sentence:
        """The verdict, with what is needed and what there is.

        Where it does not fit what is needed is rounded up and what there is down, so that the two always differ.
        """
        fails = self.verdict is Verdict.DOES_NOT_FIT
        needs = (enough_text if fails else size_text)(self.need.least_bytes)
        if self.need.on_gpu:
            needs = Sentence("{size} and {more} of a GPU's", size=needs, more=size_text(self.need.gpu_bytes))
        if self.need.cache_bytes is None:
            needs = Sentence("{size} and a cache of unknown size", size=needs)
        if self.has_bytes is None:
            return Sentence("needs {needs}", needs=needs)
        has = (at_most_text if fails else size_text)(self.has_bytes)
        return Sentence(
            "{verdict}: needs {needs}, has {has}", verdict=VERDICT_WORDS[self.verdict], needs=needs, has=has
        )

    def __str__(self) -> str:
        """Say it."""
        return self.sentence


def computes_bfloat16(flags: Collection[str]) -> bool:
    """Tell whether a processor with these sets of instructions computes with bfloat16.

    >>> computes_bfloat16({"avx2", "avx512_bf16"}), computes_bfloat16({"avx2"})
    (True, False)
    """
    return not BFLOAT16_FLAGS.isdisjoint(flags)


def memory_need(
    weights: StoredWeights,
    engine: str,
    holding: Holding,
    *,
    kv_bytes_per_token: int | None,
    trained_tokens: int | None,
) -> MemoryNeed | None:
    """Return what a model takes; None where its size is not known, or it comes in no form that the engine computes.

    Args:
        weights: The forms that there are.
        engine: One of `WORKER_BYTES`.
        holding: What the settings want.
        kv_bytes_per_token: Of its cache with 16-bit values; None where its shape is not known.
        trained_tokens: The longest text it was made for; None where that is not known.
    """
    held = _held(weights, engine, holding)
    if held is None:
        return None
    weights_bytes, form = held
    bounds = (CONVERSATION_TOKENS, holding.context_tokens, trained_tokens)
    tokens = min(bound for bound in bounds if bound is not None)
    cache_bytes = None
    if kv_bytes_per_token is not None:
        # The engine transformers keeps its cache in the number format of the weights.
        wide = 2 if engine == "transformers" and holding.widens else 1
        cache_bytes = wide * kv_bytes_per_token * tokens * holding.conversations
    return MemoryNeed(
        engine=engine,
        form=form,
        weights_bytes=weights_bytes,
        cache_bytes=cache_bytes,
        kept_bytes=_kept_bytes(engine, holding.kept_bytes, cache_bytes),
        overhead_bytes=SERVICE_BYTES + worker_bytes(engine, weights_bytes),
        conversations=holding.conversations,
        conversation_tokens=tokens,
        on_gpu=holding.on_gpu and engine == "transformers",
    )


def _kept_bytes(engine: str, kept_bytes: int, cache_bytes: int | None) -> int:
    """Return what conversations may keep beside the answers in the making.

    With llama.cpp these live in the same memory, and leave a quarter of it at
    least.

    >>> _kept_bytes("llamacpp", 400, 100), _kept_bytes("llamacpp", 400, 1000), _kept_bytes("openvino", 400, 100)
    (300, 100, 400)
    """
    if engine != "llamacpp" or cache_bytes is None:
        return kept_bytes
    return max(kept_bytes - cache_bytes, int(LEAST_SHARE * kept_bytes))


def first_that_fits(needs: Sequence[MemoryNeed], has_bytes: int | None) -> MemoryNeed | None:
    """Return what serves of several engines, best first: the first that fits, else the one that lacks the least.

    Args:
        needs: What a model takes with each engine.
        has_bytes: What the machine can hold; None for no bound that is known.
    """
    fitting = (need for need in needs if Judgement(need, has_bytes).verdict is not Verdict.DOES_NOT_FIT)
    return next(fitting, None) or min(needs, key=lambda need: need.least_bytes, default=None)


def conversion_bytes(numbers: int) -> int:
    """Return what is taken while a GGUF is turned into safetensors of 16 bits, which torch does in one go.

    Source: docs/performance.md, "While it loads": 940 MB beside whoever pulls.

    Args:
        numbers: How many it holds.

    >>> conversion_bytes(134_515_008)
    1035351027
    """
    weights_bytes = SIXTEEN_BITS_BYTES * numbers
    return SERVICE_BYTES + worker_bytes("transformers", weights_bytes) + weights_bytes


def worker_bytes(engine: str, weights_bytes: int) -> int:
    """Return what a worker takes beside weights and cache.

    Args:
        engine: One of `WORKER_BYTES`.
        weights_bytes: Of one copy of the weights.

    >>> worker_bytes("llamacpp", 10**9), worker_bytes("openvino", 9 * 10**8), worker_bytes("transformers", 10**9)
    (250000000, 900000000, 1000000000)
    """
    table_bytes = min(round(TABLE_SHARE * weights_bytes), TABLE_BYTES) if engine in TABLE_ENGINES else 0
    scales_bytes = weights_bytes // SCALES_PART if engine == "openvino" else 0
    return WORKER_BYTES[engine] + table_bytes + scales_bytes


def _held(weights: StoredWeights, engine: str, holding: Holding) -> tuple[int, str] | None:
    """Return the bytes of one copy of the weights in memory, and the name of their number format.

    INFERENCE__QUANTIZE=int8 changes nothing here: the numbers are read as they are and become integers afterwards.
    """
    if engine != "transformers":
        return None if weights.gguf_bytes is None else (weights.gguf_bytes, weights.quantization)
    if weights.numbers is None:
        return None
    if holding.widens:
        return weights.numbers * FLOAT32_BYTES, "F32"
    return weights.numbers * SIXTEEN_BITS_BYTES, "BF16"
