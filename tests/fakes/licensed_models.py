"""Entries of a catalogue whose licences matter, and nothing else of them."""

from __future__ import annotations

from typing import Any

from botbridge.models.catalogue import Catalogue
from botbridge.models.facts import CatalogueEntry

REQUIRED = ("parameters", "context_tokens", "architecture", "licence", "gated", "openness")


def licensed(licence: str, *, gated: bool = False, model: str = "tiny", **facts: Any) -> CatalogueEntry:
    """A model under a licence; `hub_id` is `org/<model>` unless given."""
    return CatalogueEntry.model_validate(
        {
            "id": model,
            "title": model,
            "hub_id": f"org/{model}",
            "parameters": 7_241_732_096,
            "nominal_b": 7,
            "context_tokens": 8192,
            "architecture": "MistralForCausalLM",
            "kind": "causal",
            "licence": licence,
            "gated": gated,
            "openness": {"architecture": "yes", "weights": "yes", "training_code": "no", "training_data": "no"},
            "evidence": dict.fromkeys(REQUIRED, ("card",)),
            **facts,
        }
    )


def catalogue_of(*entries: CatalogueEntry) -> Catalogue:
    """A catalogue of these entries."""
    given = [entry.model_dump(mode="json") for entry in entries]
    return Catalogue.model_validate({"source": [{"id": "card", "title": "a card"}], "model": given})
