"""Attention for a ragged batch: each sequence's new tokens look at that sequence's own keys and values, no padding.

Covered: grouped heads, sliding windows, capped scores, attention sinks, a
scaling of the model's own.
Not covered: position biases that a model adds outside the attention interface,
as BLOOM does; `transformers_proof` finds out.

Letters of the shapes: N new tokens of all sequences, n of one; T tokens that it
holds with them; H heads, G heads of keys and values; D and E numbers a head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class Layer(Protocol):
    """What an attention module of transformers tells of itself."""

    layer_idx: int


@dataclass(frozen=True, slots=True)
class Span:
    """What a step adds to one sequence.

    Attributes:
        start: How many tokens the sequence holds before the step.
        count: How many new ones there are; 1 or more.
        keys: (L, G, capacity, D), of all layers.
        values: (L, G, capacity, E).
    """

    start: int
    count: int
    keys: Tensor
    values: Tensor

    @property
    def end(self) -> int:
        """How many tokens the sequence holds after the step."""
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Place:
    """Where one layer finds the sequences of a step, in the order of their tokens.

    Attributes:
        new_keys: (1, G, n, D) for each sequence, to be written.
        new_values: (1, G, n, E).
        keys: (1, G, T, D), to be read.
        values: (1, G, T, E).
    """

    new_keys: tuple[Tensor, ...]
    new_values: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """All that the layers of one forward pass share."""

    spans: Sequence[Span]
    counts: list[int]
    places: list[Place]
    biases: dict[tuple[int, int, int | None, int], Tensor] = field(default_factory=dict)

    def bias(self, span: Span, first: int, window: int | None, query: Tensor, copies: int) -> Tensor | None:
        """Return what is added to the scores of a sequence's new tokens, made once for all layers with this window.

        Args:
            span: The sequence.
            first: The first of its tokens that any of the new ones sees.
            window: How many tokens each sees; None is all.
            query: Of this dtype and on this device.
            copies: How often the new tokens stand under one another.

        Returns:
            (copies * n, T - first), or None where a single token sees all of them.
        """
        if span.count == 1:
            return None
        key = (span.start - first, span.count, window, copies)
        if key not in self.biases:
            bias = causal_bias(span.start - first, span.count, window, query.dtype, query.device)
            self.biases[key] = bias.repeat(copies, 1)
        return self.biases[key]


class RaggedAttention:
    """An attention function for transformers' `AttentionInterface`, for one model; holds the step under way."""

    def __init__(self) -> None:
        self._step: _Step | None = None
        self.windows: dict[int, int | None] = {}
        """How far back each layer looked when it was last computed, in tokens; None is to the beginning."""

    def begin(self, spans: Sequence[Span]) -> None:
        """Get ready for a forward pass over the new tokens of these sequences, one after another.

        The views of all layers are made here at once: made in every layer, they
        would take longer than the attention itself.
        """
        layers = zip(
            zip(*(span.keys[:, None, :, span.start : span.end].unbind() for span in spans), strict=True),
            zip(*(span.values[:, None, :, span.start : span.end].unbind() for span in spans), strict=True),
            zip(*(span.keys[:, None, :, : span.end].unbind() for span in spans), strict=True),
            zip(*(span.values[:, None, :, : span.end].unbind() for span in spans), strict=True),
            strict=True,
        )
        self._step = _Step(spans, [span.count for span in spans], list(itertools.starmap(Place, layers)))

    def end(self) -> None:
        """Let go of the sequences."""
        self._step = None

    def __call__(
        self,
        module: Layer,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,  # noqa: ARG002 - None always: no mask is made for an attention without mask function
        *,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        **_: object,
    ) -> tuple[Tensor, None]:
        """Write down keys and values of the new tokens and let each of them attend to its own sequence.

        Args:
            module: The layer.
            query: (1, H, N, D).
            key: (1, G, N, D).
            value: (1, G, N, E).
            attention_mask: Not used.
            scaling: Of the scores; None is one over the root of D.
            sliding_window: How many tokens a token sees, itself included.
            softcap: Bounds the scores.
            s_aux: (H,), a score for each head that takes its share of the
                attention to nothing.

        Returns:
            (1, N, H, E), and None for the weights.
        """
        assert self._step is not None  # `RaggedModel.forward` alone calls the model
        step, place = self._step, self._step.places[module.layer_idx]
        self.windows[module.layer_idx] = sliding_window
        torch._foreach_copy_(place.new_keys, key.split_with_sizes(step.counts, dim=2))
        torch._foreach_copy_(place.new_values, value.split_with_sizes(step.counts, dim=2))
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        attended = []
        for span, queries, keys, values in zip(
            step.spans, query.split_with_sizes(step.counts, dim=2), place.keys, place.values, strict=True
        ):
            first = 0 if sliding_window is None else max(0, span.start + 1 - sliding_window)
            if first:
                keys, values = keys[:, :, first:], values[:, :, first:]  # noqa: PLW2901
            if softcap is not None or s_aux is not None:
                bias = step.bias(span, first, sliding_window, queries, 1)
                attended.append(attend_in_full(queries, keys, values, bias, scale=scale, softcap=softcap, sinks=s_aux))
            elif span.start == 0 and span.count > 1 and (sliding_window is None or span.count <= sliding_window):
                result = scaled_dot_product_attention(
                    queries, keys, values, scale=scale, is_causal=True, enable_gqa=True
                )
                attended.append(result.transpose(1, 2))
            else:
                # The heads that share keys are laid beside each other as if they were tokens:
                # the kernel then reads the keys once for all of them, which makes it 2 to 5 times faster.
                groups, shared = keys.shape[1], queries.shape[1] // keys.shape[1]
                packed = queries.reshape(1, groups, shared * span.count, -1)
                bias = step.bias(span, first, sliding_window, queries, shared)
                result = scaled_dot_product_attention(packed, keys, values, attn_mask=bias, scale=scale)
                attended.append(result.reshape(1, groups * shared, span.count, -1).transpose(1, 2))
        return torch.cat(attended, dim=1), None


def causal_bias(
    start: int, count: int, window: int | None, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Tensor:
    """Return what hides from new tokens what they must not see: what follows them, and what lies too far back.

    Args:
        start: How many tokens stand before the new ones.
        count: How many new ones there are.
        window: How many tokens each may see, itself included; None is all.
        dtype: Of the result.
        device: Of the result.

    Returns:
        (count, start + count), zero or minus infinity.

    >>> causal_bias(1, 2, 2).tolist()
    [[0.0, 0.0, -inf], [-inf, 0.0, 0.0]]
    """
    own = torch.arange(start, start + count, device=device)[:, None]
    others = torch.arange(start + count, device=device)
    hidden = others > own
    if window is not None:
        hidden |= others <= own - window
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -torch.inf)


def attend_in_full(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None,
    *,
    scale: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attend step by step, for models that do to the scores what no fused kernel does.

    Args:
        query: (1, H, n, D).
        keys: (1, G, T, D).
        values: (1, G, T, E).
        bias: (n, T) or None.
        scale: Of the scores.
        softcap: Scores stay between minus and plus this.
            Source: Gemma 2, arXiv:2408.00118, section 2.
        sinks: (H,), scores of nothing at all.
            Source: gpt-oss, `eager_attention_forward` of transformers.

    Returns:
        (1, n, H, E).
    """
    shared = query.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(shared, dim=1), values.repeat_interleave(shared, dim=1)  # (1, H, T, .)
    scores = query @ keys.transpose(2, 3) * scale  # (1, H, n, T)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if bias is not None:
        scores = scores + bias
    if sinks is not None:
        scores = torch.cat([scores, sinks.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:3], 1)], dim=-1)
    weights = scores.softmax(dim=-1, dtype=torch.float32)[..., : keys.shape[2]].to(query.dtype)
    return (weights @ values).transpose(1, 2)
