"""The model that the settings choose: its files as they are here, or as they would come, and what computes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec

from botbridge.app import engine_options, named_model
from botbridge.errors import ModelDamaged, ModelLoadError, ModelNotFound
from botbridge.inference.adapters import has_peft, known_adapters
from botbridge.inference.choice import (
    AUTO,
    CUDA,
    NEEDED_MODULES,
    engine_order,
    faster_engine,
    installed_engines,
    unserved,
)
from botbridge.inference.engines.safetensors_files import WeightsDamaged, count_numbers
from botbridge.machine.doctor_facts import ChosenModel, Engines, Licence, ModelState, Status
from botbridge.machine.figures import read_report
from botbridge.machine.probe import MachineFacts
from botbridge.models.acceptance import read_acceptance
from botbridge.models.catalogue import Catalogue, load_catalogue
from botbridge.models.clearance import entry_of, named_licence, refusal, unknown_licence
from botbridge.models.facts import CatalogueEntry
from botbridge.models.fitting import (
    Holding,
    Judgement,
    MemoryNeed,
    StoredWeights,
    Verdict,
    computes_bfloat16,
    first_that_fits,
)
from botbridge.models.licences import load_licences
from botbridge.models.listing import names_of
from botbridge.models.match_facts import Room
from botbridge.models.names import DirectorySource, GgufSource, NamedModel
from botbridge.models.store import ModelFiles, ModelStore
from botbridge.models.to_come import Arrival, arrival, arrival_alone, arrival_need
from botbridge.models.uses import Use
from botbridge.sentences import Sentence
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import Settings


def look_at_model(
    settings: Settings, machine: MachineFacts, told: Callable[[str], None]
) -> tuple[ChosenModel, Engines]:
    """Look at the chosen model's files, hashes included, and at what could compute them.

    Raises:
        ConfigError: no model can have the name that the settings give.
    """
    inference = settings.inference
    remote = {"remote"} if find_spec("openai") is not None else set()
    installed = installed_engines()
    if inference.engine in {"remote", "echo"}:
        return _without_files(settings), Engines(inference.engine, installed | remote, (inference.engine,))
    named = named_model(settings)
    state, detail, files = _files(named, ModelStore(settings.home), told)
    entry = entry_of(load_catalogue(home=settings.home), named)
    found = _arrival(named, entry) if files is None else _here(files)
    serving = _serving(
        settings,
        found,
        files,
        entry,
        holding=holding_of(settings, machine),
        room=room_of(machine),
        wanted=inference.engine,
    )
    engines = Engines(
        inference.engine,
        installed | remote,
        serving.order,
        device=inference.device,
        faster=faster_engine(
            installed,
            inference.slots,
            has_gguf=found.weights.has_gguf,
            has_adapters=_has_adapters(files),
            device=inference.device,
        ),
        passed_over=serving.passed_over,
    )
    chosen = ChosenModel(
        name=named.name,
        model=named.model,
        state=state,
        detail=detail,
        has_gguf=found.weights.has_gguf,
        has_safetensors=found.weights.has_safetensors,
        need=serving.need,
        fetch_bytes=found.disk_bytes,
        pull_command=named.pull_command,
        comes_unasked=inference.model == DEFAULT_MODEL,
    )
    return chosen, engines


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
    here = (_files_here(settings, catalogue.resolve(name)) for name in names_of(entry))
    reports = (read_report(settings.home, name) for name in names_of(entry))
    measured = next((report.order_for(inference.slots) for report in reports if report is not None), ())
    order = partial(
        _engine_order,
        settings,
        StoredWeights(has_gguf=True, has_safetensors=True),
        measured,
        has_adapters=any(_has_adapters(files) for files in here),
        wanted=inference.engine,
    )
    return tuple(dict.fromkeys((*order(installed_engines()), *order(NEEDED_MODULES))))


def need_at_hand(
    settings: Settings, machine: MachineFacts, *, engine: str | None = None, quantization: str | None = None
) -> MemoryNeed | None:
    """Return what the chosen model takes as it is here, or would come; None where its size is not known.

    Args:
        settings: The operator's decisions; their model is the chosen one.
        machine: What the machine is.
        engine: What computes it; None for what would serve with these settings.
        quantization: Another form than the one that is here, or would come.

    Raises:
        ConfigError: No model can have the name that the settings give.
        ModelNotFound: It is neither in the catalogue nor here.
        ModelLoadError: The settings let no engine compute it so, were all installed.
        KeyError: No size is known of this quantization.
    """
    wanted = settings.inference.engine if engine is None else engine
    found, serving = _serving_at_hand(settings, machine, wanted, quantization)
    if not serving.able:
        device, forms = settings.inference.device, found.weights
        reason = unserved(wanted, has_gguf=forms.has_gguf, has_safetensors=forms.has_safetensors, device=device)
        raise ModelLoadError(reason)
    return serving.need


def _serving_at_hand(
    settings: Settings, machine: MachineFacts, wanted: str, quantization: str | None = None
) -> tuple[Arrival, _Serving]:
    """Return the chosen model's forms, or that of a quantization alone, and which engine serves them."""
    named = named_model(settings)
    entry = entry_of(load_catalogue(home=settings.home), named)
    try:
        files = ModelStore(settings.home).find_with_adapters(named)
    except ModelDamaged:
        files = None
    except ModelNotFound:
        if entry is None and not isinstance(named.source, GgufSource):
            raise
        files = None
    found = _arrival(named, entry) if files is None else _here(files)
    holding = holding_of(settings, machine)
    if quantization is not None:
        if entry is None:
            raise KeyError(quantization)
        found = arrival_alone(entry, quantization)
        holding = replace(holding, dtype="float32") if quantization == "F32" else holding
    return found, _serving(settings, found, files, entry, holding=holding, room=room_of(machine), wanted=wanted)


def serving_engine(settings: Settings, machine: MachineFacts) -> str | None:
    """Return the engine that would serve the chosen model on this machine; None where none would, or none is known of.

    Raises:
        ConfigError: No model can have the name that the settings give.
    """
    try:
        _, serving = _serving_at_hand(settings, machine, settings.inference.engine)
    except ModelNotFound:
        return None
    return next(iter(serving.order), None)


@dataclass(frozen=True, slots=True)
class _Serving:
    """Which engine serves.

    Attributes:
        order: The engines that would be tried, the one that serves first; empty where none that is installed does.
        able: The same, or where none of them is installed those that would be tried if all were.
        need: What the model takes with the one that serves, or would; None where its size is not known.
        passed_over: What it would take with an engine that is tried before and does not fit; None where none is.
    """

    order: tuple[str, ...]
    able: tuple[str, ...]
    need: MemoryNeed | None
    passed_over: MemoryNeed | None = None


def _serving(
    settings: Settings,
    found: Arrival,
    files: ModelFiles | None,
    entry: CatalogueEntry | None,
    *,
    holding: Holding,
    room: Room,
    wanted: str,
) -> _Serving:
    """Find the engine that serves: of those that the worker tries the first for which there is memory.

    Where none of them is installed, what would serve if all were is judged.
    """
    tried = partial(
        _engine_order,
        settings,
        found.weights,
        engine_options(settings).fastest_engines,
        has_adapters=_has_adapters(files),
        wanted=wanted,
    )
    order = tried(installed_engines())
    able = order or tried(NEEDED_MODULES)
    needs = [need for each in able if (need := arrival_need(found, each, entry, holding)) is not None]
    need = first_that_fits(needs, room.memory_bytes)
    if need is None or not order:
        return _Serving(order, able, need)
    first, ordered = needs[0], (need.engine, *(each for each in order if each != need.engine))
    does_fit = Judgement(need, room.memory_bytes).verdict is not Verdict.DOES_NOT_FIT
    return _Serving(ordered, able, need, first if does_fit and first is not need else None)


def _files_here(settings: Settings, named: NamedModel) -> ModelFiles | None:
    """Return a model's files with the adapters beside them; None where it is not here as it was pulled."""
    try:
        return ModelStore(settings.home).find_with_adapters(named)
    except (ModelNotFound, ModelDamaged):
        return None


def _has_adapters(files: ModelFiles | None) -> bool:
    """Tell whether an adapter can be computed with these files."""
    known = () if files is None else known_adapters(files, has_peft=has_peft())
    return any(not adapter.obstacle for adapter in known)


def _engine_order(
    settings: Settings,
    weights: StoredWeights,
    measured: Sequence[str],
    installed: Collection[str],
    *,
    has_adapters: bool,
    wanted: str,
) -> tuple[str, ...]:
    """Return the engines that the worker would try, best first."""
    return engine_order(
        measured,
        installed,
        has_gguf=weights.has_gguf,
        has_safetensors=weights.has_safetensors,
        slots=settings.inference.slots,
        has_adapters=has_adapters,
        device=settings.inference.device,
        wanted=wanted,
    )


def look_at_licence(settings: Settings) -> Licence | None:
    """Return what its licence says to the use that was declared or accepted; None where no model runs here.

    Raises:
        ConfigError: no model can have the name that the settings give.
    """
    if settings.inference.engine in {"remote", "echo"}:
        return None
    named = named_model(settings)
    entry = entry_of(load_catalogue(home=settings.home), named)
    if entry is None:
        return Licence(unknown_licence(named, settings.hub.endpoint), Status.UNKNOWN)
    licences = load_licences()
    licence, gate = licences.find(entry.licence), licences.gate if entry.gated else None
    found = named_licence(licence)
    reason = refusal(entry, licence, gate, settings.licence.use, read_acceptance(settings.home, entry.id))
    if reason is None:
        return Licence(found, Status.OK)
    return Licence(
        found,
        Status.UPGRADE,
        reason,
        f"botbridge models licence {entry.id} --use {settings.licence.use or Use.PERSONAL} --accept",
    )


def _arrival(named: NamedModel, entry: CatalogueEntry | None) -> Arrival:
    """Return what a pull would bring."""
    if isinstance(named.source, GgufSource):
        path = named.source.path
        gguf_bytes = path.stat().st_size if path.is_file() else None
        return Arrival(StoredWeights(has_gguf=True, gguf_bytes=gguf_bytes), gguf_bytes)
    return arrival(named.source, entry)


def _without_files(settings: Settings) -> ChosenModel:
    inference = settings.inference
    state = ModelState.REMOTE if inference.engine == "remote" else ModelState.NONE
    detail = Sentence("the engine echo needs none")
    if state is ModelState.REMOTE:
        detail = Sentence("at {servers}", servers=", ".join(inference.remote_url))
    return ChosenModel(
        name=inference.model,
        model=inference.model,
        state=state,
        detail=detail,
        has_gguf=False,
        has_safetensors=False,
        need=None,
        fetch_bytes=0,
        pull_command="",
    )


def _files(
    named: NamedModel, store: ModelStore, told: Callable[[str], None]
) -> tuple[ModelState, str, ModelFiles | None]:
    """Find the model, first quickly, then hash by hash, which takes a second for each gigabyte."""
    try:
        files = store.find(named)
        if isinstance(named.source, DirectorySource):
            detail = Sentence("in a directory of your own, fingerprint {fingerprint}", fingerprint=files.revision[:12])
            return ModelState.HERE, detail, store.find_with_adapters(named)
        told(f"hashing the files of {named.name}")
        files = replace(store.find(named, thorough=True), adapters=store.every_adapter())
    except ModelNotFound as error:
        return ModelState.MISSING, error.reason, None
    except ModelDamaged as error:
        return ModelState.DAMAGED, error.reason, None
    return (
        ModelState.HERE,
        Sentence("revision {revision}, every hash agrees", revision=files.revision[:12]),
        files,
    )


def _here(files: ModelFiles) -> Arrival:
    gguf = files.gguf
    weights = StoredWeights(
        has_gguf=gguf is not None,
        has_safetensors=files.has_safetensors,
        gguf_bytes=None if gguf is None else gguf.stat().st_size,
        quantization="GGUF" if gguf is None else gguf.name,
        numbers=_numbers(files),
    )
    return Arrival(weights, 0)


def _numbers(files: ModelFiles) -> int | None:
    """Return how many numbers its safetensors hold; None where there are none, or they are damaged."""
    try:
        return count_numbers(files.directory) or None
    except WeightsDamaged:
        return None
