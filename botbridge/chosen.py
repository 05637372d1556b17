"""The model that the settings choose: its name, what its licence asks, how it is run here or asked for elsewhere."""

from __future__ import annotations

from botbridge.conversation.rates import Rates
from botbridge.errors import ConfigError, ModelDamaged, ModelNotFound
from botbridge.inference.choice import NO_MODEL_HERE
from botbridge.inference.options import EngineOptions
from botbridge.inference.remote_options import RemoteOptions
from botbridge.machine.figures import Report, read_report
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import Clearance, clear
from botbridge.models.files import ModelFiles
from botbridge.models.names import NamedModel
from botbridge.models.store import ModelStore
from botbridge.sentences import Sentence, clauses
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import Settings


def named_model(settings: Settings) -> NamedModel:
    """Understand the setting that names the model.

    Raises:
        ConfigError: no model can have this name.
    """
    try:
        return load_catalogue(home=settings.home).resolve(settings.inference.model)
    except ModelNotFound as error:
        setting = "BOTBRIDGE_INFERENCE__MODEL"
        raise ConfigError(Sentence("{setting}: {problem}", setting=setting, problem=clauses(error.args))) from error


def clearance(settings: Settings) -> Clearance | None:
    """What the licence of the model in use asks; None where no model runs here.

    Raises:
        ConfigError: no model can have the name in the settings.
        ModelNotLicensed: its licence forbids the use, or was not accepted for it.
    """
    if settings.inference.engine in NO_MODEL_HERE:
        return None
    return clear(
        named_model(settings),
        catalogue=load_catalogue(home=settings.home),
        home=settings.home,
        declared=settings.licence.use,
        likely=settings.likely_use,
    )


def engine_options(settings: Settings) -> EngineOptions:
    """Turn settings, and what was measured on this machine, into how the model is run."""
    inference, measured = settings.inference, _measured(settings)
    return EngineOptions(
        engine=inference.engine,
        device=inference.device,
        dtype=inference.dtype,
        quantize=inference.quantize,
        threads=inference.threads,
        slots=inference.slots,
        context_tokens=inference.context_tokens,
        cache_bytes=inference.cache_bytes,
        fastest_engines=() if measured is None else measured.order_for(inference.slots),
    )


def remote_options(settings: Settings) -> RemoteOptions:
    """Turn settings into which servers are asked for what."""
    inference = settings.inference
    return RemoteOptions(
        urls=inference.remote_url,
        model=inference.model,
        takes_only_model=inference.model == DEFAULT_MODEL,
        key=inference.remote_key,
        slots=inference.slots,
        context_tokens=inference.context_tokens,
    )


def measured_rates(settings: Settings) -> dict[str, Rates]:
    """Read what `botbridge bench` measured with the model in use, by engine; empty when it was not asked to."""
    report = _measured(settings)
    return {
        figures.engine: Rates(figures.prefill_tokens_s, figures.decode_tokens_s)
        for figures in (() if report is None else report.engines)
        if figures.prefill_tokens_s > 0 and figures.decode_tokens_s
    }


def _measured(settings: Settings) -> Report | None:
    """What `botbridge bench` found of the model in use as it is here; nothing of one that runs elsewhere."""
    inference = settings.inference
    if inference.engine in NO_MODEL_HERE:
        return None
    named = named_model(settings)
    report = read_report(settings.home, named.model)
    if report is None or is_of_another_revision(report, files_here(settings, named)):
        return None
    return report


def is_of_another_revision(report: Report, files: ModelFiles | None) -> bool:
    """Tell whether something else was measured than these files; no files, whose revision nobody knows, tell nothing.

    A report is found by the model's name alone, and a branch of the hub moves on under the same name.
    """
    return files is not None and report.revision != files.revision


def files_here(settings: Settings, named: NamedModel) -> ModelFiles | None:
    """Return a model's files with the adapters beside them; None where it is not here as it was pulled."""
    try:
        return ModelStore(settings.home).find_with_adapters(named)
    except (ModelNotFound, ModelDamaged):
        return None
