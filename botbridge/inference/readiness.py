"""Waiting for a model that is being loaded, whoever runs it."""

from __future__ import annotations

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.errors import ModelUnavailable
from botbridge.ports import TextGenerator


async def until_ready(generator: TextGenerator) -> GeneratorStatus:
    """Return what can answer, as soon as it can.

    Raises:
        ModelUnavailable: It cannot, and is not about to; the sentence says why.
    """
    while (status := generator.status()).state is not GeneratorState.READY:
        if status.state is GeneratorState.UNAVAILABLE:
            raise ModelUnavailable(status.detail)
        await generator.changed()
    return status
