"""A GGUF model as a `StepModel`, over llama.cpp's low-level functions.

Sequences that are computed lie in streams of the context (`llamacpp_native`), as
many as answers run side by side. All others are parked: their state lies in
ordinary memory, exactly as large as they are long, and copies share it. A
sequence leaves its stream only when another one needs it.

Covered: any number of open sequences; streams that grow with the longest one;
one pass over the weights a step, whoever comes and goes.
Not covered: adapters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from botbridge.inference.engines.llamacpp_native import Bytes, Context, Piece
from botbridge.inference.engines.llamacpp_streams import cheapest_window, gaps, grown_cells
from botbridge.inference.engines.step import SequenceId
from botbridge.inference.sampling import Logits

MakeContext = Callable[[int], Context]
"""Makes a context whose streams have so many cells; the number of streams is always the same."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a stream held, and how many tokens that was."""

    data: Bytes
    length: int


@dataclass(slots=True, eq=False)
class _Sequence:
    """An open sequence.

    Attributes:
        tokens: All that it holds.
        computed: How many of them its stream or its state has; the others are
            computed with the next ones.
        stream: Where it lies; None while it is parked.
        state: What it was parked with; None where nothing was computed.
        whole_from: With sliding windows, the length below which it lacks what
            was out of sight when it was parked.
        used_at: Counts up with each use.
    """

    tokens: list[int]
    computed: int = 0
    stream: int | None = None
    state: _State | None = None
    whole_from: int = 0
    used_at: int = 0


class LlamaCppModel:
    """Sequences over the streams of a context that is made anew when they outgrow it."""

    def __init__(
        self, make_context: MakeContext, context: Context, *, most_cells: int, pass_tokens: int, has_windows: bool
    ) -> None:
        """Begin without sequences.

        Args:
            make_context: Makes a context with larger streams.
            context: What `make_context` gave for the beginning.
            most_cells: The longest that a sequence may become.
            pass_tokens: Moving so many tokens takes as long as another pass
                over the weights.
            has_windows: Layers of the model look back over a few tokens only.
        """
        self._make_context = make_context
        self._context = context
        self._most_cells = most_cells
        self._pass_tokens = pass_tokens
        self._has_windows = has_windows
        self._sequences: dict[SequenceId, _Sequence] = {}
        self._lying: list[_Sequence | None] = [None] * context.streams
        self._gap_cost = 0
        self._serial = itertools.count()
        self._clock = itertools.count(1)

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: An adapter is named; there is none.
        """
        if adapter is not None:
            raise ValueError(f"there is no adapter {adapter!r}")
        return self._add(_Sequence([]))

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences; (B, V) float32.

        Raises:
            ValueError: A sequence would become longer than the context.
            LlamaCppFailed: llama.cpp refuses or fails.
        """
        width = self._context.streams
        if len(work) > width:
            return np.concatenate([self.forward(work[at : at + width]) for at in range(0, len(work), width)])
        sequences = [self._sequences[sequence_id] for sequence_id, _ in work]
        longest = max(len(sequence.tokens) + len(new) for sequence, (_, new) in zip(sequences, work, strict=True))
        if longest > self._most_cells:
            raise ValueError(f"a sequence of {longest} tokens is longer than the context of {self._most_cells}")
        if longest > self._context.cells:
            self._grow(longest)
        self._place(sequences)
        pieces = [
            Piece(_stream_of(sequence), sequence.computed, [*sequence.tokens[sequence.computed :], *new])
            for sequence, (_, new) in zip(sequences, work, strict=True)
        ]
        order = sorted(range(len(pieces)), key=lambda place: pieces[place].stream)
        rows = self._context.compute([pieces[place] for place in order])
        for sequence, (_, new) in zip(sequences, work, strict=True):
            sequence.tokens.extend(new)
            sequence.computed = len(sequence.tokens)
        if order == list(range(len(order))):
            return rows
        logits = np.empty_like(rows)
        logits[order] = rows
        return logits

    def truncate(self, sequence: SequenceId, length: int) -> None:
        """Let a sequence hold its first `length` tokens only."""
        cut = self._sequences[sequence]
        del cut.tokens[length:]
        cut.computed = min(cut.computed, length)
        if cut.stream is not None:
            self._cut(cut, cut.stream)

    def fork(self, source: SequenceId, length: int) -> SequenceId:
        """Begin a sequence with the first `length` tokens of another."""
        original = self._sequences[source]
        state = original.state if original.stream is None else self._saved(original, original.stream)
        return self._add(_Sequence(original.tokens[:length], min(original.computed, length), state=state))

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's memory back."""
        closed = self._sequences.pop(sequence)
        if closed.stream is not None:
            self._leave(closed, closed.stream)

    def _add(self, sequence: _Sequence) -> SequenceId:
        sequence_id = SequenceId(next(self._serial))
        self._sequences[sequence_id] = sequence
        return sequence_id

    def _place(self, sequences: Sequence[_Sequence]) -> None:
        """Let all of these lie in streams, in neighbouring ones where that pays."""
        now = next(self._clock)
        for sequence in sequences:
            sequence.used_at = now
        streams = [sequence.stream for sequence in sequences if sequence.stream is not None]
        if len(streams) == len(sequences) and not gaps(streams):
            self._gap_cost = 0
            return
        working = [0] * self._context.streams
        idle = [0 if lying is None else lying.computed for lying in self._lying]
        for stream in streams:
            working[stream], idle[stream] = idle[stream], 0
        start, cost = cheapest_window(idle, working, len(sequences))
        # Gaps are put up with until they have cost as much as closing them.
        if cost <= self._gap_cost:
            self._gap_cost = 0
            self._move(sequences, range(start, start + len(sequences)))
            return
        for sequence in sequences:
            if sequence.stream is None:
                self._enter(sequence, self._free_stream(now))
        self._gap_cost += self._pass_tokens * gaps([_stream_of(sequence) for sequence in sequences])

    def _move(self, sequences: Sequence[_Sequence], window: range) -> None:
        """Let these sequences lie in the streams of a window, in any order, and nothing else."""
        for stream in window:
            lying = self._lying[stream]
            if lying is not None and lying not in sequences:
                self._park(lying, stream)
        for sequence in sequences:
            if sequence.stream is not None and sequence.stream not in window:
                self._park(sequence, sequence.stream)
        free = iter([stream for stream in window if self._lying[stream] is None])
        for sequence in sequences:
            if sequence.stream is None:
                self._enter(sequence, next(free))

    def _free_stream(self, now: int) -> int:
        """Return a free stream; if need be the least recently used sequence parks."""
        if None in self._lying:
            return self._lying.index(None)
        oldest = min((lying for lying in self._lying if lying is not None), key=lambda lying: lying.used_at)
        assert oldest.used_at < now
        stream = _stream_of(oldest)
        self._park(oldest, stream)
        return stream

    def _enter(self, sequence: _Sequence, stream: int) -> None:
        """Put a parked sequence into a free stream."""
        state = sequence.state if sequence.computed else None
        if state is not None:
            self._context.restore(stream, state.data)
        sequence.stream, self._lying[stream], sequence.state = stream, sequence, None
        sequence.whole_from = state.length if state is not None and self._has_windows else 0
        self._cut(sequence, stream)

    def _park(self, sequence: _Sequence, stream: int) -> None:
        """Take a sequence out of its stream."""
        sequence.state = self._saved(sequence, stream)
        self._leave(sequence, stream)

    def _leave(self, sequence: _Sequence, stream: int) -> None:
        self._context.cut(stream, 0)
        sequence.stream, self._lying[stream] = None, None

    def _saved(self, sequence: _Sequence, stream: int) -> _State | None:
        self._context.cut(stream, sequence.computed)  # after a failure there may be more
        return _State(self._context.save(stream), sequence.computed) if sequence.computed else None

    def _cut(self, sequence: _Sequence, stream: int) -> None:
        """Bring a stream to what is computed of its sequence; where that cannot be, all is computed again."""
        if sequence.computed < sequence.whole_from or not self._context.cut(stream, sequence.computed):
            self._context.cut(stream, 0)
            sequence.computed = sequence.whole_from = 0

    def _grow(self, needed: int) -> None:
        """Go over to a context with larger streams."""
        grown = self._make_context(grown_cells(self._context.cells, needed, self._most_cells))
        for stream, lying in enumerate(self._lying):
            state = self._saved(lying, stream) if lying is not None else None
            if lying is not None and state is not None:
                grown.restore(stream, state.data)
                lying.whole_from = state.length if self._has_windows else 0
        self._context.close()
        self._context = grown


def _stream_of(sequence: _Sequence) -> int:
    assert sequence.stream is not None
    return sequence.stream
