"""A GGUF model as a `StepModel`, over llama.cpp's low-level functions.

Sequences that are computed lie in streams of the context (`llamacpp_native`), as
many as answers run side by side. All others are parked: their state lies in
ordinary memory, exactly as large as they are long, and copies share it. A
sequence leaves its stream only when another one needs it.

Covered: any number of open sequences; streams that grow with the longest one;
one pass over the weights a step, whoever comes and goes.
Not covered: adapters; going back in what was parked where a model has sliding
windows: llama.cpp leaves out of a state what is out of their sight. Source:
`llama_kv_cache::state_write`, `is_masked_swa`.
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


@dataclass(slots=True, eq=False)
class _Sequence:
    """An open sequence.

    Attributes:
        length: How many tokens it holds.
        stream: Where it lies; None while it is parked.
        state: What it was parked with, of `length` tokens or more; None where it holds nothing.
        whole_from: With sliding windows, the length below which it lacks what
            was out of sight when it was parked.
        used_at: Counts up with each use.
    """

    length: int = 0
    stream: int | None = None
    state: Bytes | None = None
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
        return self._add(_Sequence())

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
        longest = max(sequence.length + len(new) for sequence, (_, new) in zip(sequences, work, strict=True))
        if longest > self._most_cells:
            raise ValueError(f"a sequence of {longest} tokens is longer than the context of {self._most_cells}")
        if longest > self._context.cells:
            self._grow(longest)
        self._place(sequences)
        pieces = [
            Piece(_stream_of(sequence), sequence.length, new)
            for sequence, (_, new) in zip(sequences, work, strict=True)
        ]
        order = sorted(range(len(pieces)), key=lambda place: pieces[place].stream)
        rows = self._context.compute([pieces[place] for place in order])
        for sequence, (_, new) in zip(sequences, work, strict=True):
            sequence.length += len(new)
        if order == list(range(len(order))):
            return rows
        logits = np.empty_like(rows)
        logits[order] = rows
        return logits

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Let a sequence hold at most its first `length` tokens; how many that are, and none where it lacks some."""
        cut = self._sequences[sequence]
        cut.length = min(cut.length, length)
        if cut.length < cut.whole_from or (cut.stream is not None and not self._context.cut(cut.stream, cut.length)):
            cut.length = 0
        if not cut.length:
            cut.state, cut.whole_from = None, 0
            if cut.stream is not None:
                self._context.cut(cut.stream, 0)
        return cut.length

    def fork(self, source: SequenceId) -> SequenceId:
        """Begin a sequence with all that another holds."""
        original = self._sequences[source]
        state = original.state if original.stream is None else self._saved(original, original.stream)
        return self._add(_Sequence(original.length, state=state, whole_from=self._parked_from(original)))

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
        idle = [0 if lying is None else lying.length for lying in self._lying]
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
        if sequence.state is not None:
            self._context.restore(stream, sequence.state)
        self._context.cut(stream, sequence.length)
        sequence.stream, self._lying[stream], sequence.state = stream, sequence, None

    def _park(self, sequence: _Sequence, stream: int) -> None:
        """Take a sequence out of its stream."""
        sequence.state, sequence.whole_from = self._saved(sequence, stream), self._parked_from(sequence)
        self._leave(sequence, stream)

    def _leave(self, sequence: _Sequence, stream: int) -> None:
        self._context.cut(stream, 0)
        sequence.stream, self._lying[stream] = None, None

    def _saved(self, sequence: _Sequence, stream: int) -> Bytes | None:
        self._context.cut(stream, sequence.length)  # after a failure there may be more
        return self._context.save(stream) if sequence.length else None

    def _parked_from(self, sequence: _Sequence) -> int:
        """Return from which length on a sequence is whole after its state was saved."""
        return sequence.length if self._has_windows else 0

    def _grow(self, needed: int) -> None:
        """Go over to a context with larger streams."""
        grown = self._make_context(grown_cells(self._context.cells, needed, self._most_cells))
        for stream, lying in enumerate(self._lying):
            state = self._saved(lying, stream) if lying is not None else None
            if lying is not None and state is not None:
                grown.restore(stream, state)
                lying.whole_from = self._parked_from(lying)
        self._context.close()
        self._context = grown


def _stream_of(sequence: _Sequence) -> int:
    assert sequence.stream is not None
    return sequence.stream
