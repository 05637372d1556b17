"""Whether the bot can answer: facts on one side, limits on the other, and what is wrong. Pure.

A process that runs proves nothing: its worker may hang, its polls may fail, its
disk may be full. So each part is judged by the age of the last thing that it
did, by one row that is written and by one question that goes through the
worker. Whoever serves a readiness route asks for `complaints`; that they could
be gathered at all is what a liveness route tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from botbridge.answers import GeneratorState


class Part(StrEnum):
    """What can be wrong."""

    MODEL = "model"
    WORKER = "worker"
    SELF_TEST = "self-test"
    PLATFORM = "platform"
    LINE = "line"
    OUTBOX = "outbox"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class PlatformHealth:
    """Signs that messages can come in; each platform fills it in.

    Attributes:
        is_on: As far as the platform has told lately.
        last_good_s: Age, in seconds, of the last poll that was answered or the
            last heartbeat that was acknowledged; None where there was none, or
            where the platform has nothing of the kind.
        limit_s: The age at which it counts as silent; None for no such age.
        detail: Why it is off, for the operator; empty when that is not known.
    """

    is_on: bool
    last_good_s: float | None = None
    limit_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """Signs of life of the worker process.

    Attributes:
        silent_s: Age of its last message of any kind, in seconds.
        stalled_s: Age of its last token while it computes, in seconds; 0 when it is idle.
        tokens_total: How many tokens it has computed since it was started, by
            its last heartbeat; those of a prompt count as they are read.
    """

    silent_s: float
    stalled_s: float
    tokens_total: int = 0


@dataclass(frozen=True, slots=True)
class SelfTestHealth:
    """What became of the questions that nobody asked.

    Attributes:
        passed_s: Age of the last one that was answered, in seconds; None before the first.
        error: Why the last one failed; empty when it did not.
    """

    passed_s: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class BackupHealth:
    """What became of the backups that are made by themselves.

    Attributes:
        age_s: Age of the newest one, in seconds; None when there is none.
        limit_s: The age at which one is missing.
        error: Why the last attempt failed; empty when it did not.
    """

    age_s: float | None
    limit_s: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known about the bot at one moment.

    Attributes:
        worker: None where no process of ours computes, or between two of them.
        self_test: None where no process of ours computes.
        answering: How many answers are being made.
        waiting_s: For how long the oldest message in the line has waited.
        outbox_s: Age of the oldest part of a reply that a platform which is on has not taken yet.
        database_error: Why no row could be written; empty when one was.
        backup: None where none is to be made.
    """

    model_state: GeneratorState
    model_detail: str
    platforms: Mapping[str, PlatformHealth]
    worker: WorkerHealth | None
    self_test: SelfTestHealth | None
    answering: int
    waiting_s: float
    outbox_s: float
    database_error: str
    backup: BackupHealth | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still healthy, in seconds.

    Attributes:
        silent_s: Ten heartbeats of the worker; the supervisor waits longer before it kills.
        stalled_s: The slowest step that a worker is granted.
        self_test_s: How old the last answer to a self-test may be while nobody is answered.
        waiting_s: A message that waits longer should have been given up.
        outbox_s: A reply that is older is stuck.
    """

    silent_s: float = 5.0
    stalled_s: float = 60.0
    self_test_s: float = 60.0
    waiting_s: float = 930.0
    outbox_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong, in a sentence for the operator."""

    part: Part
    sentence: str


def complaints(facts: Facts, limits: Limits) -> tuple[Complaint, ...]:
    """Return what keeps the bot from answering; nothing when it is well.

    >>> well = Facts(GeneratorState.READY, "", {}, WorkerHealth(0.2, 0), SelfTestHealth(3.0), 0, 0, 0, "")
    >>> complaints(well, Limits())
    ()
    """
    return (
        *_of_the_model(facts, limits),
        *(
            Complaint(Part.PLATFORM, f"{name}: {reason}")
            for name, platform in facts.platforms.items()
            if (reason := _of_platform(platform))
        ),
        *_of_what_is_owed(facts, limits),
    )


def warnings(facts: Facts) -> tuple[str, ...]:
    """Return what the operator should mend although the bot answers: no reason to start it anew.

    >>> backup = BackupHealth(7200.0, 172_800.0, "the disk is full")
    >>> warnings(Facts(GeneratorState.READY, "", {}, None, None, 0, 0, 0, "", backup))
    ('backup: the last attempt failed, the newest one is 2 h old: the disk is full',)
    """
    backup = facts.backup
    if backup is None:
        return ()
    age = "there is none" if backup.age_s is None else f"the newest one is {backup.age_s / 3600:.0f} h old"
    if backup.error:
        return (f"backup: the last attempt failed, {age}: {backup.error}",)
    if backup.age_s is not None and backup.age_s > backup.limit_s:
        return (f"backup: none has been made for {backup.age_s / 3600:.0f} h",)
    return ()


def _of_the_model(facts: Facts, limits: Limits) -> Iterator[Complaint]:
    if facts.model_state is not GeneratorState.READY:
        yield Complaint(Part.MODEL, facts.model_detail or f"the model is {facts.model_state}")
        return
    if (worker := facts.worker) is not None:
        if worker.silent_s > limits.silent_s:
            yield Complaint(Part.WORKER, f"the worker has given no sign of life for {worker.silent_s:.0f} s")
        if worker.stalled_s > limits.stalled_s:
            yield Complaint(Part.WORKER, f"the worker has computed no token for {worker.stalled_s:.0f} s")
    if (test := facts.self_test) is None or facts.answering:
        return
    if test.error:
        yield Complaint(Part.SELF_TEST, f"the worker failed a question of our own: {test.error}")
    elif test.passed_s is None:
        yield Complaint(Part.SELF_TEST, "the worker has not answered a question of our own yet")
    elif test.passed_s > limits.self_test_s:
        yield Complaint(Part.SELF_TEST, f"the worker has answered no question of our own for {test.passed_s:.0f} s")


def _of_platform(platform: PlatformHealth) -> str:
    if not platform.is_on:
        return platform.detail or "not connected"
    if (age_s := platform.last_good_s) is not None and platform.limit_s is not None and age_s > platform.limit_s:
        return f"silent for {age_s:.0f} s"
    return ""


def _of_what_is_owed(facts: Facts, limits: Limits) -> Iterator[Complaint]:
    if facts.waiting_s > limits.waiting_s:
        yield Complaint(Part.LINE, f"a message has waited for {facts.waiting_s:.0f} s and was not given up")
    if facts.outbox_s > limits.outbox_s:
        yield Complaint(Part.OUTBOX, f"a reply has not been delivered for {facts.outbox_s:.0f} s")
    if facts.database_error:
        yield Complaint(Part.DATABASE, facts.database_error)
