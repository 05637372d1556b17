"""What the worker is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the model is run.

    Attributes:
        engine: `auto`, `transformers`, `llamacpp`, `openvino`, `echo`, or
            `echo-faults` (tests only).
        device: `auto` (CUDA where torch has it), `cpu` or `cuda`.
        dtype: `auto` (bfloat16 where the CPU computes with it, else float32),
            `float32` or `bfloat16`.
        quantize: `none`, or `int8` for linear layers of 8-bit integers
            (transformers, on a CPU).
        threads: Computing threads; None takes one for each core that is wholly
            ours (`resources.usable_cores`).
        slots: How many answers run side by side; 1 or more.
        context_tokens: Upper bound of prompt and answer together; None takes
            what the model was made for.
        cache_bytes: How much memory finished conversations may keep for their
            next turn; 0 keeps nothing.
        prefill_tokens: How much of a prompt is read between two looks at
            cancels and deadlines.
        fastest_engines: What `auto` tries first: the engines that were measured
            with this model on this machine, fastest first.
    """

    engine: str = "transformers"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    threads: int | None = None
    slots: int = 1
    context_tokens: int | None = None
    cache_bytes: int = 512 * 1024 * 1024
    prefill_tokens: int = 256
    fastest_engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits for what, in seconds.

    Attributes:
        heartbeat_s: Pause between two heartbeats of the worker.
        silent_s: Without any message for so long, the worker hangs.
        stalled_s: With something running and not one token more for so long, it
            hangs, too; longer than the slowest prefill chunk.
        load_s: The longest time that loading the model may take.
        shutdown_s: How long the worker may take to leave by itself.
        retry_least_s: Pause before the first restart; doubles with each failure.
        retry_most_s: The longest pause between two restarts.
    """

    heartbeat_s: float = 0.5
    silent_s: float = 15.0
    stalled_s: float = 120.0
    load_s: float = 900.0
    shutdown_s: float = 3.0
    retry_least_s: float = 0.5
    retry_most_s: float = 30.0
