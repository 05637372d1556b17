"""What can be asked of the running service: the verbs, their arguments and their results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from botbridge.control import Act, ControlClient, Feed, Json
from botbridge.errors import ControlError
from botbridge.messages import ChatId, InboxState, PlatformName, UserId
from botbridge.platforms.terminal.window import Shown

LARGEST_SEED = 2**63 - 1


class Verb(StrEnum):
    """The names on the wire."""

    HEALTH = "health"
    QUEUE = "queue"
    RESET = "reset"
    BACKUP = "backup"
    EXPORT = "export"
    FORGET = "forget"
    CHAT = "chat"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class PersonId:
    """A person on one platform, written `telegram:42` on the command line."""

    platform: PlatformName
    user_id: UserId

    @classmethod
    def parse(cls, text: str) -> PersonId:
        """Read `platform:id`.

        >>> PersonId.parse("telegram:42")
        PersonId(platform='telegram', user_id='42')

        Raises:
            ControlError: it is not of this form.
        """
        platform, _, user_id = text.partition(":")
        if not platform or not user_id:
            raise ControlError(f"{text!r} is not of the form telegram:42")
        return cls(PlatformName(platform), UserId(user_id))

    def __str__(self) -> str:
        return f"{self.platform}:{self.user_id}"


@dataclass(frozen=True, slots=True)
class ResetTarget:
    """Whose conversations are reset: one person's, one chat's, or everybody's when both are None."""

    person: PersonId | None = None
    chat: tuple[PlatformName, ChatId] | None = None

    def __str__(self) -> str:
        if self.chat is not None:
            return f"chat {':'.join(self.chat)}"
        return "all" if self.person is None else f"person {self.person}"


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody at another terminal of this machine says.

    Attributes:
        seed: Makes this one answer repeatable; None draws one.
        language: An IETF tag, where the terminal tells it.
    """

    text: str
    seed: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Verbs:
    """What the service does for each verb; `app.py` fills it in.

    Attributes:
        health: The state of the service; its keys `ok`, `engine` and `model` are read here.
        reset: How many conversations were reset.
        backup: Writes a copy of the database to a path that does not exist yet.
        forget: How many rows of each table went.
        late: Replies to earlier questions, for the person at the terminal.
    """

    health: Callable[[], Awaitable[Json]]
    queue: Callable[[], Awaitable[Json]]
    reset: Callable[[ResetTarget], Awaitable[int]]
    backup: Callable[[Path], Awaitable[Path]]
    export: Callable[[PersonId], Awaitable[Json]]
    forget: Callable[[PersonId], Awaitable[Mapping[str, int]]]
    chat: Callable[[Question], AsyncGenerator[Shown, None]]
    late: Callable[[], AsyncGenerator[str, None]]

    def handlers(self) -> dict[str, Act | Feed]:
        """The verbs as the control server takes them."""
        return {
            Verb.HEALTH: Act(self._health),
            Verb.QUEUE: Act(self._queue),
            Verb.RESET: Act(self._reset),
            Verb.BACKUP: Act(self._backup),
            Verb.EXPORT: Act(self._export),
            Verb.FORGET: Act(self._forget),
            Verb.CHAT: Feed(self._chat),
            Verb.LATE: Feed(self._late),
        }

    async def _health(self, _: Json) -> Json:
        return await self.health()

    async def _queue(self, _: Json) -> Json:
        return await self.queue()

    async def _reset(self, request: Json) -> Json:
        return {"conversations": await self.reset(reset_target(request))}

    async def _backup(self, request: Json) -> Json:
        return {"database": str(await self.backup(Path(_text(request, "path"))))}

    async def _export(self, request: Json) -> Json:
        return await self.export(PersonId.parse(_text(request, "person")))

    async def _forget(self, request: Json) -> Json:
        return await self.forget(PersonId.parse(_text(request, "person")))

    async def _chat(self, request: Json) -> AsyncGenerator[Json, None]:
        async with aclosing(self.chat(_question(request))) as replies:
            async for shown in replies:
                yield shown_as_json(shown)

    async def _late(self, _: Json) -> AsyncGenerator[Json, None]:
        async with aclosing(self.late()) as replies:
            async for text in replies:
                yield {"text": text}


def reset_target(request: Json) -> ResetTarget:
    """Read whose conversations are meant; `everybody` must be said, it is not what remains.

    Raises:
        ControlError: none or more than one of person, chat and everybody is named.
    """
    named = [name for name in ("person", "chat", "everybody") if request.get(name)]
    if len(named) != 1:
        raise ControlError("a reset needs one of person, chat and everybody")
    match named[0]:
        case "person":
            return ResetTarget(person=PersonId.parse(_text(request, "person")))
        case "chat":
            platform, _, chat_id = _text(request, "chat").partition(":")
            if not platform or not chat_id:
                raise ControlError(f"{_text(request, 'chat')!r} is not of the form telegram:-100")
            return ResetTarget(chat=(PlatformName(platform), ChatId(chat_id)))
        case _:
            return ResetTarget()


def shown_as_json(shown: Shown) -> Json:
    """One step of a reply, for the wire."""
    return {
        "text": shown.text,
        "is_final": shown.is_final,
        "is_status": shown.is_status,
        "ending": shown.ending,
    }


def shown_from_json(item: Json) -> Shown:
    """The step of a reply that `shown_as_json` wrote."""
    ending = item.get("ending")
    return Shown(
        str(item["text"]),
        is_final=bool(item["is_final"]),
        is_status=bool(item["is_status"]),
        ending=None if ending is None else InboxState(ending),
    )


@dataclass(frozen=True, slots=True)
class JoinedChat:
    """`Chat` with the service behind the control socket."""

    service: ControlClient
    seed: int | None = None
    language: str | None = None

    async def ask(self, text: str) -> AsyncGenerator[Shown, None]:
        """Say something; yields what the reply looks like until it is final.

        Raises:
            ControlError: the service is gone, or what it says.
        """
        items = self.service.follow(Verb.CHAT, text=text, seed=self.seed, language=self.language)
        async with aclosing(items):
            async for item in items:
                yield shown_from_json(item)

    async def late_replies(self) -> AsyncGenerator[str, None]:
        """Yield the replies to questions whose window was closed, as they come."""
        async with aclosing(self.service.follow(Verb.LATE)) as items:
            async for item in items:
                yield str(item["text"])


def _question(request: Json) -> Question:
    seed, language = request.get("seed"), request.get("language")
    if seed is not None and not _is_seed(seed):
        raise ControlError("the seed is not a whole number of 0 or more")
    return Question(_text(request, "text"), seed, language if isinstance(language, str) else None)


def _is_seed(value: Any) -> bool:  # noqa: ANN401 - anything can come over the wire
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SEED


def _text(request: Json, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise ControlError(f"the request holds no text named {name!r}")
    return value
