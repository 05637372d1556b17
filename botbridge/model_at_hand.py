"""The model that the settings choose: its files as they are here, or as they would come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from botbridge.app import named_model
from botbridge.engine_at_hand import Serving, has_adapters, holding_of, serving_of
from botbridge.errors import ModelDamaged, ModelLoadError, ModelNotFound
from botbridge.inference.choice import faster_engine, installed_engines
from botbridge.inference.engines.safetensors_files import WeightsDamaged, count_numbers
from botbridge.inference.unserved import Unserved
from botbridge.machine.doctor_facts import ChosenModel, Engines, ModelState
from botbridge.machine.probe import MachineFacts
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import entry_of
from botbridge.models.facts import CatalogueEntry
from botbridge.models.files import ModelFiles
from botbridge.models.fitting import MemoryNeed, StoredWeights
from botbridge.models.gguf_header import read_gguf_header
from botbridge.models.names import DirectorySource, GgufSource, NamedModel
from botbridge.models.own import check_gguf_file
from botbridge.models.store import ModelStore
from botbridge.models.to_come import Arrival, arrival, arrival_alone
from botbridge.sentences import Sentence, clauses
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
    serving = serving_of(
        settings,
        found,
        files,
        entry,
        holding=holding_of(settings, machine),
        machine=machine,
        wanted=inference.engine,
    )
    faster = faster_engine(
        installed,
        inference.slots,
        has_gguf=found.weights.has_gguf,
        has_adapters=has_adapters(files),
        device=inference.device,
        computing=serving.computing,
    )
    engines = Engines(
        inference.engine,
        installed | remote,
        serving.order,
        unserved=serving.unserved,
        device=inference.device,
        faster=faster,
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
        pull_command=named.pull_command if _is_worth_pulling(named, serving) else "",
        comes_unasked=inference.model == DEFAULT_MODEL,
    )
    return chosen, engines


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
    serving = _serving_at_hand(settings, machine, wanted, quantization)
    if serving.unserved is not None and not serving.able:
        raise ModelLoadError(clauses([serving.unserved.reason, _remedy(serving.unserved)]))
    return serving.need


def _remedy(unserved: Unserved) -> Sentence:
    """Say to whoever plans what lets an engine compute the model."""
    any_device, option = "BOTBRIDGE_INFERENCE__DEVICE=auto", f"--engine {unserved.other}"
    match unserved.wants_any_device, unserved.other:
        case False, None:
            return Sentence("{command} names others", command="`botbridge models match`")
        case False, _:
            return Sentence("{option} plans with one that does", option=option)
        case _, None:
            return Sentence("{setting} lets it use the CPU", setting=any_device)
        case _, _:
            return Sentence("{setting} and {option} plan with one that does", setting=any_device, option=option)


def _serving_at_hand(
    settings: Settings, machine: MachineFacts, wanted: str, quantization: str | None = None
) -> Serving:
    """Return which engine serves the chosen model, or a quantization of it alone."""
    named = named_model(settings)
    entry = entry_of(load_catalogue(home=settings.home), named)
    try:
        files = ModelStore(settings.home).find_with_adapters(named)
    except ModelDamaged:
        files = None
    except ModelNotFound:
        is_own = isinstance(named.source, DirectorySource | GgufSource)
        if not _can_be_pulled(named) or (entry is None and not is_own):
            raise
        files = None
    found = _arrival(named, entry) if files is None else _here(files)
    holding = holding_of(settings, machine)
    if quantization is not None:
        if entry is None:
            raise KeyError(quantization)
        found = arrival_alone(entry, quantization)
        holding = replace(holding, dtype="float32") if quantization == "F32" else holding
    return serving_of(settings, found, files, entry, holding=holding, machine=machine, wanted=wanted)


def serving_engine(settings: Settings, machine: MachineFacts) -> str | None:
    """Return the engine that would serve the chosen model on this machine; None where none would, or none is known of.

    Raises:
        ConfigError: No model can have the name that the settings give.
    """
    try:
        serving = _serving_at_hand(settings, machine, settings.inference.engine)
    except ModelNotFound:
        return None
    return next(iter(serving.order), None)


def _arrival(named: NamedModel, entry: CatalogueEntry | None) -> Arrival:
    """Return what a pull would bring."""
    if not _can_be_pulled(named):
        return Arrival(StoredWeights(), None)
    if isinstance(named.source, GgufSource):
        gguf_bytes = named.source.path.stat().st_size
        return Arrival(StoredWeights(has_gguf=True, gguf_bytes=gguf_bytes), gguf_bytes)
    return arrival(named.source, entry)


def _can_be_pulled(named: NamedModel) -> bool:
    """Tell whether there is anything to fetch: a directory is used as it lies, and a file has to be one of a model."""
    match named.source:
        case DirectorySource():
            return False
        case GgufSource(path=path):
            return _obstacle(path) is None
        case _:
            return True


def _obstacle(path: Path) -> str | None:
    """Say why a file of the operator's own cannot be prepared; None where it can."""
    try:
        check_gguf_file(path)
        read_gguf_header(path)
    except (ModelNotFound, ModelDamaged) as error:
        return error.reason
    return None


def _is_worth_pulling(named: NamedModel, serving: Serving) -> bool:
    """Tell whether something computes what a pull would bring."""
    return _can_be_pulled(named) and (serving.unserved is None or bool(serving.unserved.command))


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
            return _own_files(store.find_with_adapters(named))
        told(f"hashing the files of {named.name}")
        files = replace(store.find(named, thorough=True), adapters=store.every_adapter())
    except ModelNotFound as error:
        obstacle = _obstacle(named.source.path) if isinstance(named.source, GgufSource) else None
        return ModelState.MISSING, obstacle or error.reason, None
    except ModelDamaged as error:
        return ModelState.DAMAGED, error.reason, None
    return (
        ModelState.HERE,
        Sentence("revision {revision}, every hash agrees", revision=files.revision[:12]),
        files,
    )


def _own_files(files: ModelFiles) -> tuple[ModelState, str, ModelFiles | None]:
    """Look at the files of an own directory, of which nobody has a hash: whether the weights are all there."""
    try:
        if files.has_safetensors:
            count_numbers(files.directory)
    except WeightsDamaged as error:
        return ModelState.DAMAGED, error.reason, None
    detail = Sentence("in a directory of your own, fingerprint {fingerprint}", fingerprint=files.revision[:12])
    return ModelState.HERE, detail, files


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
