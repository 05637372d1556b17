"""What `botbridge bench` has found of the catalogue's models on this machine."""

from __future__ import annotations

from pathlib import Path

from botbridge.machine.figures import read_report
from botbridge.models.facts import CatalogueEntry
from botbridge.models.listing import Speed, names_of


def measured_speed(home: Path, entry: CatalogueEntry) -> Speed | None:
    """Return how fast a model is here with its fastest engine; None where it was never measured."""
    for name in names_of(entry):
        report = read_report(home, name)
        figures = None if report is None else report.fastest
        if figures is not None:
            rates = figures.decode_tokens_s
            return Speed(figures.engine, rates[min(rates)], figures.prefill_tokens_s)
    return None
