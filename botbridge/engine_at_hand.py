"""What computes a model with these settings on this machine: the worker's own choice, foreseen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from botbridge.chosen import engine_options, files_here, is_of_another_revision
from botbridge.inference.adapters import has_peft, known_adapters
from botbridge.inference.choice import AUTO, CUDA, NEEDED_MODULES, engine_order, installed_engines
from botbridge.inference.unserved import Unserved, why_unserved
from botbridge.machine.figures import read_report
from botbridge.machine.probe import MachineFacts
from botbridge.models.catalogue import Catalogue
from botbridge.models.facts import CatalogueEntry
from botbridge.models.files import ModelFiles
from botbridge.models.fitting import (
    Holding,
    Judgement,
    MemoryNeed,
    StoredWeights,
    Verdict,
    computes_bfloat16,
    first_that_fits,
)
from botbridge.models.gguf_header import GgufHeader
from botbridge.models.listing import names_of
from botbridge.models.match_facts import Room
from botbridge.models.runtimes import engines_computing
from botbridge.models.to_come import Arrival, arrival_need
from botbridge.sentences import Sentence
from botbridge.settings import Settings

NO_CUDA: Final = Sentence(
    "the settings ask for cuda, and here is no GPU that torch is built for; no start succeeds before there is one, "
    "or `{command}`",
    command="echo BOTBRIDGE_INFERENCE__DEVICE=auto >> .env",
)
"""What `plan` and `models match` say first; doctor has a row of torch for it."""


def holding_of(settings: Settings, machine: MachineFacts) -> Holding:
    """Return how a model is held with these settings on this processor."""
    inference = settings.inference
    return Holding(
        conversations=inference.slots,
        context_tokens=inference.context_tokens,
        kept_bytes=inference.cache_bytes,
        dtype=inference.dtype,
        computes_bfloat16=computes_bfloat16(machine.processor.flags),
        on_gpu=inference.device == CUDA or (inference.device == AUTO and computes_on_cuda(machine)),
    )


def computes_on_cuda(machine: MachineFacts) -> bool:
    """Tell whether there is a GPU that torch was built for."""
    return machine.has_cuda_device and machine.torch is not None and machine.torch.cuda is not None


def room_of(machine: MachineFacts) -> Room:
    """Return what a machine has room for."""
    return Room(machine.memory.holdable_bytes, machine.disk_free_bytes)


def engines_for(settings: Settings, catalogue: Catalogue, entry: CatalogueEntry) -> tuple[str, ...]:
    """Return the engines that the settings let compute a model, whatever its form: first those that are installed.

    Each part stands in the order in which it would be tried.

    Args:
        settings: The operator's decisions.
        catalogue: Resolves the model's names; it is asked for model by model and takes long to load.
        entry: The model.
    """
    inference = settings.inference
    here = {name: files_here(settings, catalogue.resolve(name)) for name in names_of(entry)}
    reports = ((read_report(settings.home, name), files) for name, files in here.items())
    measured = next(
        (
            report.order_for(inference.slots)
            for report, files in reports
            if report is not None and not is_of_another_revision(report, files)
        ),
        (),
    )
    order = partial(
        _engine_order,
        settings,
        engines_computing(entry),
        StoredWeights(has_gguf=True, has_safetensors=True),
        measured,
        has_adapters=any(has_adapters(files) for files in here.values()),
        wanted=inference.engine,
    )
    return tuple(dict.fromkeys((*order(installed_engines()), *order(NEEDED_MODULES))))


@dataclass(frozen=True, slots=True)
class Serving:
    """Which engine serves.

    Attributes:
        order: The engines that would be tried, the one that serves first; empty where none that is installed does.
        able: The same, or where none of them is installed those that would be tried if all were.
        need: What the model takes with the one that serves, or would; None where its size is not known.
        computing: The engines that compute the model's architecture, installed or not, whatever the settings say.
        passed_over: What it would take with an engine that is tried before and does not fit; None where none is.
        unserved: Why none that is installed does, and what would help; None where one does.
    """

    order: tuple[str, ...]
    able: tuple[str, ...]
    need: MemoryNeed | None
    computing: frozenset[str]
    passed_over: MemoryNeed | None = None
    unserved: Unserved | None = None


def serving_of(
    settings: Settings,
    found: Arrival,
    files: ModelFiles | None,
    entry: CatalogueEntry | None,
    *,
    coming: GgufHeader | None = None,
    holding: Holding,
    machine: MachineFacts,
    wanted: str,
) -> Serving:
    """Find the engine that serves a model: of those that the worker tries the first for which there is memory.

    Where none of them is installed, what would serve if all were is judged. In what form a model is that is not there,
    and whose name says nothing of it, is not known, and nothing is said against any engine.
    """
    room, forms = room_of(machine), found.weights
    computing = engines_computing(entry, files, coming)
    tried = partial(
        _engine_order,
        settings,
        computing,
        forms,
        engine_options(settings).fastest_engines,
        has_adapters=has_adapters(files),
        wanted=wanted,
    )
    order = tried(installed_engines())
    able = order or tried(NEEDED_MODULES)
    needs = [need for each in able if (need := arrival_need(found, each, entry, holding)) is not None]
    need = first_that_fits(needs, room.memory_bytes)
    if not order and (forms.has_gguf or forms.has_safetensors):
        unserved = why_unserved(
            wanted,
            installed_engines(),
            has_gguf=forms.has_gguf,
            has_safetensors=forms.has_safetensors,
            device=settings.inference.device,
            computing=computing,
            has_gpu=computes_on_cuda(machine),
        )
        return Serving(order, able, need, computing, unserved=unserved)
    if need is None:
        return Serving(order, able, need, computing)
    first, ordered = needs[0], (need.engine, *(each for each in order if each != need.engine))
    does_fit = Judgement(need, room.memory_bytes).verdict is not Verdict.DOES_NOT_FIT
    return Serving(ordered, able, need, computing, passed_over=first if does_fit and first is not need else None)


def has_adapters(files: ModelFiles | None) -> bool:
    """Tell whether an adapter can be computed with these files."""
    known = () if files is None else known_adapters(files, has_peft=has_peft())
    return any(not adapter.obstacle for adapter in known)


def _engine_order(
    settings: Settings,
    computing: Collection[str],
    weights: StoredWeights,
    measured: Sequence[str],
    installed: Collection[str],
    *,
    has_adapters: bool,
    wanted: str,
) -> tuple[str, ...]:
    """Return the engines that the worker would try, best first, without those that do not compute the architecture."""
    return engine_order(
        measured,
        [engine for engine in installed if engine in computing],
        has_gguf=weights.has_gguf,
        has_safetensors=weights.has_safetensors,
        slots=settings.inference.slots,
        has_adapters=has_adapters,
        device=settings.inference.device,
        wanted=wanted,
    )
