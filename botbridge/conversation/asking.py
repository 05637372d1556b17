"""What the model is asked for a message: the conversation so far, and how to go on with it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from botbridge.answers import Prompt, RequestId, Role, Turn
from botbridge.conversation import scope
from botbridge.conversation.policy import Policy
from botbridge.conversation.room import OpenTurn
from botbridge.ports import History

CHARS_PER_TOKEN: Final = 8
"""More than any tokenizer here packs into a token on average, so that the worker decides what fits, not this."""

FALLBACK_CONTEXT_TOKENS: Final = 8192
"""For a prompt that is made just while the worker is away, so that nobody knows its model's context."""


async def prompt_of(turn: OpenTurn, history: History, policy: Policy, context_tokens: int | None) -> Prompt:
    """Return what to ask for a message.

    Args:
        turn: The message, taken up.
        history: Where what was said before lies.
        policy: System text, sampling, and how long an answer may take.
        context_tokens: What fits into the model; None while nobody knows.

    Raises:
        StorageUnavailable: what was said before cannot be read now.
    """
    row = turn.row
    recent = await history.recent(row.key, (context_tokens or FALLBACK_CONTEXT_TOKENS) * CHARS_PER_TOKEN)
    # Drawn here, so that the answer can be computed again from what is stored.
    sampling = row.incoming.sampling or policy.sampling
    if sampling.seed is None:
        sampling = replace(sampling, seed=secrets.randbits(31))
    return Prompt(
        request_id=RequestId(f"{row.id}-{turn.crashes}-{secrets.token_hex(4)}"),
        conversation=row.key.text,
        system=policy.system,
        turns=(*recent.turns, Turn(Role.USER, scope.spoken(row.incoming, row.key))),
        sampling=sampling,
        deadline_s=policy.limits.wait_s,
        adapter=recent.adapter,
    )
