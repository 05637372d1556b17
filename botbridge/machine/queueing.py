"""How long people wait for a machine that answers several of them at once: formulas over measured rates.

People's messages come at random (a Poisson process). Up to `slots` answers are
made side by side and share the machine alike; all of them together have the
more tokens a second the more there are, but less than in proportion. Whoever
finds all slots taken stands in a line, first come first served. That is a
birth-death chain whose departures depend on how many are being answered, and
its distribution stands in closed form.

Covered: any number of slots, measured rates, prompts that take time from the
others' answers, answers of unequal lengths.
Not covered, because a simulation of the bot's own line shows how little it
changes (tests/machine/test_queueing.py): that a person has one answer at a
time, and that the line is fair by tokens. Not covered at all: what a platform
takes to carry a message, and people who give up when it takes long.

Sources: for the chain, Kleinrock 1975, "Queueing Systems", vol. 1, chapter 3;
for sharing at a rate that depends on the number of those who share, where the
distribution of that number needs only the mean length of an answer, Kelly 1979,
"Reversibility and Stochastic Networks", chapter 3, and Cohen 1979, "The multiple
phase service network with generalized processor sharing", Acta Informatica 12.
That holds while nobody waits. In the line, lengths that vary count as in Lee and
Longton 1959, "Queueing processes associated with airline passenger check-in",
Operational Research Quarterly 10: an approximation, and so are the tails.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple, Self

from botbridge.conversation.rates import GROWTH, PREFILL_TIMES

STREAMS: Final = (1, 2, 4, 8, 16)
"""For which numbers of streams a guess is made, as `bench` measures them."""

PROMPT_STEP_TOKENS: Final = 64
"""While others are answered a step of the engine reads so much of a prompt: `prefill_tokens` / `BESIDE_ANSWERS`."""

LATE: Final = 0.95
"""So many of all people wait no longer than the time that is called p95."""

LENGTHS: Final = 100
"""By so many answers of equal probability their distribution is represented where they come after a wait."""

NEGLIGIBLE: Final = 1e-6
PRECISION: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Speed:
    """What a machine does with a model.

    Attributes:
        decode_tokens_s: Answer tokens per second of all streams together, by the number of streams; not empty.
        prefill_tokens_s: Prompt tokens read per second; above 0.
    """

    decode_tokens_s: Mapping[int, float]
    prefill_tokens_s: float

    @classmethod
    def guessed(cls, tokens_s: float) -> Self:
        """Take the rest from what one stream has, by the ratios that the bot itself begins with (`rates`)."""
        return cls({streams: tokens_s * streams**GROWTH for streams in STREAMS}, PREFILL_TIMES * tokens_s)

    def together_tokens_s(self, streams: int) -> float:
        """Tokens per second of so many streams together.

        Between two measured numbers a power law: a straight line on paper with
        two logarithmic axes. Nothing is gained beyond the most streams that were
        measured; below the fewest each has its share of what those have.

        >>> speed = Speed({1: 40.0, 4: 160.0, 16: 320.0}, 1000.0)
        >>> [round(speed.together_tokens_s(streams)) for streams in (1, 2, 4, 8, 16, 32)]
        [40, 80, 160, 226, 320, 320]
        """
        known = sorted(self.decode_tokens_s)
        place = bisect_left(known, streams)
        if place == len(known):
            return self.decode_tokens_s[known[-1]]
        above = known[place]
        if place == 0:
            return self.decode_tokens_s[above] * streams / above
        below = known[place - 1]
        share = math.log(streams / below) / math.log(above / below)
        low, high = self.decode_tokens_s[below], self.decode_tokens_s[above]
        return float(low * (high / low) ** share)


@dataclass(frozen=True, slots=True)
class Talk:
    """What one message asks for.

    Attributes:
        prompt_tokens: What has to be read of it, in the mean: all that is not known from the turn before; 1 or more.
        reply_tokens: Tokens of the answer, in the mean; 1 or more.
        variation: Standard deviation of an answer's length, in means: 0 where all are alike, 1 as with an
            exponential distribution.
    """

    prompt_tokens: float
    reply_tokens: float
    variation: float = 1.0


@dataclass(frozen=True, slots=True)
class Waits:
    """What people meet at one load; times in seconds, from the message on.

    Attributes:
        busy: Share of what the machine can answer that is asked of it, 0 to 1.
        in_line: Share of the people who find all slots taken, 0 to 1.
        answered_at_once: Answers in the making, in the mean.
        line_s: Until a slot is free, in the mean.
        line_p95_s: Within this time 95 of 100 people have a slot; 0 where they all find one.
        first_word_s: Until the first word, in the mean.
        first_word_p95_s: Within this time 95 of 100 people have their first word.
        answer_s: Until the whole answer, in the mean.
        answer_p95_s: Within this time 95 of 100 people have the whole answer.
    """

    busy: float
    in_line: float
    answered_at_once: float
    line_s: float
    line_p95_s: float
    first_word_s: float
    first_word_p95_s: float
    answer_s: float
    answer_p95_s: float


class _Case(NamedTuple):
    """A share of the people, who wait in line for an exponential time of mean `line_s`, and then for `then_s`."""

    share: float
    line_s: float
    then_s: float

    def later_than(self, time_s: float) -> float:
        """Return the share of all people who are of this case and wait longer."""
        if time_s < self.then_s:
            return self.share
        return self.share * math.exp((self.then_s - time_s) / self.line_s) if self.line_s else 0.0


class _Lengths:
    """How long answers are, in means: log-normal, which never falls below 0 and has a long tail.

    Args:
        variation: Standard deviation; the logarithm then has a variance of ln(1 + variation^2).
    """

    def __init__(self, variation: float) -> None:
        spread = math.sqrt(math.log1p(variation * variation))
        self._logarithm = NormalDist(-spread * spread / 2.0, spread) if spread else None
        self._typical = [1.0]
        if self._logarithm is not None:
            places = [(place + 0.5) / LENGTHS for place in range(LENGTHS)]
            self._typical = [math.exp(self._logarithm.inv_cdf(place)) for place in places]

    def later_than(self, case: _Case, time_s: float) -> float:
        """Return the share of all people who are of this case and wait longer, where `then_s` is for a mean length."""
        if case.line_s or self._logarithm is None:
            ends = (
                case._replace(share=case.share / len(self._typical), then_s=case.then_s * length)
                for length in self._typical
            )
            return sum(end.later_than(time_s) for end in ends)
        return case.share * (1.0 - self._logarithm.cdf(math.log(time_s / case.then_s)))


@dataclass(frozen=True, slots=True)
class Service:
    """A machine and what is asked of it; all but how often.

    Attributes:
        slots: How many answers are made side by side; 1 or more.
    """

    speed: Speed
    talk: Talk
    slots: int

    @property
    def reading_s(self) -> float:
        """Seconds that one prompt takes of the whole machine: P / p, of its tokens and of those read per second."""
        return self.talk.prompt_tokens / self.speed.prefill_tokens_s

    def answers_s(self, streams: int) -> float:
        """Answers finished per second while so many are in the making.

        A prompt takes P / p seconds of the machine and gives the first token;
        the others of an answer of R tokens take (R - 1) / r(k), r(k) being what k
        streams have together: 1 / (P / p + (R - 1) / r(k)).
        """
        return 1.0 / (self.reading_s + (self.talk.reply_tokens - 1.0) / self.speed.together_tokens_s(streams))

    @property
    def most_s(self) -> float:
        """Messages a second from which on the line never ends: all slots busy, all the time."""
        return self.answers_s(self.slots)

    def waits(self, messages_s: float) -> Waits | None:
        """Return what people meet when so many messages come in a second; None where the line never ends.

        The line: with all slots taken answers end at the rate `most_s` and
        messages come at random, so that whoever finds it so waits for an
        exponential time of mean 1 / (most_s - messages_s); lengths other than
        exponential multiply it by `_length_factor`. The answer: made beside as
        many others as its person found, it takes its length times k / answers_s(k);
        the mean over all people is then what Little's law says of the chain.

        Args:
            messages_s: Above 0.
        """
        busy = messages_s / self.most_s
        if busy >= 1.0:
            return None
        found, in_line = self._chain(messages_s)
        line_s = self._length_factor() / (self.most_s - messages_s)
        met = [(share, 0.0, others + 1) for others, share in enumerate(found)] + [(in_line, line_s, self.slots)]
        met = [each for each in met if each[0] > NEGLIGIBLE]
        first_words = [
            _Case(share * part, wait_s, first_s)
            for share, wait_s, streams in met
            for part, first_s in self._first_words_s(streams)
        ]
        answers = [_Case(share, wait_s, streams / self.answers_s(streams)) for share, wait_s, streams in met]
        lengths = _Lengths(self.talk.variation)
        return Waits(
            busy=busy,
            in_line=in_line,
            answered_at_once=sum(others * share for others, share in enumerate(found)) + self.slots * in_line,
            line_s=in_line * line_s,
            line_p95_s=line_s * math.log(in_line / (1.0 - LATE)) if in_line > 1.0 - LATE else 0.0,
            first_word_s=_mean_s(first_words),
            first_word_p95_s=_p95_s(lambda time_s: sum(case.later_than(time_s) for case in first_words)),
            answer_s=_mean_s(answers),
            answer_p95_s=_p95_s(lambda time_s: sum(lengths.later_than(case, time_s) for case in answers)),
        )

    def _chain(self, messages_s: float) -> tuple[list[float], float]:
        """Return the shares of time with 0, 1, ... slots - 1 answers in the making, and that with all slots taken.

        Kleinrock's general solution: p(n) is proportional to messages_s^n /
        (answers_s(1) ... answers_s(n)), from `slots` on a geometric series.
        Who comes at random finds the chain in these shares.
        """
        weights = [1.0]
        for streams in range(1, self.slots + 1):
            weights.append(weights[-1] * messages_s / self.answers_s(streams))
        full = weights.pop() / (1.0 - messages_s / self.most_s)
        total = sum(weights) + full
        return [weight / total for weight in weights], full / total

    def _length_factor(self) -> float:
        """(1 + c^2) / 2, c being the variation of what a message takes; prompts are taken to be alike."""
        variation = self.talk.variation * (1.0 - self.reading_s * self.most_s)
        return (1.0 + variation**2) / 2.0

    def _first_words_s(self, streams: int) -> Iterator[tuple[float, float]]:
        """Yield shares, and the seconds from a free slot to the first word, beside `streams` - 1 other answers.

        Each of the others reads its own prompt with the probability that this
        is what it does at a random time, and is halfway through then; each of
        the rest has a token in every step in which a piece of our prompt is
        read, and in half a step before.
        """
        steps = math.ceil(self.talk.prompt_tokens / PROMPT_STEP_TOKENS) + 0.5
        others = streams - 1
        reads = self.reading_s * self.answers_s(others) if others else 0.0
        for readers in range(others + 1):
            writers = others - readers
            share = math.comb(others, readers) * reads**readers * (1.0 - reads) ** writers
            if share > NEGLIGIBLE:
                step_s = writers / self.speed.together_tokens_s(writers) if writers else 0.0
                yield share, self.reading_s * (1.0 + readers / 2.0) + steps * step_s


def most_messages_s(service: Service, are_short: Callable[[Waits], bool]) -> float:
    """Return the most messages a second at which waits are still short; 0 where they are not even for one person.

    Args:
        are_short: Judges waits; where it is false, it is so at every higher load.
    """
    low, high = 0.0, 1.0
    while high - low > PRECISION:
        middle = (low + high) / 2.0
        waits = service.waits(middle * service.most_s)
        low, high = (middle, high) if waits is not None and are_short(waits) else (low, middle)
    return low * service.most_s


def _mean_s(cases: Sequence[_Case]) -> float:
    return sum(case.share * (case.line_s + case.then_s) for case in cases)


def _p95_s(later_than: Callable[[float], float]) -> float:
    """Return the time that 95 of 100 do not exceed, by bisection.

    Args:
        later_than: The share of people who wait longer than a time above 0.
    """
    low_s, high_s = 0.0, 1.0
    while later_than(high_s) > 1.0 - LATE:
        high_s *= 2.0
    while high_s - low_s > PRECISION * high_s:
        middle_s = (low_s + high_s) / 2.0
        low_s, high_s = (middle_s, high_s) if later_than(middle_s) > 1.0 - LATE else (low_s, middle_s)
    return high_s
