"""What the settings files beside a model say: which tokens end an answer, and how long its context is."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

FALLBACK_CONTEXT_TOKENS: Final = 2048
"""For models whose configuration names no limit."""


def end_ids(directory: Path) -> set[int]:
    """Read the ids that end an answer from a model's generation settings; there may be none."""
    try:
        settings = json.loads((directory / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        return set()
    ids = settings.get("eos_token_id") if isinstance(settings, dict) else None
    listed: Collection[object] = ids if isinstance(ids, list) else [ids]
    return {token_id for token_id in listed if isinstance(token_id, int)}


def context_limit(directory: Path) -> int:
    """Read how many tokens a model was made for.

    Raises:
        ValueError: Its configuration is damaged.
    """
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except FileNotFoundError:
        return FALLBACK_CONTEXT_TOKENS
    text = config.get("text_config") if isinstance(config, dict) else None
    for settings in (config, text):
        limit = settings.get("max_position_embeddings") if isinstance(settings, dict) else None
        if isinstance(limit, int):
            return limit
    return FALLBACK_CONTEXT_TOKENS
