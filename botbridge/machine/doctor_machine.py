"""Judges memory, disk, system, cores, Python and SQLite against what the chosen model takes."""

from __future__ import annotations

from typing import Final

from botbridge.machine.doctor_facts import OTHER_MODELS, Examined, ModelState, Row, Status
from botbridge.machine.probe import MachineFacts
from botbridge.models.fitting import DATABASE_BYTES, SERVICE_BYTES, Judgement, MemoryNeed, Verdict
from botbridge.sentences import Sentence, clauses
from botbridge.sizes import enough_text, size_text

LEAST_PYTHON: Final = (3, 11)
"""Source: `requires-python` in pyproject.toml."""

MEMORY: Final = Sentence("Memory (RAM)")
DISK: Final = Sentence("Disk")
SYSTEM: Final = Sentence("Operating system")
CORES: Final = Sentence("Cores")

TRY_IT: Final = "botbridge bench"
"""It loads the model and tells what its worker took."""

ELSEWHERE: Final = (ModelState.REMOTE, ModelState.NONE)


def memory(examined: Examined) -> Row:
    """Judge what the machine can hold against weights, caches and botbridge itself."""
    machine, model = examined.machine, examined.model
    found, has_bytes = _memory_found(machine), machine.memory.holdable_bytes
    if model is None:
        return Row(MEMORY, found, Sentence("not known without a model"), Status.UNKNOWN)
    if model.state in ELSEWHERE:
        return _memory_of_the_service(machine, found)
    if model.need is None and examined.engines is not None and examined.engines.unserved is not None:
        return Row(MEMORY, found, Sentence("not known without an engine that computes the model"), Status.UNKNOWN)
    if model.need is None:
        needed, upgrade = Sentence("known when the model is here"), Sentence("the model's size is not known")
        return Row(MEMORY, found, needed, Status.UNKNOWN, upgrade, model.pull_command)
    judgement = Judgement(model.need, has_bytes)
    match judgement.verdict:
        case Verdict.FITS if examined.engines is not None and examined.engines.passed_over is not None:
            return _memory_with_another(found, judgement, examined.engines.passed_over)
        case Verdict.FITS:
            return Row(MEMORY, found, _memory_needed(model.need))
        case Verdict.UNKNOWN:
            how = TRY_IT if model.state is ModelState.HERE else f"{model.pull_command} && {TRY_IT}"
            return Row(MEMORY, found, _memory_needed(model.need), Status.UNKNOWN, judgement.sentence, how)
        case Verdict.DOES_NOT_FIT:
            more, how = _more_memory(machine, model.need.kept_within(has_bytes), judgement.short_bytes)
            lacking = clauses([judgement.sentence, more])
            return Row(MEMORY, found, _memory_needed(model.need), Status.UPGRADE, lacking, how)


def _memory_with_another(found: str, judgement: Judgement, tried: MemoryNeed) -> Row:
    """Say that it fits with one engine, and how the one that does not is kept from being tried."""
    upgrade = Sentence(
        "with {engine}, which is tried first, it {judgement}; it fits with {other}",
        engine=tried.engine,
        judgement=Judgement(tried, judgement.has_bytes).sentence,
        other=judgement.need.engine,
    )
    how = f"echo BOTBRIDGE_INFERENCE__ENGINE={judgement.need.engine} >> .env"
    return Row(MEMORY, found, _memory_needed(judgement.need), Status.OPTIONAL, upgrade, how)


def _memory_of_the_service(machine: MachineFacts, found: str) -> Row:
    needed = Sentence("{size}: the service alone", size=size_text(SERVICE_BYTES))
    short_bytes = SERVICE_BYTES - machine.memory.holdable_bytes
    if short_bytes <= 0:
        return Row(MEMORY, found, needed)
    return Row(MEMORY, found, needed, Status.UPGRADE, *_more_memory(machine, None, short_bytes))


def _memory_found(machine: MachineFacts) -> str:
    memory = machine.memory
    free, total = size_text(memory.holdable_bytes), size_text(memory.total_bytes)
    if memory.bot_bytes:
        bot = size_text(memory.bot_bytes)
        found = Sentence(
            "{free} free of {total}, counting the {bot} of the running bot", free=free, total=total, bot=bot
        )
    else:
        found = Sentence("{free} free of {total}", free=free, total=total)
    if memory.limit_bytes is None or memory.limit_bytes >= memory.total_bytes:
        return found
    return clauses([found, Sentence("the control group grants {limit}", limit=size_text(memory.limit_bytes))])


def _memory_needed(need: MemoryNeed) -> str:
    least = size_text(need.least_bytes)
    if need.needed_bytes is None:
        return Sentence("at least {size}: {parts}", size=least, parts=need.sentence)
    return Sentence("{size}: {parts}", size=least, parts=need.sentence)


def _more_memory(machine: MachineFacts, kept_bytes: int | None, short_bytes: int) -> tuple[str, str]:
    """Return what has to change, and how: the cheapest that suffices; `kept_bytes` are those that would fit."""
    if kept_bytes is not None:
        return (
            Sentence("keep {size} less between turns", size=enough_text(short_bytes)),
            f"echo BOTBRIDGE_INFERENCE__CACHE_BYTES={kept_bytes} >> .env",
        )
    limit_bytes = machine.memory.limit_bytes
    if limit_bytes is not None and limit_bytes + short_bytes <= machine.memory.total_bytes:
        granted_mb = -(-(limit_bytes + short_bytes) // 10**6)
        return (
            Sentence("let the container have {size} more, or take a smaller model", size=enough_text(short_bytes)),
            _or_smaller_model(f"docker update --memory {granted_mb}m --memory-swap {granted_mb}m CONTAINER"),
        )
    return Sentence("{size} more memory, or a smaller model", size=enough_text(short_bytes)), OTHER_MODELS


def _or_smaller_model(command: str) -> Sentence:
    return Sentence("{command}; or {other}", command=command, other=OTHER_MODELS)


def disk(examined: Examined) -> Row:
    """Judge free disk against what is still to be fetched, and room for the database."""
    machine, model = examined.machine, examined.model
    free_bytes = machine.disk_free_bytes
    fetch_bytes = 0 if model is None else model.fetch_bytes
    needed_bytes = (fetch_bytes or 0) + DATABASE_BYTES
    needed = _disk_needed(needed_bytes, fetch_bytes or 0)
    if free_bytes is None:
        found = Sentence("{home} cannot be looked at", home=machine.home)
        upgrade = Sentence("a directory of ours")
        return Row(DISK, found, needed, Status.UNKNOWN, upgrade, f"mkdir -p {machine.home}")
    found = Sentence("{free} free at {home}", free=size_text(free_bytes), home=machine.home)
    if free_bytes < needed_bytes:
        short = Sentence("{size} more disk, or a smaller model", size=enough_text(needed_bytes - free_bytes))
        return Row(
            DISK, found, needed, Status.UPGRADE, short, _or_smaller_model("echo BOTBRIDGE_HOME=/a/larger/disk >> .env")
        )
    if model is not None and fetch_bytes is None:
        needed = clauses([needed, Sentence("the model's size is not known")])
        return Row(DISK, found, needed, Status.UNKNOWN, "", model.pull_command)
    return Row(DISK, found, needed)


def _disk_needed(needed_bytes: int, fetch_bytes: int) -> str:
    needed, kept = size_text(needed_bytes), size_text(DATABASE_BYTES)
    if not fetch_bytes:
        return Sentence("{size}: {kept} for database and backups", size=needed, kept=kept)
    return Sentence(
        "{size}: {fetched} for the model, {kept} for database and backups",
        size=needed,
        fetched=size_text(fetch_bytes),
        kept=kept,
    )


def operating_system(examined: Examined) -> Row:
    """Judge the system: Linux, WSL 2 or macOS."""
    machine, needed = examined.machine, Sentence("Linux, WSL2 or macOS")
    found = f"{machine.system} {machine.release}"
    match machine.system, machine.wsl:
        case "Linux", 1:
            how = Sentence("in PowerShell: {command}", command="wsl --set-version DISTRIBUTION 2")
            return Row(SYSTEM, f"WSL1 ({found})", needed, Status.UPGRADE, "WSL2", how)
        case "Linux", 2:
            return Row(SYSTEM, f"WSL2 ({found})", needed)
        case "Linux" | "Darwin", _:
            return Row(SYSTEM, found.replace("Darwin", "macOS, Darwin"), needed)
        case "Windows", _:
            how = Sentence("in PowerShell: {command}; then set botbridge up inside it", command="wsl --install")
            return Row(SYSTEM, found, needed, Status.UPGRADE, Sentence("WSL2: Linux inside Windows"), how)
        case _:
            return Row(SYSTEM, found, needed, Status.UNKNOWN, Sentence("nobody tried botbridge here"))


def cores(examined: Examined) -> Row:
    """Judge how many cores are ours."""
    processor = examined.machine.processor
    physical = processor.physical_cores
    found: str = Sentence(
        "{usable} usable of {physical} ({threads} threads)",
        usable=processor.usable_cores,
        physical=Sentence("an unknown number of") if physical is None else physical,
        threads=processor.logical_cores,
    )
    needed = Sentence("1; an answer grows faster with each until memory is the limit")
    limit = processor.limit_cores
    if limit is None or limit >= processor.logical_cores:
        return Row(CORES, found, needed)
    found = clauses([found, Sentence("the control group grants {limit}", limit=f"{limit:g}")])
    if limit < 1:
        upgrade = Sentence("a whole core: the kernel pauses us again and again")
        return Row(CORES, found, needed, Status.OPTIONAL, upgrade, "docker update --cpus 1 CONTAINER")
    return Row(CORES, found, needed)


def python(examined: Examined) -> Row:
    """Judge the Python that runs this."""
    found = examined.machine.python
    needed = Sentence("{version} or newer", version=".".join(map(str, LEAST_PYTHON)))
    version = tuple(int(part) for part in found.split(".")[:2])
    if version >= LEAST_PYTHON:
        return Row("Python", found, needed)
    return Row("Python", found, needed, Status.UPGRADE, needed, "PYTHON=/path/to/python3 make setup")


def sqlite(examined: Examined) -> Row:
    """Judge the SQLite that this Python brings."""
    found, needed = examined.machine.sqlite, Sentence("any; one without known faults where other programs write, too")
    if examined.sqlite_note is None:
        return Row("SQLite", found, needed)
    upgrade = Sentence("two programs that write at once can damage a file")
    how = Sentence("let no other program write to botbridge's database, or take a Python with SQLite 3.51.3")
    return Row("SQLite", found, needed, Status.OPTIONAL, upgrade, how)
