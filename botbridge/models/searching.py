"""`models search` without a hub: the catalogue answers in the hub's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from botbridge.models.facts import CatalogueEntry, Kind, Task
from botbridge.models.hub_search import Found, HubQuery
from botbridge.models.listing import GENERATION, Filter, Listed, wanted


def search_catalogue(entries: Iterable[CatalogueEntry], query: HubQuery) -> tuple[Found, ...]:
    """Return what fits a query; of downloads and likes the catalogue knows nothing, so its own order stays."""
    asked = Filter(kind_of_task=query.task, tag=query.tag, text=query.text, max_b=query.max_b)
    return tuple(_found(each.entry) for each in wanted((Listed(entry) for entry in entries), asked))


def _found(entry: CatalogueEntry) -> Found:
    task = GENERATION if entry.kind is Kind.CAUSAL else str(Task.TRANSLATION)
    return Found(
        id=entry.id,
        task=task,
        parameters=entry.parameters,
        licence=entry.licence,
        gated=entry.gated,
        downloads=None,
        likes=None,
        not_verified=entry.not_verified,
        parameters_are_round=entry.parameters_are_round,
    )
