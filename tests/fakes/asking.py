"""Prompts and their answers, for tests of text generators."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from botbridge.answers import Completion, Delta, Prompt, RequestId, Role, Sampling, Started, Turn
from botbridge.ports import TextGenerator

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A whole answer."""

    text: str
    started: Started
    completion: Completion


def prompt_of(
    *texts: str, system: str = "", deadline_s: float = 30, conversation: str = "test", sampling: Sampling | None = None
) -> Prompt:
    """A prompt whose turns are said by the person and the model in turn, the last by the person."""
    roles = [Role.USER, Role.ASSISTANT] * len(texts)
    turns = tuple(Turn(role, text) for role, text in zip(roles[: len(texts)], texts, strict=True))
    return Prompt(
        RequestId(f"r{next(_numbers)}"), conversation, system, turns, sampling or Sampling(seed=1), deadline_s
    )


async def ask(generator: TextGenerator, prompt: Prompt) -> Asked:
    """Read an answer to its end."""
    started, completion, texts = None, None, []
    async for event in generator.stream(prompt):
        match event:
            case Started():
                started = event
            case Delta(text=text):
                texts.append(text)
            case Completion():
                completion = event
    assert started is not None
    assert completion is not None
    return Asked("".join(texts), started, completion)


async def until_state(generator: TextGenerator, state: str) -> None:
    """Return when the generator is in this state."""
    while generator.status().state != state:
        await generator.changed()
