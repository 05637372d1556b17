"""What a plan goes by: how fast the chosen model is on this machine, and what memory it takes there."""

from __future__ import annotations

from botbridge.chosen import files_here, is_of_another_revision, named_model
from botbridge.errors import NotMeasured
from botbridge.inference.choice import AUTO, NO_MODEL_HERE
from botbridge.machine.figures import read_report
from botbridge.machine.plan import Measured, PlannedMemory, measured_speed
from botbridge.machine.probe import MachineFacts
from botbridge.machine.queueing import Speed
from botbridge.model_at_hand import need_at_hand, serving_engine
from botbridge.models.fitting import Judgement
from botbridge.sentences import Sentence
from botbridge.settings import Settings


def measure_of(
    settings: Settings, machine: MachineFacts, *, engine: str | None, tokens_per_s: float | None
) -> Measured:
    """Return how fast the chosen model is with the engine that serves it here, or with another that is named.

    Args:
        settings: The operator's decisions.
        machine: What the machine is.
        engine: None for the one that would serve.
        tokens_per_s: Of one answer alone: nothing that was measured counts.

    Raises:
        ConfigError: No model can have the name that the settings give.
        NotMeasured: Nothing was measured of this model's revision with this engine, or nothing is computed here.
    """
    if tokens_per_s is not None:
        return Measured(Speed.guessed(tokens_per_s))
    named = named_model(settings)
    inference, report = settings.inference, read_report(settings.home, named.model)
    wanted = engine or inference.engine
    if wanted in NO_MODEL_HERE:
        raise NotMeasured(
            Sentence(
                "with the engine {engine} nothing is computed here: say {option} to plan with its speed, "
                "or {other} to plan with this machine's",
                engine=wanted,
                option="--tokens-per-s N",
                other="--engine auto",
            )
        )
    if report is not None and is_of_another_revision(report, files_here(settings, named)):
        raise NotMeasured(
            Sentence(
                "another revision of {model} was measured than the one that is here: run {command}, "
                "or say {option} to plan without",
                model=named.model,
                command="`botbridge bench`",
                option="--tokens-per-s N",
            )
        )
    if wanted == AUTO and report is not None:
        wanted = serving_engine(settings, machine) or AUTO
    return measured_speed(report, wanted, named.model, inference.slots)


def planned_memory(
    settings: Settings,
    machine: MachineFacts,
    *,
    engine: str | None,
    quantization: str | None,
) -> PlannedMemory:
    """Judge the memory of a plan; what the worker was measured to take is not looked at.

    Args:
        settings: The operator's decisions.
        machine: What the machine is.
        engine: The one that is judged; None for that of the settings.
        quantization: None for the form that is here, or would come.

    Raises:
        ConfigError: No model can have the name that the settings give.
        ModelNotFound: The model is neither in the catalogue nor here.
        ModelDamaged: Its files are the operator's own, and damaged.
        ModelLoadError: This engine does not compute it in this form.
        KeyError: No size is known of this quantization.
    """
    wanted = engine or settings.inference.engine
    has_bytes = machine.memory.holdable_bytes
    if wanted in NO_MODEL_HERE:
        return PlannedMemory(has_bytes=has_bytes, is_elsewhere=True)
    need = need_at_hand(settings, machine, engine=wanted, quantization=quantization)
    return PlannedMemory(None if need is None else Judgement(need, has_bytes), has_bytes=has_bytes)
