"""`botbridge replay`: a stored answer computed again, and where it differs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from botbridge.inference.replay import Divergence
    from botbridge.replaying import Replayed

NEWEST = "last"
SHOWN_OF_A_HASH = 12


def replay(
    turn: Annotated[str, typer.Argument(metavar="TURN_ID", help=f"Id of an answer, or {NEWEST}.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Go on with another revision, engine or version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute a stored answer again and compare it token by token; exit 0 when it is identical, else 1.

    Works beside the running bot, but loads the model a second time.
    """
    import asyncio

    from botbridge.cli.printing import note, prepare
    from botbridge.errors import BotBridgeError
    from botbridge.replaying import replay_answer

    if turn != NEWEST and not turn.isdecimal():
        raise typer.BadParameter(f"{turn!r} is neither a number nor {NEWEST!r}", param_hint="TURN_ID")
    settings = prepare(quiet=True)
    turn_id = None if turn == NEWEST else int(turn)
    try:
        found = asyncio.run(replay_answer(settings, turn_id, force=force, told=note))
    except BotBridgeError as error:
        if as_json:
            typer.echo(json.dumps({"turn": turn_id, "error": type(error).__name__, "detail": str(error)}, indent=2))
        raise
    typer.echo(json.dumps(_facts(found), indent=2) if as_json else "\n".join(_report(found)))
    raise typer.Exit(0 if found.is_identical else 1)


def _facts(found: Replayed) -> dict[str, Any]:
    """What was found, as JSON values; the position of a divergence counts from 1."""
    parted, origin = found.divergence, found.stored.provenance
    return {
        "turn": found.stored.id,
        "identical": found.is_identical,
        "same_prompt": found.has_same_prompt,
        "tokens": len(origin.completion_ids),
        "divergence": None if parted is None else _divergence(found, parted),
        "answers_before": found.answers_before,
        "astray": found.astray,
        "changes": list(found.changes),
        "model": found.now.model,
        "revision": found.now.revision,
        "engine": found.now.engine,
        "engine_version": found.now.engine_version,
    }


def _divergence(found: Replayed, parted: Divergence) -> dict[str, Any]:
    from botbridge.inference.replay import token_text

    def token(token_id: int | None) -> dict[str, Any] | None:
        return None if token_id is None else {"id": token_id, "text": token_text(found.directory, token_id)}

    return {
        "position": parted.position,
        "stored": token(parted.stored_id),
        "now": token(parted.now_id),
        # Without an end where no other token could have come; JSON has no number for that.
        "margin": None if parted.margin == math.inf else parted.margin,
        "cached_tokens": found.stored.provenance.cached_tokens,
        "cached_tokens_now": found.now.cached_tokens,
    }


def _report(found: Replayed) -> list[str]:
    """What was found, in sentences."""
    parted, origin = found.divergence, found.stored.provenance
    lines = [f"gone on although {change}" for change in found.changes]
    if not found.has_same_prompt:
        lines.append(_other_prompt(found))
    if parted is None:
        verdict = "identical" if found.is_identical else "the same answer"
        return [*lines, f"{verdict} ({len(origin.completion_ids)} tokens)"]
    lines.append(
        f"diverged at token {parted.position} of {len(origin.completion_ids)}: "
        f"{_shown(found, parted.stored_id)} was stored, {_shown(found, parted.now_id)} came now{_margin(found, parted)}"
    )
    if found.has_same_prompt and not found.changes:
        lines.append(_promise(found))
    return lines


def _promise(found: Replayed) -> str:
    if found.astray is not None:
        return (
            f"turn {found.astray}, which it went on from, came out otherwise already, or knew another part of its "
            "prompt than then: replay that one"
        )
    origin = found.stored.provenance
    return (
        f"{origin.cached_tokens} of its {origin.prompt_tokens} prompt tokens were known then, "
        f"{found.now.cached_tokens} now; the same tokens are promised where that is the same, or was no more than the "
        "system text, where INFERENCE__THREADS and CACHE_BYTES are those of then, and where the answer and those that "
        "it went on from ran alone; any other may differ where the margin is small"
    )


def _other_prompt(found: Replayed) -> str:
    suspects = "the chat template, the tokenizer, the context's length or an earlier turn"
    if found.stored.system is None:
        suspects = f"the system text, which was not kept then, {suspects}"
    before, now = found.stored.provenance.prompt_hash, found.now.prompt_hash
    return f"the prompt is another (hash {before[:SHOWN_OF_A_HASH]}, now {now[:SHOWN_OF_A_HASH]}): look at {suspects}"


def _margin(found: Replayed, parted: Divergence) -> str:
    if parted.margin is None or parted.margin == math.inf:
        return ""
    unit = "in logits" if found.now.sampling.temperature == 0 else "of 1"
    return f" by a margin of {parted.margin:.2g} {unit}"


def _shown(found: Replayed, token_id: int | None) -> str:
    from botbridge.inference.replay import token_text

    if token_id is None:
        return "the end"
    text = token_text(found.directory, token_id)
    return f"token {token_id}" if text is None else f"{text!r} ({token_id})"
