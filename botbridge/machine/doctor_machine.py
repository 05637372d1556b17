"""Judges memory, disk, system, cores, Python and SQLite against what the chosen model takes."""

from __future__ import annotations

from typing import Final

from botbridge.machine.doctor_facts import Examined, ModelState, Row, Status
from botbridge.machine.probe import MachineFacts
from botbridge.models.fitting import SERVICE_BYTES, Judgement, MemoryNeed, Verdict
from botbridge.sizes import enough_text, size_text

DATABASE_BYTES: Final = 200_000_000
"""What database, log and the backup before an upgrade are given room for: our own allowance, not a measurement."""

LEAST_PYTHON: Final = (3, 11)
"""Source: `requires-python` in pyproject.toml."""

SMALLER_MODEL: Final = "botbridge models match"

TRY_IT: Final = "botbridge bench"
"""It loads the model and tells what its worker took."""

ELSEWHERE: Final = (ModelState.REMOTE, ModelState.NONE)


def memory(examined: Examined) -> Row:
    """Judge what the machine can hold against weights, caches and botbridge itself."""
    machine, model = examined.machine, examined.model
    found, has_bytes = _memory_found(machine), machine.memory.holdable_bytes
    if model is None:
        return Row("Memory (RAM)", found, "not known without a model", Status.UNKNOWN)
    if model.state in ELSEWHERE:
        return _memory_of_the_service(machine, found)
    if model.need is None:
        needed = "known when the model is here"
        return Row("Memory (RAM)", found, needed, Status.UNKNOWN, "the model's size is not known", model.pull_command)
    judgement = Judgement(model.need, has_bytes)
    match judgement.verdict:
        case Verdict.FITS:
            return Row("Memory (RAM)", found, _memory_needed(model.need))
        case Verdict.UNKNOWN:
            how = TRY_IT if model.state is ModelState.HERE else f"{model.pull_command} && {TRY_IT}"
            return Row("Memory (RAM)", found, _memory_needed(model.need), Status.UNKNOWN, str(judgement), how)
        case Verdict.DOES_NOT_FIT:
            upgrade, how = _more_memory(machine, model.need.kept_bytes, judgement.short_bytes)
            upgrade = f"{judgement}; {upgrade}"
            return Row("Memory (RAM)", found, _memory_needed(model.need), Status.UPGRADE, upgrade, how)


def _memory_of_the_service(machine: MachineFacts, found: str) -> Row:
    needed = f"{size_text(SERVICE_BYTES)}: the service alone"
    short_bytes = SERVICE_BYTES - machine.memory.holdable_bytes
    if short_bytes <= 0:
        return Row("Memory (RAM)", found, needed)
    return Row("Memory (RAM)", found, needed, Status.UPGRADE, *_more_memory(machine, 0, short_bytes))


def _memory_found(machine: MachineFacts) -> str:
    memory = machine.memory
    found = f"{size_text(memory.holdable_bytes)} free of {size_text(memory.total_bytes)}"
    if memory.bot_bytes:
        found = f"{found}, counting the {size_text(memory.bot_bytes)} of the running bot"
    if memory.limit_bytes is None or memory.limit_bytes >= memory.total_bytes:
        return found
    return f"{found}; the control group grants {size_text(memory.limit_bytes)}"


def _memory_needed(need: MemoryNeed) -> str:
    least = "" if need.needed_bytes is not None else "at least "
    return f"{least}{size_text(need.least_bytes)}: {need}"


def _more_memory(machine: MachineFacts, kept_bytes: int, short_bytes: int) -> tuple[str, str]:
    """Return what has to change, and how: the cheapest that suffices."""
    if kept_bytes >= short_bytes:
        left_bytes = kept_bytes - short_bytes
        return (
            f"keep {enough_text(short_bytes)} less between turns",
            f"echo BOTBRIDGE_INFERENCE__CACHE_BYTES={left_bytes} >> .env",
        )
    limit_bytes = machine.memory.limit_bytes
    if limit_bytes is not None and limit_bytes + short_bytes <= machine.memory.total_bytes:
        granted_mb = -(-(limit_bytes + short_bytes) // 10**6)
        return (
            f"let the container have {enough_text(short_bytes)} more, or take a smaller model",
            f"docker update --memory {granted_mb}m --memory-swap {granted_mb}m CONTAINER; or {SMALLER_MODEL}",
        )
    return f"{enough_text(short_bytes)} more memory, or a smaller model", SMALLER_MODEL


def disk(examined: Examined) -> Row:
    """Judge free disk against what is still to be fetched, and room for the database."""
    machine, model = examined.machine, examined.model
    free_bytes = machine.disk_free_bytes
    fetch_bytes = 0 if model is None else model.fetch_bytes
    needed_bytes = (fetch_bytes or 0) + DATABASE_BYTES
    needed = f"{size_text(needed_bytes)}: "
    needed += f"{size_text(fetch_bytes)} for the model, " if fetch_bytes else ""
    needed += f"{size_text(DATABASE_BYTES)} for database and backups"
    if free_bytes is None:
        how = f"mkdir -p {machine.home}"
        return Row("Disk", f"{machine.home} cannot be looked at", needed, Status.UNKNOWN, "a directory of ours", how)
    found = f"{size_text(free_bytes)} free at {machine.home}"
    if free_bytes < needed_bytes:
        short = f"{enough_text(needed_bytes - free_bytes)} more disk, or a smaller model"
        how = f"echo BOTBRIDGE_HOME=/a/larger/disk >> .env; or {SMALLER_MODEL}"
        return Row("Disk", found, needed, Status.UPGRADE, short, how)
    if model is not None and fetch_bytes is None:
        return Row("Disk", found, f"{needed}; the model's size is not known", Status.UNKNOWN, "", model.pull_command)
    return Row("Disk", found, needed)


def operating_system(examined: Examined) -> Row:
    """Judge the system: Linux, WSL 2 or macOS."""
    machine, needed = examined.machine, "Linux, WSL2 or macOS"
    found = f"{machine.system} {machine.release}"
    match machine.system, machine.wsl:
        case "Linux", 1:
            how = "in PowerShell: wsl --set-version DISTRIBUTION 2"
            return Row("Operating system", f"WSL1 ({found})", needed, Status.UPGRADE, "WSL2", how)
        case "Linux", 2:
            return Row("Operating system", f"WSL2 ({found})", needed)
        case "Linux" | "Darwin", _:
            return Row("Operating system", found.replace("Darwin", "macOS, Darwin"), needed)
        case "Windows", _:
            how = "in PowerShell: wsl --install; then set botbridge up inside it"
            return Row("Operating system", found, needed, Status.UPGRADE, "WSL2: Linux inside Windows", how)
        case _:
            return Row("Operating system", found, needed, Status.UNKNOWN, "nobody tried botbridge here")


def cores(examined: Examined) -> Row:
    """Judge how many cores are ours."""
    processor = examined.machine.processor
    physical = "an unknown number of" if processor.physical_cores is None else processor.physical_cores
    found = f"{processor.usable_cores} usable of {physical} ({processor.logical_cores} threads)"
    needed = "1; an answer grows faster with each until memory is the limit"
    limit = processor.limit_cores
    if limit is None or limit >= processor.logical_cores:
        return Row("Cores", found, needed)
    found = f"{found}; the control group grants {limit:g}"
    if limit < 1:
        how = "docker update --cpus 1 CONTAINER"
        return Row("Cores", found, needed, Status.OPTIONAL, "a whole core: the kernel pauses us again and again", how)
    return Row("Cores", found, needed)


def python(examined: Examined) -> Row:
    """Judge the Python that runs this."""
    found = examined.machine.python
    needed = f"{'.'.join(map(str, LEAST_PYTHON))} or newer"
    version = tuple(int(part) for part in found.split(".")[:2])
    if version >= LEAST_PYTHON:
        return Row("Python", found, needed)
    return Row("Python", found, needed, Status.UPGRADE, needed, "PYTHON=/path/to/python3 make setup")


def sqlite(examined: Examined) -> Row:
    """Judge the SQLite that this Python brings."""
    found, needed = examined.machine.sqlite, "any; one without known faults where other programs write, too"
    if examined.sqlite_note is None:
        return Row("SQLite", found, needed)
    how = "let no other program write to botbridge's database, or take a Python with SQLite 3.51.3"
    return Row("SQLite", found, needed, Status.OPTIONAL, "two programs that write at once can damage a file", how)
