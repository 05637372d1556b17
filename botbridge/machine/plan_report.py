"""A plan in words, and as JSON values in the form of docs/schemas/plan.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from botbridge.machine.criteria import criteria, seconds
from botbridge.machine.money import Money
from botbridge.machine.plan import Plan, PlannedMemory
from botbridge.models.facts import Source
from botbridge.sizes import size_text

SECONDS_AN_HOUR: Final = 3600.0


def summary(plan: Plan) -> Iterator[str]:
    """Yield what a reader wants to know first: speed, load, waits, people served, memory; a line each."""
    speed, service, load = plan.measured.speed, plan.service, plan.load
    known = "as you say; the rest from usual ratios" if plan.measured.engine is None else "measured here"
    engine = "" if plan.measured.engine is None else f" with {plan.measured.engine}"
    yield (
        f"{plan.model}{engine}, {known}: {speed.together_tokens_s(1):,.0f} tokens/s for one answer, "
        f"{speed.together_tokens_s(service.slots):,.0f} for {service.slots} at once, "
        f"prompts {speed.prefill_tokens_s:,.0f} tokens/s"
    )
    yield (
        f"load: {load.users:,} people with {load.messages_per_day:g} messages a day each, "
        f"{load.messages_a_day:,.0f} in all, {load.peak_messages_s * SECONDS_AN_HOUR:,.0f} in the busiest hour; "
        f"answers of {service.talk.reply_tokens:g} tokens"
    )
    waits = plan.waits
    if waits is None:
        yield (
            "waits in the busiest hour: without end, the load is "
            f"{load.peak_messages_s / service.most_s:.1f} times what this machine can answer"
        )
    else:
        yield (
            f"waits in the busiest hour, {waits.busy:.0%} busy: first word {seconds(waits.first_word_s)} in the mean, "
            f"95 of 100 within {seconds(waits.first_word_p95_s)}; whole answer {seconds(waits.answer_s)}, "
            f"95 of 100 within {seconds(waits.answer_p95_s)}"
        )
    yield (
        f"people served so that 95 of 100 have their first word within {seconds(plan.limit.wait_s)}: "
        f"{plan.limit.users:,}, or {plan.limit.messages_a_day:,} messages a day"
    )
    yield f"memory: {_memory_line(plan.memory)}"


def cited(source: Source | None) -> str:
    """Write where a figure was read; nothing for what the operator said."""
    if source is None:
        return ""
    date = "" if source.date is None else f", {source.date.isoformat()}"
    return f"{source.title}{date}{' (third party)' if source.third_party else ''}"


def _memory_line(memory: PlannedMemory) -> str:
    parts = []
    if memory.judgement is not None:
        parts.append(f"{memory.judgement} ({memory.judgement.need})")
    else:
        parts.append("what the model needs is not known")
        parts += [] if memory.has_bytes is None else [f"has {size_text(memory.has_bytes)}"]
    if memory.resident_bytes is not None:
        parts.append(f"the worker took {size_text(memory.resident_bytes)} when it was measured")
    return "; ".join(parts)


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
