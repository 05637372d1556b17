"""Fields of a question that some OpenAI-compatible servers refuse, and what is said without them.

Covered: refusals that name the field in words (OpenAI, Azure, Groq, NVIDIA,
Google) or as a place in the body (Mistral, and all that check with pydantic).
Not covered: servers that refuse without a word of why. A message that quotes
a person may name a field, too; then the server is asked without it, which
changes how the answer is sampled or counted at most.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

OPTIONAL: Final = ("user", "prompt_cache_key", "stream_options", "seed", "top_p", "temperature", "max_tokens")
"""What a question can do without, the least needed first; `max_completion_tokens` is said instead of `max_tokens`."""

# Source, each as servers answered: OpenAI and Azure "Unsupported parameter: 'max_tokens' is not supported with this
# model", https://github.com/griptape-ai/ComfyUI-Griptape/issues/312, and "Unrecognized request argument supplied";
# Mistral "extra_forbidden", https://github.com/crewAIInc/crewAI/issues/60; Groq "property 'prompt_cache_key' is
# unsupported", https://github.com/eigent-ai/eigent/issues/1827; Google 'Unknown name "prompt_cache_key": Cannot find
# field', https://github.com/liliMozi/openhanako/issues/2494; NVIDIA "Unsupported parameter(s)",
# https://github.com/liliMozi/openhanako/issues/2512.
_REFUSAL: Final = re.compile(
    r"unsupported|not supported|does not support|unrecogni[sz]ed|unknown (name|field|parameter|argument)"
    r"|extra_forbidden|not permitted|not allowed|cannot both",
    re.IGNORECASE,
)


def refused_field(status: int, message: str, sent: Collection[str]) -> str | None:
    """Return the field for which a server has refused a question; None where it did so for something else.

    Of several that it names it is the least needed one: where two exclude one
    another the other stays, and where all are unwanted the next refusal says so.

    Args:
        status: HTTP status.
        message: All that the server says of it.
        sent: The fields of the question that it can do without.

    >>> refused_field(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", OPTIONAL)
    'max_tokens'
    >>> refused_field(400, "Conversation roles must alternate user/assistant", OPTIONAL)
    """
    if status not in {400, 422} or not _REFUSAL.search(message):
        return None
    return next((name for name in OPTIONAL if name in sent and re.search(rf"\b{name}\b", message)), None)
