"""P1: the transformers engine against transformers' own ways to generate; same model, bfloat16, same tokens.

python -m benchmarks.transformers_batch [--rounds N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.comparing import Goal, by_turns, conclude, ratio, say
from benchmarks.engine import QUESTIONS, engine_of, tokens_per_second
from benchmarks.shapes import embedded
from botbridge.answers import Role, Turn
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions

TOKENS = 64
USERS = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transformers_batch")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    files = embedded()
    say("P1: transformers, 8 people and 1 person, 64 tokens each")
    engine = engine_of(load_transformers, files, EngineOptions(dtype="bfloat16", device="cpu", cache_bytes=0))
    theirs = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.bfloat16).eval()  # type: ignore[no-untyped-call]
    prompts = [engine.prompt("", (Turn(Role.USER, question),), TOKENS).ids for question in QUESTIONS]
    scores = by_turns(
        {
            "ours, 8": tokens_per_second(engine, USERS, TOKENS),
            "generate, 8": lambda: _timed(USERS, lambda: [_generate(theirs, ids) for ids in prompts]),
            "generate_batch, 8": lambda: _timed(USERS, lambda: _generate_batch(theirs, prompts)),
            "ours, 1": tokens_per_second(engine, 1, TOKENS),
            "generate, 1": lambda: _timed(1, lambda: _generate(theirs, prompts[0])),
        },
        rounds,
    )
    goals = []
    for what, ours, other, wanted in (
        ("8 people, against generate one after another", "ours, 8", "generate, 8", 4.0),
        ("8 people, against generate_batch", "ours, 8", "generate_batch, 8", 3.0),
        ("1 person, against generate", "ours, 1", "generate, 1", 1.3),
    ):
        median, pairs = ratio(scores, ours, other)
        goals.append(Goal("P1", f"transformers engine: {what}", median, at_least=wanted, samples=pairs))
    conclude("p1", goals, {"model": files.model, "revision": files.revision, "tokens/s": scores})


def _timed(users: int, run: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    run()
    return users * TOKENS / (time.perf_counter() - begun_s)


def _generate(model: Any, ids: tuple[int, ...]) -> object:  # noqa: ANN401 - transformers' own is untyped
    return model.generate(torch.tensor([ids]), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)


def _generate_batch(model: Any, prompts: list[tuple[int, ...]]) -> object:  # noqa: ANN401 - as above
    # An end that no vocabulary holds: every answer has all of its tokens.
    config = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)  # type: ignore[no-untyped-call]
    return model.generate_batch(inputs=[list(ids) for ids in prompts], generation_config=config, progress_bar=False)


if __name__ == "__main__":
    main()
