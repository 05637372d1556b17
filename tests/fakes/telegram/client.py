"""Starts the server in a process of its own and plays the people who write to the bot."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 20.0


def server_command(*, port: int = 0, limits: bool = True) -> tuple[str, ...]:
    """What to run, in the root of the tree, to have a server that ends with its stdin."""
    options = ("--port", str(port), "--until-stdin-closes", *(() if limits else ("--no-limits",)))
    return (sys.executable, "-m", "tests.fakes.telegram", *options)


@dataclass(frozen=True)
class Person:
    """Somebody with a Telegram account."""

    id: int
    name: str = "Sara"
    username: str | None = None
    language: str | None = None
    is_bot: bool = False

    @property
    def as_json(self) -> Json:
        """A `User`."""
        user: Json = {"id": self.id, "is_bot": self.is_bot, "first_name": self.name}
        if self.username:
            user["username"] = self.username
        if self.language:
            user["language_code"] = self.language
        return user

    @property
    def chat(self) -> Chat:
        """The private chat with the bot, which has the id of its person."""
        return Chat(self.id, "private")


@dataclass(frozen=True)
class Chat:
    """Where people write; groups have negative ids."""

    id: int
    kind: str = "supergroup"
    title: str = "A group"
    is_forum: bool = False

    @property
    def as_json(self) -> Json:
        """A `Chat`."""
        if self.kind == "private":
            return {"id": self.id, "type": "private", "first_name": "Sara"}
        return {"id": self.id, "type": self.kind, "title": self.title, **({"is_forum": True} if self.is_forum else {})}


@dataclass(frozen=True)
class Said:
    """What a person wrote, by its ids."""

    update_id: int
    message_id: int


@dataclass(frozen=True)
class Sent:
    """A message of the bot as it stands now; `edits` are its former texts, oldest first."""

    chat_id: int
    message_id: int
    text: str
    entities: tuple[Json, ...]
    thread_id: int | None
    reply_to: int | None
    edits: tuple[str, ...]
    options: Json


@dataclass(frozen=True)
class Record:
    """The server's ledger.

    Attributes:
        sent: The bot's messages, oldest first.
        updates: Each update that was offered, and whether the bot confirmed it.
        events: All that happened, in order; each has a `kind`.
        early_calls: Sends made in spite of a pause that Telegram had asked for.
    """

    sent: tuple[Sent, ...]
    updates: tuple[Json, ...]
    events: tuple[Json, ...]
    early_calls: int
    menus: Json
    webhook_url: str
    webhook_secret: str

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        """The ids of the updates that Telegram would deliver again."""
        return tuple(update["update_id"] for update in self.updates if not update["is_confirmed"])

    def to(self, chat: Chat | Person) -> tuple[Sent, ...]:
        """The bot's messages to one chat."""
        return tuple(sent for sent in self.sent if sent.chat_id == chat.id)

    def count(self, kind: str, **facts: Any) -> int:
        """How many events of a kind there are, with these facts."""
        return len([event for event in self.events if event["kind"] == kind and facts.items() <= event.items()])


class FakeTelegram:
    """The server and everybody on it; `async with FakeTelegram() as telegram`."""

    def __init__(self, *, limits: bool = True, port: int = 0, running: str = "") -> None:
        """Choose a server.

        Args:
            limits: Whether it answers 429 on its own.
            port: Of the Bot API; 0 takes a free one.
            running: The line that a running server printed: that one is emptied
                and used; empty starts one.
        """
        self._limits = limits
        self._port = port
        self._running = running
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        self._control_url = ""
        self.url = ""
        """For `BOTBRIDGE_TELEGRAM__API_BASE_URL`."""
        self.token = ""
        self.bot_username = ""
        self.bot_id = 0

    async def __aenter__(self) -> Self:
        """Start the server; it listens when this returns."""
        facts = json.loads(self._running or await self._start())
        self.url, self._control_url, self.token = facts["url"], facts["control_url"], facts["token"]
        self.bot_id, self.bot_username = facts["bot"]["id"], facts["bot"]["username"]
        self._http = aiohttp.ClientSession()
        if self._running:
            await self._post("reset", {"limits": self._limits})
        return self

    async def _start(self) -> bytes:
        self._process = await asyncio.create_subprocess_exec(
            *server_command(port=self._port, limits=self._limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            await self.stop()
            raise RuntimeError("the Telegram server did not start; its reason stands on stderr")
        return line

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        await self.stop()

    async def stop(self) -> None:
        """End the process; the ledger is gone with it."""
        if self._http is not None:
            await self._http.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        if self._process is not None:
            await self._process.communicate()

    async def say(
        self,
        person: Person,
        text: str | None = None,
        *,
        chat: Chat | None = None,
        reply_to: int | None = None,
        thread: int | None = None,
        **fields: Any,
    ) -> Said:
        """Let somebody write; mentions and commands in the text get their entities from TDLib.

        Args:
            chat: None is the private chat with the bot.
            reply_to: The id of a message of that chat.
            thread: The id of a topic.
            fields: More fields of `Message`, such as `sticker={...}` or `entities=[...]`.
        """
        fields |= {
            name: value
            for name, value in (("text", text), ("reply_to", reply_to), ("thread", thread))
            if value is not None
        }
        body = {"chat": (chat or person.chat).as_json, "from": person.as_json, "fields": fields}
        return Said(**await self._post("say", body))

    async def say_each(self, people: Sequence[Person], text: str) -> None:
        """Let each of these people write the same to the bot in private, in one call."""
        body = [{"chat": person.chat.as_json, "from": person.as_json} for person in people]
        await self._post("crowd", {"people": body, "text": text})

    async def offer_raw(self, content: str) -> int:
        """Offer an update whose fields (all but its id) are this text of a JSON object; its id."""
        return int((await self._post("raw", content))["update_id"])

    async def break_calls(self, method: str, kind: str, *, times: int = 1, **details: Any) -> None:
        """Let the next calls of a method go wrong: see `faults.Fault` for kinds and details."""
        await self._post("faults", {"method": method, "kind": kind, "times": times, **details})

    async def mend(self) -> None:
        """End all faults."""
        async with self._session.delete(f"{self._control_url}/control/faults") as answer:
            answer.raise_for_status()

    async def change(self, **settings: Any) -> None:
        """Change the world; `Control.settings` knows the names."""
        await self._post("settings", settings)

    async def ledger(self) -> Record:
        """Everything that happened until now."""
        async with self._session.get(f"{self._control_url}/control/ledger") as answer:
            answer.raise_for_status()
            facts = await answer.json()
        return Record(
            sent=tuple(_sent(message) for message in facts["sent"]),
            updates=tuple(facts["updates"]),
            events=tuple(facts["events"]),
            early_calls=facts["early_calls"],
            menus=facts["menus"],
            webhook_url=facts["webhook_url"],
            webhook_secret=facts["webhook_secret"],
        )

    async def wait_until(self, is_true: Callable[[Record], bool], timeout_s: float = 20.0) -> Record:
        """Return the ledger as soon as it satisfies a condition.

        Raises:
            TimeoutError: It did not in time; the message holds what the bot sent.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not is_true(record := await self.ledger()):
            left_s = deadline_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise TimeoutError(f"not within {timeout_s:g} s; sent: {record.sent}; last: {record.events[-8:]}")
            query = {"beyond": str(len(record.events)), "timeout": f"{left_s:.3f}"}
            async with self._session.get(f"{self._control_url}/control/wait", params=query) as answer:
                answer.raise_for_status()
        return record

    async def wait_for_reply(
        self,
        chat: Chat | Person,
        *,
        after: int = 0,
        until: Callable[[Sent], bool] = lambda sent: True,
        timeout_s: float = 20.0,
    ) -> Sent:
        """Return the first message of the bot in a chat that is newer than another and satisfies a condition.

        Args:
            after: A message id; `Said.message_id` asks for a reply to what was said.
            until: What the text must be like, e.g. `lambda sent: "Paris" in sent.text`.
        """

        def matching(record: Record) -> list[Sent]:
            return [sent for sent in record.to(chat) if sent.message_id > after and until(sent)]

        return matching(await self.wait_until(lambda record: bool(matching(record)), timeout_s))[0]

    @property
    def _session(self) -> aiohttp.ClientSession:
        assert self._http is not None, "use `async with`"
        return self._http

    async def _post(self, path: str, body: Json | str) -> Json:
        data = body if isinstance(body, str) else json.dumps(body)
        async with self._session.post(f"{self._control_url}/control/{path}", data=data.encode()) as answer:
            answer.raise_for_status()
            result: Json = await answer.json()
        return result


def _sent(message: Json) -> Sent:
    reply = message.get("reply_to_message")
    return Sent(
        chat_id=message["chat"]["id"],
        message_id=message["message_id"],
        text=message["text"],
        entities=tuple(message.get("entities", ())),
        thread_id=message.get("message_thread_id"),
        reply_to=reply["message_id"] if reply else None,
        edits=tuple(message["edits"]),
        options=message["options"],
    )
