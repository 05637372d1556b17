"""What `models list|show|compare|search|openness --json` print; docs/schemas/models.json describes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from botbridge.models.catalogue import Catalogue
from botbridge.models.comparing import CONTEXT_TOKENS, QUANTIZATION, Comparison
from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.hub_search import Found
from botbridge.models.listing import Listed, Speed
from botbridge.models.openness import allowance

Facts = dict[str, Any]


def entry_facts(each: Listed) -> Facts:
    """Return all of an entry, its level, and what is known of it on this machine; what nobody knows is null."""
    entry = each.entry
    return {
        **entry.model_dump(mode="json"),
        "openness_level": str(entry.openness.level),
        "not_verified": list(entry.not_verified),
        "speed": _speed(each.speed),
        "here": each.is_here,
    }


def source_facts(sources: Iterable[Source]) -> list[Facts]:
    """Return sources with their dates."""
    return [source.model_dump(mode="json") for source in sources]


def comparison_facts(comparison: Comparison, listed: Sequence[Listed], catalogue: Catalogue) -> Facts:
    """Return models side by side, with the scores that can be compared apart from the others."""
    ids = [entry.id for entry in comparison.entries]
    return {
        "models": [entry_facts(each) for each in listed],
        "memory": [
            {
                "model": model,
                "quantization": QUANTIZATION,
                "weights_bytes": each.weights_bytes,
                "weights_are_published": each.measured,
                "cache_bytes": each.cache_bytes,
                "context_tokens": min(CONTEXT_TOKENS, entry.context_tokens),
            }
            for model, each, entry in zip(ids, comparison.footprints, comparison.entries, strict=True)
        ],
        "comparable": [
            {
                "benchmark": group.benchmark,
                "shots": group.shots,
                "of_base_models": group.of_relatives,
                "source": group.source,
                "arabic": group.is_arabic,
                "percent": dict(zip(ids, group.percents, strict=True)),
            }
            for group in comparison.comparable
        ],
        "not_comparable": {
            model: [score.model_dump(mode="json") for score in scores]
            for model, scores in zip(ids, comparison.alone, strict=True)
        },
        "sources": source_facts(catalogue.cited_by(comparison.entries)),
    }


def search_facts(found: Sequence[Found], *, by: str, address: str, why: str | None) -> Facts:
    """Return what a search found.

    Args:
        by: Who answered, "hub" or "catalogue".
        why: Why the hub did not; None when it did.
    """
    return {"by": by, "why": why, "address": address, "models": [asdict(each) for each in found]}


def openness_facts(entry: CatalogueEntry, sources: Iterable[Source]) -> Facts:
    """Return a model's level, its parts and what follows from them."""
    allowed = allowance(entry)
    cited = entry.evidence["openness"]
    return {
        "model": entry.id,
        "licence": entry.licence,
        "level": str(allowed.level),
        "parts": entry.openness.model_dump(mode="json"),
        "allows": {
            "use": allowed.use,
            "fine_tune": allowed.fine_tune,
            "retrain": allowed.retrain,
            "inspect": str(allowed.inspect),
        },
        "framework_class_at_most": str(allowed.at_most),
        "fit_for_regulated_retraining": allowed.regulated,
        "not_verified": [name for name in entry.not_verified if name in {"licence", "openness"}],
        "sources": source_facts(source for source in sources if source.id in cited),
    }


def _speed(speed: Speed | None) -> Facts | None:
    return None if speed is None else asdict(speed)
