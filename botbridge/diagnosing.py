"""`botbridge doctor` from end to end: look, judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from botbridge.machine.doctor import is_ready, judge
from botbridge.machine.doctor_facts import Examined, Row
from botbridge.machine.probe import MachineFacts, Probe
from botbridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out, and whether the bot can start."""

    model: str
    machine: MachineFacts
    rows: tuple[Row, ...]

    @property
    def is_ready(self) -> bool:
        """True when nothing has to be changed first."""
        return is_ready(self.rows)


async def diagnose(settings: Settings, probe: Probe, told: Callable[[str], None]) -> Diagnosis:
    """Look this machine and this set-up over.

    Args:
        settings: The operator's decisions; their model is the chosen one.
        probe: Looks at the machine.
        told: Hears what takes longer than a second.

    Raises:
        ConfigError: no model can have the name that the settings give.
    """
    machine = probe.look(settings.home)
    return Diagnosis(settings.inference.model, machine, judge(await _examined(settings, machine, told)))


async def _examined(settings: Settings, machine: MachineFacts, told: Callable[[str], None]) -> Examined:
    if machine.system == "Windows":
        return Examined(machine)  # what looks at the rest cannot even be imported there
    from botbridge.examining import examine  # noqa: PLC0415 - see above

    return await examine(settings, machine, told)
