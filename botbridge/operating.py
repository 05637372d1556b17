"""What the operator has done by a command: by the running service, or without one under the database's lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botbridge.control import SOCKET_NAME, ControlClient
from botbridge.control_verbs import PersonId, ResetTarget, Verb, reset_target
from botbridge.conversation.texts import Texts, load_texts
from botbridge.errors import ControlError, DatabaseInUse, StorageUnavailable
from botbridge.messages import AuditEntry, ConversationKey, InboxRow, InboxState, Outcome, Part
from botbridge.settings import Settings
from botbridge.storage.files import is_missing
from botbridge.stores import Storage, sql_storage

ANSWER_PATIENCE_S = 10.0
BY_COMMAND = "operator:command"


async def carry_out(settings: Settings, verb: Verb, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """Have the running service do it when there is one, else do it here.

    Raises:
        ControlError: a service holds the database and does not answer, or cannot do it.
        StorageError: the database cannot be used.
    """
    path = settings.home / SOCKET_NAME
    client = ControlClient(path)
    if await client.is_served():
        # Asked first, so that a service that hangs is told from one that is busy with a long act.
        await client.ask(Verb.HEALTH, timeout_s=ANSWER_PATIENCE_S)
        return await client.ask(verb, **arguments)
    database = settings.database_path
    if is_missing(database):
        # To begin a blank one and report success would be an answer about another bot's data.
        message = f"database {database}: there is no such file; set BOTBRIDGE_HOME as for the bot"
        raise StorageUnavailable(message)
    storage = sql_storage(settings)
    try:
        async with storage.opened():
            return await Offline(storage, load_texts()).do(verb, arguments)
    except DatabaseInUse as error:
        raise ControlError(f"{error}, and that does not answer at {path}") from error


@dataclass(frozen=True, slots=True)
class Offline:
    """The verbs while no service runs; what people are told of it waits in the outbox for the next one."""

    storage: Storage
    texts: Texts

    async def do(self, verb: Verb, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out a verb.

        Raises:
            ControlError: it needs a running service.
            StorageError: the database cannot be used.
        """
        match verb:
            case Verb.RESET:
                return {"conversations": await self._reset(reset_target(arguments))}
            case Verb.EXPORT:
                return await self._export(PersonId.parse(arguments["person"]))
            case Verb.FORGET:
                return await self._forget(PersonId.parse(arguments["person"]))
            case Verb.BACKUP:
                return {"database": str(await self.storage.backup(Path(arguments["path"])))}
            case Verb.QUEUE:
                return {"running": [], "waiting": [_waiting(row) for row in await self.storage.inbox.unfinished()]}
            case _:
                raise ControlError(f"no service runs that could do {verb}")

    async def _reset(self, target: ResetTarget) -> int:
        keys = await self._keys(target)
        await self.storage.history.reset(keys, self._notice)
        await self._record("reset", str(target))
        return len(keys)

    async def _keys(self, target: ResetTarget) -> Sequence[ConversationKey]:
        history = self.storage.history
        if target.person is not None:
            return await history.matching(platform=target.person.platform, user_id=target.person.user_id)
        if target.chat is not None:
            platform, chat_id = target.chat
            return await history.matching(platform=platform, chat_id=chat_id)
        return await history.matching()

    async def _export(self, person: PersonId) -> dict[str, Any]:
        await self._record("export", str(person))
        return await self.storage.people.export(person.platform, person.user_id)

    async def _forget(self, person: PersonId) -> dict[str, Any]:
        erased = await self.storage.people.forget(person.platform, person.user_id)
        await self._record("forget", str(person))
        return dict(erased)

    def _notice(self, ended: InboxRow) -> Outcome:
        text = self.texts.of(ended.incoming).say("This conversation was reset, so I do not answer this any more.")
        # One short part without markup, which every platform takes as it is.
        return Outcome(InboxState.CANCELLED, (Part(text),), edits=ended.status_message_id)

    async def _record(self, action: str, subject: str) -> None:
        await self.storage.audit.record(AuditEntry(BY_COMMAND, action, subject, allowed=True, reason="operator"))


def _waiting(row: InboxRow) -> dict[str, object]:
    return {"id": row.id, "platform": row.key.platform, "person": row.incoming.sender.user_id}
