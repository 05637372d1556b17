"""Text for Discord, which shows Markdown by itself."""

from __future__ import annotations

from botbridge.messages import Part
from botbridge.platforms.discord.translate import shown
from botbridge.platforms.splitting import split, utf16_units

MESSAGE_LIMIT = 2000
"""Characters that a message holds, counted as UTF-16 units here, the stricter reading.

Source: https://discord.com/developers/docs/resources/message#create-message
"""

_CUT = "…"


def render(text: str) -> tuple[Part, ...]:
    """Cut Markdown into messages; blank text is one blank part, which Discord refuses."""
    texts = split(shown(text), MESSAGE_LIMIT, utf16_units)
    return tuple(Part(text) for text in texts) or (Part(""),)


def fit(text: str) -> str:
    """As much of a text as one message holds."""
    parts = split(shown(text), MESSAGE_LIMIT, utf16_units)
    if len(parts) < 2:  # noqa: PLR2004 - one message or none
        return "".join(parts)
    return split(shown(text), MESSAGE_LIMIT - len(_CUT), utf16_units)[0] + _CUT
