"""Any Hugging Face causal language model, one sequence at a time, in turn.

Covered: any architecture that transformers knows, CPU and CUDA; the computed
prefix of a conversation is kept for its next turn, the least recently used ones
go first; a prompt is read in pieces, so that others advance meanwhile.
Not covered: computing several sequences in one pass; adapters; reuse for models
with sliding windows or recurrent states, whose caches cannot be cut.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache, DynamicLayer

from botbridge.answers import FinishReason, RequestId, Sampling, Turn
from botbridge.inference.answer_text import AnswerText
from botbridge.inference.engines.base import EngineInfo, EnginePrompt, EngineStats, TokenEvent, advance_each
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, ModelTemplate
from botbridge.inference.options import EngineOptions
from botbridge.inference.prompt import PromptBuilder
from botbridge.inference.sampling import Logits, choose_token
from botbridge.models.store import ModelFiles

FALLBACK_CONTEXT_TOKENS = 2048
"""For models whose configuration names no limit."""


@dataclass(slots=True)
class _Sequence:
    """A request: `cache` holds the first `computed` of `ids`; no conversation means that it was forgotten."""

    conversation: str | None
    ids: list[int]
    cache: DynamicCache
    computed: int
    sampling: Sampling
    random: np.random.Generator
    text: AnswerText
    answer_ids: list[int] = field(default_factory=list)


class TransformersEngine:
    """The reference engine: slow for many, right for all."""

    def __init__(self) -> None:
        self._sequences: dict[RequestId, _Sequence] = {}
        self._kept: OrderedDict[str, tuple[list[int], DynamicCache]] = OrderedDict()
        self._tokens_total = 0

    def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:
        """Load the model and try its template out.

        Raises:
            ValueError: No model was given, or the device or number format is unknown.
        """
        if files is None:
            raise ValueError("the transformers engine needs a model")
        self._options = options
        self._device = _device(options.device)
        dtype, notes = _dtype(options.dtype, self._device)
        torch.set_grad_enabled(False)
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        tokenizer = AutoTokenizer.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
        self._model = AutoModelForCausalLM.from_pretrained(
            files.directory, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        self._model.to(torch.device(self._device)).eval()  # type: ignore[arg-type]  # its `to` is wrapped untyped
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", FALLBACK_CONTEXT_TOKENS)
        context_tokens = min(limit, options.context_tokens or limit)
        self._tokenizer = HfTokenizer(tokenizer)
        self._template = ModelTemplate(tokenizer, _end_ids(self._model.generation_config, tokenizer))
        self._prompts = PromptBuilder(self._tokenizer, self._template.template, context_tokens)
        version = f"transformers {transformers.__version__}, torch {torch.__version__}, {str(dtype).split('.')[-1]}"
        return EngineInfo(
            "transformers", f"{version} on {self._device}", context_tokens, (*notes, *self._template.notes)
        )

    def prompt(self, system: str, turns: tuple[Turn, ...], max_new_tokens: int) -> EnginePrompt:
        """Build the prompt ids.

        Raises:
            PromptTooLong: the newest turn alone leaves no room for an answer.
        """
        return self._prompts.build(system, turns, max_new_tokens)

    def submit(self, request_id: RequestId, conversation: str, prompt: EnginePrompt, sampling: Sampling) -> int:
        """Take a request on, with what is kept of its conversation."""
        cache, computed = self._take_kept(conversation, prompt.ids)
        self._sequences[request_id] = _Sequence(
            conversation,
            list(prompt.ids),
            cache,
            computed,
            sampling,
            np.random.default_rng(sampling.seed),
            AnswerText(self._tokenizer.decode, self._template.stop_strings),
        )
        return computed

    def step(self) -> list[TokenEvent]:
        """Advance every request by one piece of its prompt or one token."""
        return advance_each(list(self._sequences), self._advance, self._let_go)

    def cancel(self, request_id: RequestId) -> tuple[int, ...]:
        """Let go of a request; what was computed is kept for the next turn."""
        ids = tuple(self._sequences[request_id].answer_ids)
        self._keep(self._sequences.pop(request_id))
        return ids

    def forget(self, conversation: str) -> None:
        """Drop what is kept for a conversation."""
        self._kept.pop(conversation, None)
        for sequence in self._sequences.values():
            if sequence.conversation == conversation:
                sequence.conversation = None

    def stats(self) -> EngineStats:
        """How many tokens went through the model."""
        return EngineStats(self._tokens_total)

    def _advance(self, request_id: RequestId) -> TokenEvent | None:
        sequence = self._sequences[request_id]
        end = min(len(sequence.ids), sequence.computed + self._options.prefill_tokens)
        logits = self._forward(sequence, end)
        if end < len(sequence.ids):
            return None
        token_id = choose_token(logits, sequence.answer_ids, sequence.sampling, sequence.random)
        sequence.answer_ids.append(token_id)
        return self._event(request_id, sequence, token_id)

    def _event(self, request_id: RequestId, sequence: _Sequence, token_id: int) -> TokenEvent:
        """Say what a token means: more text, the end of the turn, or the end of the room."""
        text = ""
        reason = None
        if token_id in self._template.stop_ids:
            reason = FinishReason.STOP
        else:
            sequence.ids.append(token_id)
            text = sequence.text.push(token_id)
            if sequence.text.stopped:
                reason = FinishReason.STOP
            elif len(sequence.answer_ids) >= sequence.sampling.max_new_tokens:
                reason = FinishReason.LENGTH
        if reason is not None:
            text += sequence.text.finish()
        completion_ids = tuple(sequence.answer_ids) if reason is not None else ()
        return TokenEvent(request_id, text, len(sequence.answer_ids), completion_ids, finish_reason=reason)

    def _forward(self, sequence: _Sequence, end: int) -> Logits:
        """Compute the ids up to `end`; the logits that follow the last of them, (V,) float32."""
        new = sequence.ids[sequence.computed : end]
        input_ids = torch.tensor([new], dtype=torch.int64, device=self._device)  # (1, T)
        output = self._model(input_ids, past_key_values=sequence.cache, use_cache=True, logits_to_keep=1)
        sequence.computed = end
        self._tokens_total += len(new)
        logits: Logits = output.logits[0, -1].float().cpu().numpy()  # (1, 1, V) -> (V,)
        return logits

    def _take_kept(self, conversation: str, ids: tuple[int, ...]) -> tuple[DynamicCache, int]:
        """Return a cache and how many of the first ids it holds; at least one is left to compute."""
        kept_ids, cache = self._kept.pop(conversation, ([], None))
        shared = next((i for i, (a, b) in enumerate(zip(kept_ids, ids, strict=False)) if a != b), len(kept_ids))
        shared = min(shared, len(ids) - 1)
        if cache is None or shared == 0:
            return DynamicCache(config=self._model.config), 0
        cache.crop(shared - len(kept_ids))  # transformers 5: minus the number of tokens to remove
        return cache, shared

    def _let_go(self, event: TokenEvent) -> None:
        sequence = self._sequences.pop(event.request_id)
        if event.failure is None:  # else nobody knows how far each layer came
            self._keep(sequence)

    def _keep(self, sequence: _Sequence) -> None:
        """Put a cache to those that wait for their conversation's next turn, if it can be cut."""
        if sequence.conversation is None or not all(type(layer) is DynamicLayer for layer in sequence.cache.layers):
            return
        self._kept[sequence.conversation] = (sequence.ids[: sequence.computed], sequence.cache)
        self._kept.move_to_end(sequence.conversation)
        while self._kept and sum(_size_bytes(cache) for _, cache in self._kept.values()) > self._options.cache_bytes:
            self._kept.popitem(last=False)


def _size_bytes(cache: DynamicCache) -> int:
    tensors = [
        tensor for layer in cache.layers if isinstance(layer, DynamicLayer) for tensor in (layer.keys, layer.values)
    ]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _end_ids(settings: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end an answer by the model's own generation settings."""
    ids = settings.eos_token_id
    listed = ids if isinstance(ids, list) else [ids]
    return [token_id for token_id in {*listed, tokenizer.eos_token_id} if token_id is not None]


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in {"cpu", "cuda"}:
        raise ValueError(f"there is no device named {name!r}")
    return name


def _dtype(name: str, device: str) -> tuple[torch.dtype, tuple[str, ...]]:
    """Return the number format: bfloat16 halves what is read per token, but only where it is computed natively."""
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name != "auto":
        if name not in formats:
            raise ValueError(f"there is no number format named {name!r}")
        return formats[name], ()
    if device == "cuda" or cpu_computes_bfloat16(Path("/proc/cpuinfo")):
        return torch.bfloat16, ()
    return torch.float32, ("This CPU does not compute with bfloat16: float32 is used, which takes twice the memory.",)


def cpu_computes_bfloat16(cpuinfo: Path) -> bool:
    """Read whether the CPU has instructions for bfloat16 (x86: AVX-512 or AMX, Arm: bf16)."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(text.split())
