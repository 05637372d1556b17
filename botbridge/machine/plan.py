"""What a load means for this machine: how long people wait, how many it serves, memory, and what it all costs.

Pure: what was measured, asked for and priced comes in, a `Plan` comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from botbridge.errors import NotMeasured
from botbridge.inference.choice import NO_MODEL_HERE
from botbridge.machine.costs import Costs, Terms, costs
from botbridge.machine.figures import EngineFigures, Report
from botbridge.machine.prices import PriceTable
from botbridge.machine.queueing import Service, Speed, Waits, most_messages_s
from botbridge.models.facts import CatalogueEntry
from botbridge.models.fitting import Judgement
from botbridge.models.footprint import BITS_PER_WEIGHT
from botbridge.sentences import Sentence, either

SECONDS_AN_HOUR: Final = 3600.0

PEAK_SHARE: Final = 0.125
"""The busiest hour has an eighth of a day's messages; 1/24 would be no peak at all.

Source: of a day's telephone calls a large city has an eighth in one hour, a
small one a tenth: American School of Correspondence, "Cyclopedia of Telephony
and Telegraphy", vol. 2, "Busy-Hour Ratio".
"""

WAIT_S: Final = 10.0
"""About the limit for keeping somebody's attention.

Source: Nielsen 1993, "Usability Engineering", chapter 5, on three limits of response times.
"""

NOT_MEASURED_BY_BENCH: Final = NO_MODEL_HERE | {"auto"}


@dataclass(frozen=True, slots=True)
class Load:
    """Who writes how much.

    Attributes:
        users: People; 1 or more.
        messages_per_day: Of each of them; above 0.
        peak_share: Of a day's messages those of its busiest hour, above 0 to 1.
        history_tokens: Turns that go with a message and are known here from before; elsewhere they are sent and paid.
    """

    users: int
    messages_per_day: float
    peak_share: float = PEAK_SHARE
    history_tokens: float = 0.0

    @property
    def messages_a_day(self) -> float:
        """Of all people together."""
        return self.users * self.messages_per_day

    @property
    def peak_messages_s(self) -> float:
        """Messages a second in the busiest hour, of all people together."""
        return self.messages_a_day * self.peak_share / SECONDS_AN_HOUR


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast this machine is, and how that is known.

    Attributes:
        engine: Whose figures these are; None where the operator named a speed.
        resident_bytes: What its worker occupied; None where that was not measured.
    """

    speed: Speed
    engine: str | None = None
    resident_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Up to where waits are short enough.

    Attributes:
        wait_s: 95 of 100 people have their first word within this time.
        users: So many people, each writing as much as was said; 0 where not even one.
        messages_a_day: Of all of them together.
        machines: How many machines like this one the load needs; None where no number of them is enough.
    """

    wait_s: float
    users: int
    messages_a_day: int
    machines: int | None


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """Whether the model fits, and what its worker was measured to take; None where it is not known.

    Attributes:
        is_elsewhere: No model is computed here, and the machine holds the service alone.
    """

    judgement: Judgement | None = None
    resident_bytes: int | None = None
    has_bytes: int | None = None
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to "how long will people wait, and what will it cost".

    Attributes:
        waits: In the busiest hour; None where the line would never end.
    """

    model: str
    measured: Measured
    load: Load
    service: Service
    waits: Waits | None
    limit: Limit
    memory: PlannedMemory
    costs: Costs


def make_plan(
    model: str,
    measured: Measured,
    load: Load,
    service: Service,
    *,
    memory: PlannedMemory,
    prices: PriceTable,
    terms: Terms,
    wait_s: float = WAIT_S,
) -> Plan:
    """Put everything together; `service` goes as fast as `measured`."""
    return Plan(
        model,
        measured,
        load,
        service,
        service.waits(load.peak_messages_s),
        serving_limit(service, load, wait_s),
        memory,
        costs(
            prices,
            terms,
            messages_a_day=load.messages_a_day,
            tokens_a_message=load.history_tokens + service.talk.prompt_tokens + service.talk.reply_tokens,
        ),
    )


def measured_speed(report: Report | None, engine: str, model: str, slots: int) -> Measured:
    """Return what `botbridge bench` found.

    Args:
        engine: Of the settings; one that `bench` does not measure means the fastest.
        slots: For so many answers side by side.

    Raises:
        NotMeasured: It found nothing of this model or this engine.
    """
    able: dict[str, EngineFigures] = {}
    if report is not None:
        able = {figures.engine: figures for figures in report.engines if figures.engine in report.fastest_first}
    if report is None or not able:
        raise NotMeasured(
            Sentence(
                "{model} was not measured on this machine: run {command}, or say {option} to plan without",
                model=model,
                command="`botbridge bench`",
                option="--tokens-per-s N",
            )
        )
    name = report.order_for(slots)[0] if engine in NOT_MEASURED_BY_BENCH else engine
    if name not in able:
        raise NotMeasured(
            Sentence(
                "the engine {engine} was not measured with {model}: run {command}, or take one that was: {options}",
                engine=name,
                model=model,
                command="`botbridge bench`",
                options=either(f"--engine {each}" for each in able),
            )
        )
    found = able[name]
    return Measured(Speed(found.decode_tokens_s, found.prefill_tokens_s), name, found.resident_bytes or None)


def serving_limit(service: Service, load: Load, wait_s: float) -> Limit:
    """Return how many people are served so that 95 of 100 have their first word within a time."""
    most_s = most_messages_s(service, lambda waits: waits.first_word_p95_s <= wait_s)
    messages_a_day = most_s * SECONDS_AN_HOUR / load.peak_share
    machines = math.ceil(load.messages_a_day / messages_a_day) if messages_a_day else None
    return Limit(wait_s, int(messages_a_day / load.messages_per_day), int(messages_a_day), machines)


def known_quantizations(entry: CatalogueEntry) -> tuple[str, ...]:
    """Return those whose size is published or follows from the number of weights."""
    return tuple(dict.fromkeys([*(file.quantization for file in entry.files), *BITS_PER_WEIGHT]))
