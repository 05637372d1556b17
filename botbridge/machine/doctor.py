"""Can this machine run the chosen model, and is all set up: facts in, an audit out. Pure.

The rows are those of the audit that botbridge descends from (memory, disk,
system, AVX and SSE, compiler, make, cmake), judged by what the model takes and
no longer by fixed numbers, and what a bot needs beyond them.

Covered: everything that can stop a start or an answer, each with what mends it.
Not covered: how fast it will be (`botbridge bench`) and how many people it carries (`botbridge plan`).
"""

from __future__ import annotations

from collections.abc import Sequence

from botbridge.machine import doctor_machine, doctor_processor, doctor_service, doctor_tools
from botbridge.machine.doctor_facts import Examined, Row, Status


def judge(examined: Examined) -> tuple[Row, ...]:
    """Return the audit, row by row."""
    return (
        doctor_machine.memory(examined),
        doctor_machine.disk(examined),
        doctor_machine.operating_system(examined),
        *doctor_processor.instructions(examined),
        doctor_machine.cores(examined),
        doctor_tools.compiler(examined),
        doctor_tools.make(examined),
        doctor_tools.cmake(examined),
        doctor_machine.python(examined),
        doctor_machine.sqlite(examined),
        doctor_tools.torch(examined),
        doctor_tools.engine(examined),
        doctor_service.model(examined),
        *doctor_service.servers(examined),
        doctor_service.licence(examined),
        doctor_service.home(examined),
        doctor_service.database(examined),
        doctor_service.port(examined),
        doctor_service.clock(examined),
        *doctor_service.telegram(examined),
        *doctor_service.discord(examined),
    )


def is_ready(rows: Sequence[Row]) -> bool:
    """Tell whether nothing has to be changed first; what could not be looked at does not count against it."""
    return all(row.status is not Status.UPGRADE for row in rows)
