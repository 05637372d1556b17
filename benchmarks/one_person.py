"""P3: one person, the same GGUF: our worker against bare llama.cpp and bare OpenVINO GenAI at their defaults.

python -m benchmarks.one_person [--rounds N] [--without-1b]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

from benchmarks.comparing import Goal, by_turns, conclude, ratio, say
from benchmarks.shapes import embedded, one_billion
from botbridge.inference.options import EngineOptions
from botbridge.machine.bench import Stopwatch, loaded
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores

TOKENS = 96
PROMPT_TOKENS = 24
CONTEXT_TOKENS = 2048


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_person")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-1b", action="store_true", help="the embedded model only")
    options = parser.parse_args()
    goals, details = [], {}
    for files in [embedded()] if options.without_1b else [embedded(), one_billion()]:
        say(f"P3: {files.model}, one person")
        with ExitStack() as stack:
            contenders = {
                "ours": stack.enter_context(_in_child(_serve_ours, files)),
                "bare llama.cpp": stack.enter_context(_in_child(_serve_llamacpp, files)),
            }
            try:
                contenders["bare OpenVINO"] = stack.enter_context(_in_child(_serve_openvino, files))
            except EOFError:  # its process has said why, and ended
                say("  bare OpenVINO GenAI is left out: it is not installed, or does not read this model")
            scores = by_turns(contenders, options.rounds)
        details[files.model] = scores
        others = [name for name in scores if name != "ours"]
        fastest = max(others, key=lambda name: sorted(scores[name])[len(scores[name]) // 2])
        median, pairs = ratio(scores, "ours", fastest)
        goals.append(Goal("P3", f"one person, {files.model}, against {fastest}", median, at_least=0.97, samples=pairs))
    conclude("p3", goals, {"tokens/s": details})


@contextmanager
def _in_child(serve: Callable[[ModelFiles, Connection], None], files: ModelFiles) -> Iterator[Callable[[], float]]:
    """Load in a process of its own; what is yielded times one answer there, in tokens per second."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(files, there), daemon=False)
    process.start()
    there.close()
    try:
        here.recv()

        def run() -> float:
            here.send("go")
            return float(here.recv())

        yield run
    finally:
        here.close()
        process.join(10)
        process.kill()


def _serve_ours(files: ModelFiles, line: Connection) -> None:
    asyncio.run(_ours(files, line))


async def _ours(files: ModelFiles, line: Connection) -> None:
    """Time the worker that `engine=auto` would start, through the client that the service uses."""
    options = EngineOptions(engine="auto", slots=1, context_tokens=CONTEXT_TOKENS)
    async with loaded(files, options) as generator:
        stopwatch = Stopwatch(generator)
        line.send("ready")
        with contextlib.suppress(EOFError):
            while await asyncio.to_thread(line.recv):
                line.send(await stopwatch.decode_tokens_s(1, TOKENS))


def _serve_llamacpp(files: ModelFiles, line: Connection) -> None:
    """Time the shortest loop that llama.cpp allows: decode one token, take the likeliest, again."""
    import llama_cpp  # noqa: PLC0415 - in its own process only

    quiet = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)  # held here: C calls it later
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(files.llamacpp_gguf).encode(), llama_cpp.llama_model_default_params()
    )
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = CONTEXT_TOKENS, usable_cores(), usable_cores()
    context = llama_cpp.llama_init_from_model(model, params)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    import numpy as np  # noqa: PLC0415

    def decode(tokens: list[int]) -> int:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (vocabulary,))
        return int(logits.argmax())

    line.send("ready")
    with contextlib.suppress(EOFError):
        while line.recv():
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)  # noqa: FBT003 - a C function
            token = decode(list(range(100, 100 + PROMPT_TOKENS)))
            begun_s = time.perf_counter()
            for _ in range(TOKENS):
                token = decode([token])
            line.send(TOKENS / (time.perf_counter() - begun_s))


def _serve_openvino(files: ModelFiles, line: Connection) -> None:
    """Time OpenVINO's own pipeline for one conversation, at its defaults."""
    import numpy as np  # noqa: PLC0415 - in its own process only
    import openvino  # noqa: PLC0415
    import openvino_genai  # noqa: PLC0415

    # As ids: its own tokenizer does not read every vocabulary.
    prompt = openvino.Tensor(np.arange(100, 100 + PROMPT_TOKENS, dtype=np.int64)[None])
    pipeline = openvino_genai.LLMPipeline(str(files.gguf), "CPU")
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample = TOKENS, True, False
    line.send("ready")
    with contextlib.suppress(EOFError):
        while line.recv():
            found = pipeline.generate(prompt, config).perf_metrics
            line.send(found.get_throughput().mean)


if __name__ == "__main__":
    main()
