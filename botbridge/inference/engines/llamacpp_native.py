"""llama.cpp's C functions behind two objects: the weights, and a context with its streams.

Only what `LlamaCppModel` needs, and the one place that knows pointers. A stream
is a row of cells in the context's memory, one cell a token, for one sequence at
a time; a sequence attends over the cells of its own stream only.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from botbridge.inference.sampling import Logits

CELLS_STEP = 256
"""llama.cpp makes the cells of a stream a multiple of this. Source: `llama_context`, `GGML_PAD(n_ctx, 256)`."""

MOST_STREAMS = 256
"""Source: `LLAMA_MAX_SEQ` in llama.cpp's llama-cparams.h."""

WARNING, ERROR, CONTINUED = 3, 4, 5  # Source: `enum ggml_log_level` in ggml.h
KEPT_LINES = 8

Bytes = npt.NDArray[np.uint8]

_INT8, _UINT8, _INT32 = (ctypes.POINTER(kind) for kind in (ctypes.c_int8, ctypes.c_uint8, ctypes.c_int32))
_INT32_LISTS = ctypes.POINTER(_INT32)


class LlamaCppFailed(Exception):
    """llama.cpp refused or failed; the text says what at, with llama.cpp's own words."""


class NativeLog:
    """Takes what llama.cpp and ggml would print, and keeps the last errors for whoever asks."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._level = 0
        self._callback = llama_cpp.llama_log_callback(self._take)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def take_errors(self) -> str:
        """Return the errors since the last call, in one line."""
        text = " ".join(" ".join(self._lines).split())
        self._lines.clear()
        return text or "no reason was given"

    def _take(self, level: int, text: bytes, _: object) -> None:
        self._level = self._level if level == CONTINUED else level
        if self._level == ERROR:
            self._lines.append(text.decode("utf-8", "replace"))


@cache
def native_log() -> NativeLog:
    """Return the process's one log: llama.cpp has a single place to write to, and must never lose it."""
    return NativeLog()


class Weights:
    """A model's weights, its vocabulary and what it is.

    Attributes:
        vocabulary: How many token ids there are.
        trained_tokens: The context that the model was trained with.
        size_bytes: Of all weights together.
        can_cut: False for models with a state that has no past to go back to.
        has_windows: Some of its layers look back over a few tokens only.
    """

    def __init__(self, path: Path) -> None:
        """Load.

        Raises:
            LlamaCppFailed: The file is damaged, or llama.cpp does not know the model.
        """
        log = native_log()
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        # Mapped, the file would stay in memory beside the copy in which most matrices are laid out for the CPU, and
        # to shorten it would end this process.
        parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        pointer = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if pointer is None:
            raise LlamaCppFailed(f"llama.cpp cannot load {path.name}: {log.take_errors()}")
        weakref.finalize(self, llama_cpp.llama_model_free, pointer)
        self.pointer = pointer
        self._vocabulary = llama_cpp.llama_model_get_vocab(pointer)
        self.vocabulary: int = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        self.trained_tokens: int = llama_cpp.llama_model_n_ctx_train(pointer)
        self.size_bytes: int = llama_cpp.llama_model_size(pointer)
        self.has_windows: bool = llama_cpp.llama_model_n_swa(pointer) > 0
        self.can_cut = not (llama_cpp.llama_model_is_recurrent(pointer) or llama_cpp.llama_model_is_hybrid(pointer))

    def spelling(self, token_id: int) -> str:
        """Return a token as the file spells it."""
        text: bytes = llama_cpp.llama_vocab_get_text(self._vocabulary, token_id)
        return text.decode("utf-8", "replace")

    def end_ids(self) -> set[int]:
        """Return the tokens that the file names as ends of text or of a turn."""
        named = {llama_cpp.llama_vocab_eos(self._vocabulary), llama_cpp.llama_vocab_eot(self._vocabulary)}
        return {token_id for token_id in named if token_id >= 0}


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens to append to what a stream holds.

    Attributes:
        start: How many tokens the stream holds so far.
    """

    stream: int
    start: int
    tokens: Sequence[int]


class Context:
    """Streams, and the computing over them.

    Attributes:
        streams: How many sequences it holds at one time.
        cells: How many tokens each of them may have.
    """

    def __init__(self, weights: Weights, *, streams: int, cells: int, batch_tokens: int, threads: int) -> None:
        """Take the memory for all streams.

        Args:
            weights: Of the model.
            streams: At most MOST_STREAMS.
            cells: A multiple of CELLS_STEP.
            batch_tokens: The most that is computed in one go.
            threads: How many compute.

        Raises:
            LlamaCppFailed: There is not enough memory.
        """
        self.streams, self.cells = streams, cells
        self._weights = weights  # holds them until the context is gone
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = streams * cells
        parameters.n_seq_max = parameters.n_outputs_max = streams
        parameters.n_batch = parameters.n_ubatch = batch_tokens
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.kv_unified = False
        parameters.swa_full = True
        parameters.no_perf = True
        pointer = llama_cpp.llama_init_from_model(weights.pointer, parameters)
        if pointer is None:
            raise LlamaCppFailed(
                f"llama.cpp gets no memory for {streams} streams of {cells} tokens: {native_log().take_errors()}"
            )
        self._close = weakref.finalize(self, llama_cpp.llama_free, pointer)
        self._pointer = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._batch = _Batch(llama_cpp.llama_n_batch(pointer))

    def close(self) -> None:
        """Give the memory back."""
        self._close()

    def compute(self, pieces: Sequence[Piece]) -> Logits:
        """Append pieces to their streams; (pieces, V) float32, what may follow the last token of each.

        Args:
            pieces: One for a stream, in the order of their streams.

        Raises:
            LlamaCppFailed: The streams hold anything beyond their former tokens.
        """
        rows = np.empty((len(pieces), self._weights.vocabulary), np.float32)
        done = 0
        for filled, wanted in self._batch.fill(pieces):
            code = llama_cpp.llama_decode(self._pointer, filled)
            if code != 0:
                raise LlamaCppFailed(f"llama.cpp does not compute these tokens ({code}): {native_log().take_errors()}")
            if wanted:
                pointer = llama_cpp.llama_get_logits(self._pointer)
                rows[done : done + wanted] = np.ctypeslib.as_array(pointer, (wanted, rows.shape[1]))
                done += wanted
        return rows

    def cut(self, stream: int, length: int) -> bool:
        """Let a stream hold its first tokens only; False, and nothing is changed, where the model cannot."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, stream, length, -1))

    def save(self, stream: int) -> Bytes:
        """Return what a stream holds, to be kept anywhere."""
        size_bytes = llama_cpp.llama_state_seq_get_size(self._pointer, stream)
        state = np.empty(size_bytes, np.uint8)
        written = llama_cpp.llama_state_seq_get_data(self._pointer, state.ctypes.data_as(_UINT8), size_bytes, stream)
        if written != size_bytes:
            raise LlamaCppFailed(f"llama.cpp does not give the state of a sequence: {native_log().take_errors()}")
        return state

    def restore(self, stream: int, state: Bytes) -> None:
        """Let a stream hold what `save` gave, of this context or of another one with as many streams."""
        read = llama_cpp.llama_state_seq_set_data(self._pointer, state.ctypes.data_as(_UINT8), state.size, stream)
        if read != state.size:
            raise LlamaCppFailed(f"llama.cpp does not take a sequence's state back: {native_log().take_errors()}")


class _Batch:
    """llama.cpp's batch over arrays of ours, so that filling it costs a few slices."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._tokens, self._positions, self._streams = (np.zeros(capacity, np.int32) for _ in range(3))
        self._wanted = np.zeros(capacity, np.int8)
        self._counts = np.ones(capacity, np.int32)
        # llama.cpp wants a list of sequences for each token; ours has one element and lies in `_streams`.
        self._addresses = self._streams.ctypes.data + self._streams.itemsize * np.arange(capacity, dtype=np.uintp)
        self._native = llama_cpp.llama_batch(
            0,
            self._tokens.ctypes.data_as(_INT32),
            None,
            self._positions.ctypes.data_as(_INT32),
            self._counts.ctypes.data_as(_INT32),
            self._addresses.ctypes.data_as(_INT32_LISTS),
            self._wanted.ctypes.data_as(_INT8),
        )

    def fill(self, pieces: Sequence[Piece]) -> Iterator[tuple[Any, int]]:
        """Yield the batch, filled, as often as it takes, and how many pieces end in it each time."""
        tokens = [token for piece in pieces for token in piece.tokens]
        positions = [place for piece in pieces for place in range(piece.start, piece.start + len(piece.tokens))]
        streams = [piece.stream for piece in pieces for _ in piece.tokens]
        ends = np.cumsum([len(piece.tokens) for piece in pieces]) - 1
        for begin in range(0, len(tokens), self._capacity):
            end = min(begin + self._capacity, len(tokens))
            count = end - begin
            self._tokens[:count] = tokens[begin:end]
            self._positions[:count] = positions[begin:end]
            self._streams[:count] = streams[begin:end]
            inside = ends[(begin <= ends) & (ends < end)] - begin
            self._wanted[:count] = 0
            self._wanted[inside] = 1
            self._native.n_tokens = count
            yield self._native, len(inside)
