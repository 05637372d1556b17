"""Why the settings let no engine compute a model, and what lets one. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from botbridge.inference.choice import AUTO, CUDA, adding_engine, engine_order
from botbridge.sentences import Sentence

WITH_ANY_ENGINE: Final = "echo BOTBRIDGE_INFERENCE__ENGINE=auto >> .env"
ON_ANY_DEVICE: Final = "echo BOTBRIDGE_INFERENCE__DEVICE=auto >> .env"


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why no engine computes a model with these settings, and what has to change so that one does.

    Where nothing has to be set or installed, no change helps, and another model has to be chosen.

    Attributes:
        reason: What stands in the way.
        other: The engine that would compute the model if the settings allowed it; None where the engine that they
            ask for can stay, or where no change helps.
        wants_any_device: The setting of the device has to become `auto`.
        missing: The engine that computes the model after these changes, where it has to be installed first; None
            where it is installed already, or where no change helps.
    """

    reason: Sentence
    other: str | None = None
    wants_any_device: bool = False
    missing: str | None = None

    @property
    def command(self) -> str:
        """What lets an engine compute the model; empty where no installation and no setting would."""
        steps = (
            WITH_ANY_ENGINE if self.other is not None else "",
            ON_ANY_DEVICE if self.wants_any_device else "",
            adding_engine(self.missing) if self.missing is not None else "",
        )
        return " && ".join(step for step in steps if step)


def why_unserved(
    wanted: str,
    installed: Collection[str],
    *,
    has_gguf: bool,
    has_safetensors: bool,
    device: str,
    computing: Collection[str],
    has_gpu: bool = True,
) -> Unserved | None:
    """Return why no engine computes a model; None where one does. Arguments as of `engine_order` and `faster_engine`.

    Where there is no GPU, no engine is named for its sake.

    >>> forms = {"has_gguf": False, "has_safetensors": True, "device": "auto"}
    >>> why = why_unserved("llamacpp", {"llamacpp"}, **forms, computing={"llamacpp", "transformers"})
    >>> why.other, why.missing
    ('transformers', 'transformers')
    >>> why_unserved("auto", {"openvino"}, **forms, computing=set()).reason
    'no engine computes this model in this form'
    """

    def able(engine: str, on: str) -> tuple[str, ...]:
        forms = {"has_gguf": has_gguf, "has_safetensors": has_safetensors}
        return engine_order((), computing, **forms, slots=1, device=on, wanted=engine)

    served = able(wanted, device)
    if any(engine in installed for engine in served):
        return None
    if served:
        missing = Sentence("the engine {engine} is not installed", engine=served[0])
        return Unserved(missing if wanted != AUTO else Sentence("no engine that computes it"), missing=served[0])
    reason = _hindrance(wanted, device, computing, is_the_device=bool(able(wanted, AUTO)))
    changes = [
        (engine, on, by)
        for engine, on in (*([(AUTO, device)] if has_gpu or device != CUDA else []), (wanted, AUTO), (AUTO, AUTO))
        for by in able(engine, on)
    ]
    if not changes:
        return Unserved(reason)
    engine, on, by = next((change for change in changes if change[2] in installed), changes[0])
    return Unserved(
        reason,
        other=by if engine != wanted else None,
        wants_any_device=on != device,
        missing=None if by in installed else by,
    )


def _hindrance(wanted: str, device: str, computing: Collection[str], *, is_the_device: bool) -> Sentence:
    """Say what keeps a model from being computed; whether the device does by itself, the caller knows."""
    if wanted == AUTO and not is_the_device:
        return Sentence("no engine computes this model in this form")
    if wanted == AUTO and "transformers" in computing:
        return Sentence("on cuda only the engine transformers computes, which takes safetensors")
    if wanted == AUTO:
        return Sentence("on cuda only the engine transformers computes, and not this model")
    if wanted not in computing:
        return Sentence("the engine {engine} does not compute this model", engine=wanted)
    if wanted != "transformers" and device == CUDA:
        return Sentence("the engine {engine} does not compute on cuda", engine=wanted)
    form = "safetensors" if wanted == "transformers" else "GGUF"
    return Sentence("the engine {engine} takes only {form}, which this is not", engine=wanted, form=form)
