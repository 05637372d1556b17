"""What `doctor` judges, and the form of its judgement: facts in, rows out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from botbridge.accounts import Account, Unanswered
from botbridge.inference.choice import AUTO
from botbridge.inference.unserved import Unserved
from botbridge.machine.probe import MachineFacts
from botbridge.models.fitting import MemoryNeed

OTHER_MODELS: Final = "botbridge models match"
"""Names models that this machine holds and an engine computes."""


class Status(StrEnum):
    """A row's outcome.

    `UPGRADE` alone makes a machine not ready; `OPTIONAL` works, and could be
    better; `UNKNOWN` could not be looked at.
    """

    OK = "ok"
    UPGRADE = "upgrade"
    OPTIONAL = "optional"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the audit.

    Attributes:
        component: What was looked at.
        found: What is there.
        needed: What the chosen model needs of it.
        upgrade: What has to change; empty where nothing has to.
        how: The command or the act that changes it; empty where nothing has to change.
    """

    component: str
    found: str
    needed: str
    status: Status = Status.OK
    upgrade: str = ""
    how: str = ""


class ModelState(StrEnum):
    """Where the chosen model is."""

    HERE = "here"
    MISSING = "missing"
    DAMAGED = "damaged"
    REMOTE = "remote"
    NONE = "none"
    """No model: an engine for tests that says back what it is told."""


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """The model in question.

    Attributes:
        name: As the operator wrote it.
        model: Catalogue id, hub id or path.
        detail: Where it is and how far it was checked, or what is wrong with it, in one sentence.
        has_gguf: It is, or will be, here as a GGUF.
        has_safetensors: It is, or will be, here as safetensors.
        need: What it takes of the memory; None where its size is not known before it is here.
        fetch_bytes: What comes to the disk before it can be used; 0 when it is here, None where that is not known.
        pull_command: Fetches it; empty where that is of no use: at a path where nothing lies, where none computes it.
        comes_unasked: `botbridge run` fetches it by itself.
    """

    name: str
    model: str
    state: ModelState
    detail: str
    has_gguf: bool
    has_safetensors: bool
    need: MemoryNeed | None
    fetch_bytes: int | None
    pull_command: str
    comes_unasked: bool = False


@dataclass(frozen=True, slots=True)
class Engines:
    """What computes.

    Attributes:
        wanted: The setting: `auto`, or one by name.
        installed: Those that are here, `remote` among them.
        order: What would be tried for the chosen model, the one that serves first.
        device: The setting: `auto`, `cpu` or `cuda`.
        faster: One that is not here and would be faster; None where there is none.
        passed_over: What the model would take with an engine that is tried before the one that serves, and for which
            there is no memory; None where none is.
        unserved: Why none computes it, and what would help; None where one does.
        measured_otherwise: What `botbridge bench` measured, and what counts for nothing, is another revision of it.
    """

    wanted: str
    installed: Collection[str]
    order: Sequence[str]
    device: str = AUTO
    faster: str | None = None
    passed_over: MemoryNeed | None = None
    unserved: Unserved | None = None
    measured_otherwise: bool = False

    @property
    def taken(self) -> str | None:
        """The one that would compute; None when none can."""
        return next(iter(self.order), None)


@dataclass(frozen=True, slots=True)
class Licence:
    """What was found of the licence for the use in question; another part of botbridge decides it.

    Attributes:
        found: Its name and the verdict.
        status: OK when nothing stands in the way.
        how: The command that accepts or shows it.
    """

    found: str
    status: Status
    upgrade: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server elsewhere that is to compute; `obstacle` says why it cannot be asked, empty when it can.

    Attributes:
        model: Its name of the model that it would be asked for.
    """

    url: str
    model: str
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """The data directory; `obstacle` says why the bot could not start in it, empty when it can."""

    path: Path
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The file in which history is kept.

    Attributes:
        revision: Of its schema; None where there is no file yet, or an empty one.
        head: The revision that this version writes.
        obstacle: Why it cannot be used, with what mends it; empty when it can.
    """

    path: Path
    revision: str | None
    head: str
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """Where Telegram's deliveries are taken; `obstacle` says why they cannot be, empty when they can."""

    host: str
    port: int
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was looked at; None stands for what was not.

    Attributes:
        servers: Those elsewhere that are to compute, where they could be asked.
        running_model: What the bot computes with that runs now, holding its port; None for no bot.
        sqlite_note: What is known against this version of SQLite.
        telegram: None where there is no token.
        discord: None where there is no token.
        wants_message_content: DISCORD__MESSAGE_CONTENT is on.
        webhook: None while Telegram is polled.
    """

    machine: MachineFacts
    model: ChosenModel | None = None
    engines: Engines | None = None
    licence: Licence | None = None
    servers: Sequence[ServerFacts] = ()
    home: HomeFacts | None = None
    database: DatabaseFacts | None = None
    webhook: PortFacts | None = None
    telegram: Account | Unanswered | None = None
    discord: Account | Unanswered | None = None
    wants_message_content: bool = False
    running_model: str | None = None
    sqlite_note: str | None = None
