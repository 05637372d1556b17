"""A plan in words, and as JSON values in the form of docs/schemas/plan.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from botbridge.machine.criteria import criteria, seconds
from botbridge.machine.money import Money
from botbridge.machine.plan import Plan, PlannedMemory
from botbridge.models.facts import Source
from botbridge.models.fitting import SERVICE_BYTES
from botbridge.sentences import Sentence, clauses
from botbridge.sizes import size_text

SECONDS_AN_HOUR: Final = 3600.0


def summary(plan: Plan) -> Iterator[str]:
    """Yield what a reader wants to know first: speed, load, waits, people served, memory; a line each."""
    speed, service, load = plan.measured.speed, plan.service, plan.load
    engine = plan.measured.engine
    if engine is None:
        how = Sentence("{model}, as you say; the rest from usual ratios", model=plan.model)
    else:
        how = Sentence("{model} with {engine}, measured here", model=plan.model, engine=engine)
    yield Sentence(
        "{how}: {one} tokens/s for one answer, {together} for {slots} at once, prompts {prompts} tokens/s",
        how=how,
        one=f"{speed.together_tokens_s(1):,.0f}",
        together=f"{speed.together_tokens_s(service.slots):,.0f}",
        slots=service.slots,
        prompts=f"{speed.prefill_tokens_s:,.0f}",
    )
    yield Sentence(
        "load: {users} people with {messages} messages a day each, {all} in all, {peak} in the busiest hour; "
        "answers of {tokens} tokens",
        users=f"{load.users:,}",
        messages=f"{load.messages_per_day:g}",
        all=f"{load.messages_a_day:,.0f}",
        peak=f"{load.peak_messages_s * SECONDS_AN_HOUR:,.0f}",
        tokens=f"{service.talk.reply_tokens:g}",
    )
    yield _waits_line(plan)
    yield Sentence(
        "people served so that 95 of 100 have their first word within {wait}: {users}, or {messages} messages a day",
        wait=seconds(plan.limit.wait_s),
        users=f"{plan.limit.users:,}",
        messages=f"{plan.limit.messages_a_day:,}",
    )
    yield Sentence("memory: {memory}", memory=_memory_line(plan.memory))


def _waits_line(plan: Plan) -> Sentence:
    waits = plan.waits
    if waits is None:
        return Sentence(
            "waits in the busiest hour: without end, the load is {times} times what this machine can answer",
            times=f"{plan.load.peak_messages_s / plan.service.most_s:.1f}",
        )
    return Sentence(
        "waits in the busiest hour, {busy} busy: first word {first} in the mean, 95 of 100 within {first_p95}; "
        "whole answer {answer}, 95 of 100 within {answer_p95}",
        busy=f"{waits.busy:.0%}",
        first=seconds(waits.first_word_s),
        first_p95=seconds(waits.first_word_p95_s),
        answer=seconds(waits.answer_s),
        answer_p95=seconds(waits.answer_p95_s),
    )


def cited(source: Source | None) -> str:
    """Write where a figure was read; nothing for what the operator said."""
    if source is None:
        return ""
    cited = source.title if source.date is None else f"{source.title}, {source.date.isoformat()}"
    return Sentence("{source} (third party)", source=cited) if source.third_party else cited


def _memory_line(memory: PlannedMemory) -> str:
    parts = []
    if memory.judgement is not None:
        judgement = memory.judgement
        parts.append(Sentence("{judgement} ({parts})", judgement=judgement.sentence, parts=judgement.need.sentence))
    elif memory.is_elsewhere:
        parts.append(Sentence("{size}: the service alone", size=size_text(SERVICE_BYTES)))
        parts += [] if memory.has_bytes is None else [Sentence("has {has}", has=size_text(memory.has_bytes))]
    else:
        parts.append(Sentence("what the model needs is not known"))
        parts += [] if memory.has_bytes is None else [Sentence("has {has}", has=size_text(memory.has_bytes))]
    if memory.resident_bytes is not None:
        took = size_text(memory.resident_bytes)
        parts.append(Sentence("the worker took {took} when it was measured", took=took))
    return clauses(parts)


def as_facts(plan: Plan) -> dict[str, Any]:
    """Return what `botbridge plan --json` prints; what is not known is null."""
    load, talk, costs = plan.load, plan.service.talk, plan.costs
    return {
        "model": plan.model,
        "speed": {
            "measured": plan.measured.engine is not None,
            "engine": plan.measured.engine,
            "prefill_tokens_s": plan.measured.speed.prefill_tokens_s,
            "decode_tokens_s": {str(streams): rate for streams, rate in plan.measured.speed.decode_tokens_s.items()},
        },
        "load": {
            "users": load.users,
            "messages_per_day": load.messages_per_day,
            "messages_a_day": load.messages_a_day,
            "peak_share": load.peak_share,
            "peak_messages_s": load.peak_messages_s,
            "prompt_tokens": talk.prompt_tokens,
            "history_tokens": load.history_tokens,
            "reply_tokens": talk.reply_tokens,
            "reply_variation": talk.variation,
            "slots": plan.service.slots,
        },
        "waits": None if plan.waits is None else asdict(plan.waits),
        "limit": asdict(plan.limit),
        "memory": _memory(plan.memory),
        "electricity": [
            {
                "id": draw.id,
                "title": draw.title,
                "kwh_month": list(draw.kwh_month),
                "month": _money(draw.cost),
                "source": _source(draw.source),
            }
            for draw in costs.draws
        ],
        "this_machine_month": _money(costs.this_month),
        "offers": [
            {
                **offer.price.model_dump(mode="json"),
                "month": _money(offer.month),
                "converted": _money(offer.converted),
                "source": _source(offer.source),
            }
            for offer in costs.offers
        ],
        "break_even": [
            {
                "api": even.api,
                "machine": even.machine,
                "messages_a_day": None if even.messages_a_day is None else list(even.messages_a_day),
            }
            for even in costs.break_evens
        ],
        "criteria": [asdict(criterion) for criterion in criteria(plan)],
    }


def _memory(memory: PlannedMemory) -> dict[str, Any]:
    judgement = memory.judgement
    need = None if judgement is None else judgement.need
    return {
        "verdict": None if judgement is None else judgement.verdict,
        "engine": None if need is None else need.engine,
        "form": None if need is None else need.form,
        "weights_bytes": None if need is None else need.weights_bytes,
        "cache_bytes": None if need is None else need.cache_bytes,
        "kept_bytes": None if need is None else need.kept_bytes,
        "overhead_bytes": None if need is None else need.overhead_bytes,
        "needed_bytes": None if need is None else need.needed_bytes,
        "least_bytes": None if need is None else need.least_bytes,
        "has_bytes": memory.has_bytes,
        "worker_resident_bytes": memory.resident_bytes,
    }


def _money(money: Money | None) -> dict[str, Any] | None:
    return None if money is None else asdict(money)


def _source(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else source.model_dump(mode="json")
