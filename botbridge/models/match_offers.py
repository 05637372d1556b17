"""In which forms a model can be run, by which engine, and what each form takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from botbridge.models.facts import CatalogueEntry
from botbridge.models.fitting import memory_need
from botbridge.models.footprint import BITS_PER_WEIGHT, WHOLE, footprint
from botbridge.models.listing import names_of
from botbridge.models.match_facts import MOST_EXACT_FIRST, Offer, Wish
from botbridge.models.runtimes import Runtime, runtimes_of
from botbridge.models.to_come import arrival_of, name_of

SEARCH: Final = "botbridge models search"


def offers(entry: CatalogueEntry, wish: Wish) -> list[Offer]:
    """Return the ways to run a model that a wish allows: each form with each engine that computes it.

    What is here, and an installed engine computes, comes first; then what can be pulled, then what an installed engine
    computes, then of forms that come together the one whose engine is tried first, then the quantized before the whole,
    then the most exact, then the engine that is tried first.
    """
    order, here = wish.engines_for(entry), wish.engines_here
    able = [runtime for runtime in runtimes_of(entry) if runtime.engine in order]
    found = [
        offer
        for runtime in sorted(able, key=lambda runtime: order.index(runtime.engine))
        if wish.runtime in {None, runtime}
        for form in _forms(entry, runtime)
        if form in wish.forms and (offer := _offer(entry, runtime, form, wish)) is not None
    ]
    return sorted(
        found,
        key=lambda offer: (
            not (offer.is_here and offer.runtime.engine in here),
            not offer.is_offered,
            offer.runtime.engine not in here,
            _comes_second(entry, offer, order),
            offer.form in WHOLE,
            MOST_EXACT_FIRST.index(offer.form),
        ),
    )


def _comes_second(entry: CatalogueEntry, offer: Offer, order: Sequence[str]) -> bool:
    """Tell whether an engine that is tried before reads another form that comes with this one."""
    weights, is_whole = arrival_of(entry, offer.form).weights, offer.form in WHOLE
    if not (weights.has_gguf and weights.has_safetensors):
        return False
    able = {runtime.engine for runtime in runtimes_of(entry)}
    before = able.intersection(order[: order.index(offer.runtime.engine)])
    return bool(before - {"transformers"}) if is_whole else "transformers" in before


def _forms(entry: CatalogueEntry, runtime: Runtime) -> Iterator[str]:
    """Yield what an engine computes: numbers as they are pulled, or a GGUF that somebody has, or could have, made."""
    published = {file.quantization for file in entry.files}
    for form in MOST_EXACT_FIRST:
        if runtime is Runtime.TRANSFORMERS:
            if form in WHOLE and name_of(entry, form) is not None:
                yield form
        elif form not in WHOLE and (form in BITS_PER_WEIGHT or form in published):
            yield form


def _offer(entry: CatalogueEntry, runtime: Runtime, form: str, wish: Wish) -> Offer | None:
    coming = arrival_of(entry, form)
    need = memory_need(
        coming.weights,
        runtime.engine,
        wish.holding,
        kv_bytes_per_token=entry.kv_bytes_per_token,
        trained_tokens=entry.context_tokens,
    )
    if need is None:
        return None
    name = name_of(entry, form)
    names = set(names_of(entry)) if name == entry.id else {name}
    is_here = bool(names & wish.installed)
    search = f"{SEARCH} --tag gguf --text {entry.hub_id.rpartition('/')[2]}"
    return Offer(
        runtime=runtime,
        form=form,
        footprint=footprint(entry, form, context_tokens=need.conversation_tokens, conversations=need.conversations),
        file=next((file for file in entry.files if file.quantization == form), None),
        need=need if is_here else replace(need, fetching_bytes=coming.fetching_bytes),
        disk_bytes=0 if is_here else coming.disk_bytes,
        is_offered=name is not None,
        is_here=is_here,
        command=search if name is None else f"botbridge models pull {name}",
    )
