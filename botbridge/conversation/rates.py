"""How fast this machine answers and what an answer costs: learnt from every answer that it gave."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

SMOOTHING = 0.2
"""How much the newest answer weighs against all before it; after ten answers the eleventh last counts a tenth."""

GUESSED_DECODE_TOKENS_S = 15.0
GUESSED_REPLY_TOKENS = 150.0
GUESSED_TOKENS_PER_CHAR = 0.3
"""Until the first answer: a model of a billion weights on two cores, and English."""

PREFILL_TIMES = 10
"""So many times faster than one stream is written a prompt is read, where it was not measured.

Measured on two cores: 5 to 11 times by engines for GGUF, 27 to 44 times by torch.
"""

GROWTH = 0.55
"""Between measured numbers of streams: k streams have k^0.55 times the tokens of one.

Measured on two cores over five engines: 4 streams have 1.9 to 3 times, 16 streams 3.9 to 5 times the tokens of one.
"""

LEAST_PREFILL_TOKENS = 64
LEAST_DECODE_TOKENS = 8
"""Fewer tokens measure the pauses between the steps, not the steps."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one finished answer took.

    Attributes:
        prompt_chars: Characters of the system text and of the turns that were used.
        prompt_tokens: Tokens of the whole prompt.
        computed_tokens: Those that were not known from before.
        prefill_s: From the start to the first words, in seconds.
        completion_tokens: Tokens of the answer.
        decode_tokens: Those that came after the first words.
        decode_s: From the first words to the end, in seconds.
        streams: How many answers ran side by side, this one counted.
    """

    prompt_chars: int
    prompt_tokens: int
    computed_tokens: int
    prefill_s: float
    completion_tokens: int
    decode_tokens: int
    decode_s: float
    streams: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What is known of this machine with this model; None and nothing where it was not measured yet.

    Attributes:
        prefill_tokens_s: Prompt tokens read per second.
        decode_tokens_s: Answer tokens per second of all streams together, by the number of streams.
        reply_tokens: Mean length of an answer.
        tokens_per_char: Prompt tokens per character, the template's own tokens included.
    """

    prefill_tokens_s: float | None = None
    decode_tokens_s: Mapping[int, float] = field(default_factory=dict)
    reply_tokens: float | None = None
    tokens_per_char: float | None = None

    def together_tokens_s(self, streams: int) -> float:
        """Tokens per second of so many streams together: as measured, else from the nearest measured number.

        >>> Rates(decode_tokens_s={1: 40.0, 4: 100.0}).together_tokens_s(4)
        100.0
        >>> round(Rates(decode_tokens_s={1: 40.0}).together_tokens_s(4))
        86
        """
        if not self.decode_tokens_s:
            return float(GUESSED_DECODE_TOKENS_S * streams**GROWTH)
        nearest = min(self.decode_tokens_s, key=lambda known: abs(math.log(known / streams)))
        return float(self.decode_tokens_s[nearest] * (streams / nearest) ** GROWTH)

    def prompt_weight(self, slots: int) -> float:
        """How many reply tokens could be written while one prompt token is read, all slots being busy; at most 1.

        >>> Rates(prefill_tokens_s=1000.0, decode_tokens_s={8: 100.0}).prompt_weight(8)
        0.1
        """
        prefill_tokens_s = self.prefill_tokens_s or PREFILL_TIMES * self.together_tokens_s(1)
        return min(self.together_tokens_s(slots) / prefill_tokens_s, 1.0)

    def prompt_tokens(self, chars: int) -> float:
        """About how many tokens a text of so many characters has."""
        return chars * (self.tokens_per_char or GUESSED_TOKENS_PER_CHAR)

    def beside(self, measured: Rates) -> Rates:
        """These rates, and where they know nothing what was measured.

        >>> Rates(decode_tokens_s={1: 70.0}).beside(Rates(900.0, {1: 80.0, 4: 200.0})).decode_tokens_s
        {1: 70.0, 4: 200.0}
        """
        return Rates(
            self.prefill_tokens_s or measured.prefill_tokens_s,
            {**measured.decode_tokens_s, **self.decode_tokens_s},
            self.reply_tokens or measured.reply_tokens,
            self.tokens_per_char or measured.tokens_per_char,
        )

    def learn(self, seen: Observation) -> Rates:
        """The rates after one more answer."""
        prefill, decode = self.prefill_tokens_s, dict(self.decode_tokens_s)
        if seen.computed_tokens >= LEAST_PREFILL_TOKENS and seen.prefill_s > 0:
            prefill = blended(prefill, seen.computed_tokens / seen.prefill_s)
        if seen.decode_tokens >= LEAST_DECODE_TOKENS and seen.decode_s > 0:
            together = seen.streams * seen.decode_tokens / seen.decode_s
            decode[seen.streams] = blended(decode.get(seen.streams), together)
        ratio = self.tokens_per_char
        if seen.prompt_chars > 0 and seen.prompt_tokens > 0:
            ratio = blended(ratio, seen.prompt_tokens / seen.prompt_chars)
        reply = blended(self.reply_tokens, max(seen.completion_tokens, 1))
        return replace(
            self, prefill_tokens_s=prefill, decode_tokens_s=decode, reply_tokens=reply, tokens_per_char=ratio
        )

    def to_json(self) -> dict[str, Any]:
        """The rates as JSON values; `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: Something is missing, or no positive number.
        """
        return cls(
            prefill_tokens_s=_rate(found["prefill_tokens_s"]),
            decode_tokens_s={int(streams): _positive(rate) for streams, rate in found["decode_tokens_s"].items()},
            reply_tokens=_rate(found["reply_tokens"]),
            tokens_per_char=_rate(found["tokens_per_char"]),
        )


def blended(former: float | None, newest: float) -> float:
    """The running mean after one more value: an exponential average, which begins with the first value.

    >>> blended(None, 10.0), blended(10.0, 20.0)
    (10.0, 12.0)
    """
    return newest if former is None else former + SMOOTHING * (newest - former)


def encode_rates(rates: Rates, model: str, revision: str, engine: str) -> str:
    """Write rates with what they were measured on, as kept in the state under the name `rates`.

    The form, with None where nothing was measured::

        {"model": "smollm2-135m-instruct", "revision": "…", "engine": "llamacpp",
         "rates": {"prefill_tokens_s": 1380.0, "decode_tokens_s": {"1": 223.0, "4": 414.0},
                   "reply_tokens": 96.0, "tokens_per_char": 0.27}}
    """
    facts = {"model": model, "revision": revision, "engine": engine, "rates": rates.to_json()}
    return json.dumps(facts)


def decode_rates(text: str | None, model: str, revision: str, engine: str) -> Rates | None:
    """Read what `encode_rates` wrote; None where it is about something else, damaged or not there."""
    try:
        found = json.loads(text or "")
        if (found["model"], found["revision"], found["engine"]) != (model, revision, engine):
            return None
        return Rates.from_json(found["rates"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _rate(value: Any) -> float | None:  # noqa: ANN401 - JSON holds anything
    return None if value is None else _positive(value)


def _positive(value: Any) -> float:  # noqa: ANN401 - as above
    number = float(value)
    if not (0 < number < math.inf):
        raise ValueError(f"{number} is no rate")
    return number
