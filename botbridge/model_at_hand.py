"""The model that the settings choose: its files as they are here, or as they would come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

from botbridge.chosen import is_of_another_revision, named_model
from botbridge.engine_at_hand import Serving, has_adapters, holding_of, serving_of
from botbridge.errors import ModelDamaged, ModelLoadError, ModelNotFound
from botbridge.inference.choice import NO_MODEL_HERE, faster_engine, installed_engines
from botbridge.inference.unserved import Unserved
from botbridge.machine.doctor_facts import ChosenModel, Engines, ModelState
from botbridge.machine.figures import read_report
from botbridge.machine.probe import MachineFacts
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import entry_of
from botbridge.models.facts import CatalogueEntry
from botbridge.models.files import ModelFiles
from botbridge.models.fitting import MemoryNeed, StoredWeights
from botbridge.models.gguf_header import GgufHeader, read_gguf_header
from botbridge.models.names import DirectorySource, GgufSource, NamedModel
from botbridge.models.own import check_gguf_file, check_whole
from botbridge.models.safetensors_files import WeightsDamaged, count_numbers
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
    if inference.engine in NO_MODEL_HERE:
        return _without_files(settings), Engines(inference.engine, installed | remote, (inference.engine,))
    named = named_model(settings)
    look = _look_at(named, ModelStore(settings.home), told)
    entry = entry_of(load_catalogue(home=settings.home), named)
    found = _arrival(named, entry, look)
    serving = serving_of(
        settings,
        found,
        look.files,
        entry,
        coming=look.coming,
        holding=holding_of(settings, machine),
        machine=machine,
        wanted=inference.engine,
    )
    faster = faster_engine(
        installed,
        inference.slots,
        has_gguf=found.weights.has_gguf,
        has_adapters=has_adapters(look.files),
        device=inference.device,
        computing=serving.computing,
    )
    report = read_report(settings.home, named.model)
    engines = Engines(
        inference.engine,
        installed | remote,
        serving.order,
        unserved=serving.unserved,
        device=inference.device,
        faster=faster,
        passed_over=serving.passed_over,
        measured_otherwise=report is not None and is_of_another_revision(report, look.files),
    )
    is_worth_pulling = look.can_be_pulled and (serving.unserved is None or bool(serving.unserved.command))
    chosen = ChosenModel(
        name=named.name,
        model=named.model,
        state=look.state,
        detail=look.detail,
        has_gguf=found.weights.has_gguf,
        has_safetensors=found.weights.has_safetensors,
        need=serving.need,
        fetch_bytes=found.disk_bytes if is_worth_pulling else 0,
        pull_command=named.pull_command if is_worth_pulling else "",
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
        ModelDamaged: Its files are the operator's own, and damaged.
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
    look = _look_at(named, ModelStore(settings.home))
    is_known = entry is not None or look.coming is not None
    if look.error is not None and not (look.can_be_pulled and is_known):
        raise look.error
    found = _arrival(named, entry, look)
    holding = holding_of(settings, machine)
    if quantization is not None:
        if entry is None:
            raise KeyError(quantization)
        found = arrival_alone(entry, quantization)
        holding = replace(holding, dtype="float32") if quantization == "F32" else holding
    return serving_of(
        settings, found, look.files, entry, coming=look.coming, holding=holding, machine=machine, wanted=wanted
    )


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


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found of a model's files.

    Attributes:
        detail: Where they are and how far they were checked, or what is wrong, in one sentence.
        files: None where they are not here, or damaged.
        error: Why they are not here, or what is wrong with them.
        can_be_pulled: There is something to fetch: a directory is used as it lies, a file has to be one of a model.
        coming: What a file of the operator's own says of itself that a pull would prepare.
    """

    state: ModelState
    detail: str
    files: ModelFiles | None = None
    error: ModelNotFound | ModelDamaged | None = None
    can_be_pulled: bool = False
    coming: GgufHeader | None = None


def _look_at(named: NamedModel, store: ModelStore, told: Callable[[str], None] | None = None) -> _Look:
    """Find the model quickly; for whoever is to hear of it, hash by hash, which takes a second for each gigabyte."""
    try:
        files = store.find_with_adapters(named)
        if isinstance(named.source, DirectorySource):
            return _look_at_own(files)
        if told is not None:
            told(f"hashing the files of {named.name}")
            files = replace(store.find(named, thorough=True), adapters=files.adapters)
    except ModelNotFound as error:
        return _look_at_absent(named, error)
    except ModelDamaged as error:
        is_own = isinstance(named.source, DirectorySource)
        return _Look(ModelState.DAMAGED, error.reason, error=error, can_be_pulled=not is_own)
    revision = Sentence("revision {revision}, every hash agrees", revision=files.revision[:12])
    return _Look(ModelState.HERE, revision, files)


def _look_at_own(files: ModelFiles) -> _Look:
    """Look at the files of a directory, of which nobody has a hash: whether all that an engine reads is there."""
    detail = Sentence("in a directory of your own, fingerprint {fingerprint}", fingerprint=files.revision[:12])
    try:
        check_whole(files)
    except ModelDamaged as error:
        return _Look(ModelState.DAMAGED, error.reason, error=error)
    return _Look(ModelState.HERE, detail, files)


def _look_at_absent(named: NamedModel, absent: ModelNotFound) -> _Look:
    """Tell whether a pull would bring what is not here."""
    match named.source:
        case DirectorySource():
            return _Look(ModelState.MISSING, absent.reason, error=absent)
        case GgufSource(path=path):
            try:
                check_gguf_file(path)
                header = read_gguf_header(path)
            except (ModelNotFound, ModelDamaged) as error:
                return _Look(ModelState.MISSING, error.reason, error=error)
            return _Look(ModelState.MISSING, absent.reason, error=absent, can_be_pulled=True, coming=header)
        case _:
            return _Look(ModelState.MISSING, absent.reason, error=absent, can_be_pulled=True)


def _arrival(named: NamedModel, entry: CatalogueEntry | None, look: _Look) -> Arrival:
    """Return what is here, else what a pull would bring."""
    if look.files is not None:
        return _here(look.files)
    if not look.can_be_pulled:
        return Arrival(StoredWeights(), None)
    if isinstance(named.source, GgufSource):
        gguf_bytes = named.source.path.stat().st_size
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
