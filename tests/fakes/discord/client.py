"""How a test uses the fake Discord: start it, speak as people do, read what the bot answered."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.fakes.discord.faults import FaultKind
from tests.fakes.discord.gateway import Upset

Entry = dict[str, Any]
START_TIMEOUT_S = 20.0
TOKEN = "fake-discord-token"
REPOSITORY = Path(__file__).parents[3]


def server_command(*, port: int = 0, token: str = TOKEN, grant_message_content: bool = False) -> tuple[str, ...]:
    """What to run in the repository to have a server that ends with its stdin."""
    options = ("--port", str(port), "--token", token, "--until-stdin-closes")
    granted = ("--grant-message-content",) if grant_message_content else ()
    return (sys.executable, "-m", "tests.fakes.discord", *options, *granted)


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the bot as it stands now, edits included."""

    message_id: str
    channel_id: str
    text: str
    reply_to: str | None
    only_for: str | None


class FakeDiscord:
    """A running fake Discord; an async context manager.

    `say` and `slash` create the people, channels and threads that they name.
    Everybody is in the server `harbour` unless `guild` says otherwise.

    Args:
        token: The only token that the server lets in.
        grant_message_content: Whether the privileged intent may be used.
        running: The line that a running server printed: another, with a world
            of its own, is opened in the same process; empty starts one.
    """

    def __init__(self, *, token: str = TOKEN, grant_message_content: bool = False, running: str = "") -> None:
        self.token = token
        self.api_url = ""
        self.gateway_url = ""
        self.bot_id = ""
        self._control_url = ""
        self._grant = grant_message_content
        self._running = running
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None

    async def start(self, port: int = 0) -> None:
        """Start the server and return once it listens.

        Raises:
            RuntimeError: It did not start, e.g. because the port is taken.
        """
        self._http = aiohttp.ClientSession()
        addresses = json.loads(self._running or await self._start_process(port))
        self._control_url = addresses["control_url"]
        if self._running:
            addresses = await self._call("POST", "open", {"token": self.token, "grant_message_content": self._grant})
        self.api_url, self.gateway_url = addresses["api_url"], addresses["gateway_url"]
        self._control_url = addresses["control_url"]
        self.bot_id = (await self._call("GET", "bot"))["user_id"]

    async def _start_process(self, port: int) -> bytes:
        self._process = await asyncio.create_subprocess_exec(
            *server_command(port=port, token=self.token, grant_message_content=self._grant),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            await self.stop()
            raise RuntimeError("the Discord server did not start; its reason stands on stderr")
        return line

    async def stop(self) -> None:
        """End the server's process."""
        if self._http is not None:
            await self._http.close()
            self._http = None
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.communicate()
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def person(self, name: str, **details: Any) -> str:
        """Bring somebody in (`shown`, `bot`, `guild`, `manager`: holds Manage Server); their id."""
        return str((await self._call("POST", "person", {"name": name, **details}))["user_id"])

    async def say(self, text: str, *, person: str = "ana", mention: bool = True, **where: Any) -> str:
        """Write a message; its id.

        Args:
            text: What is said; the mention of the bot is put before it.
            mention: Mention the bot (a direct message needs none).
            where: `channel` (general), `thread`, `guild` (harbour), `direct`;
                `mention_role` (the bot's role); `reply_to` with `ping`; `webhook`, `bot`, `attachments`, `type`,
                `edited` (True, or when, as Discord would write it); `ago_s` dates it back.
        """
        wanted = {"text": text, "person": person, "mention": mention and not where.get("direct"), **where}
        return str((await self._call("POST", "say", wanted))["message_id"])

    async def slash(self, command: str, *, person: str = "ana", **where: Any) -> str:
        """Use a slash command (`options`, `locale` and the places of `say`); the interaction's id."""
        wanted = {"command": command, "person": person, **where}
        return str((await self._call("POST", "slash", wanted))["interaction_id"])

    async def delete(self, message_id: str) -> None:
        """Take a message away."""
        await self._call("POST", "delete", {"message_id": message_id})

    async def archive(self, thread_id: str, *, locked: bool = False) -> None:
        """Put a thread aside."""
        await self._call("POST", "archive", {"thread_id": thread_id, "locked": locked})

    async def dispatch(self, event: str, data: Any) -> None:
        """Send a gateway event as it is given."""
        await self._call("POST", "dispatch", {"event": event, "data": data})

    async def fail(self, kind: FaultKind, **details: Any) -> None:
        """Let the next REST calls go wrong, see `faults.Fault`."""
        await self._call("POST", "faults", {"kind": kind, **details})

    async def recover(self) -> None:
        """Forget all faults."""
        await self._call("POST", "faults", None)

    async def upset_gateway(self, how: Upset, code: int = 4000) -> None:
        """Cut (`drop`), ask to `reconnect`, `invalidate`, `close`, `mute` or `deafen` the bot's connection.

        `go_away` cuts it and lets nobody in until `come_back`.
        """
        await self._call("POST", "gateway", {"how": how, "code": code})

    async def beat_every(self, interval_ms: int) -> None:
        """Ask those who connect from now on for a heartbeat this often."""
        await self._call("POST", "gateway", {"heartbeat_interval_ms": interval_ms})

    async def introduce_guilds_after(self, seconds: float) -> None:
        """Let those who connect from now on wait so long for their servers."""
        await self._call("POST", "gateway", {"guilds_after_s": seconds})

    async def advance(self, seconds: float) -> None:
        """Let the server's clock run ahead."""
        await self._call("POST", "clock", {"advance_s": seconds})

    async def ledger(self, *kinds: str, after: int = 0) -> list[Entry]:
        """All that happened, or only entries of these kinds, in order."""
        entries: list[Entry] = await self._call("GET", f"ledger?after={after}")
        return [entry for entry in entries if not kinds or entry["kind"] in kinds]

    async def wait_for(self, wanted: Callable[[Entry], bool], *, after: int = 0, timeout_s: float = 20.0) -> Entry:
        """The first entry behind `after` that is wanted, as soon as there is one."""
        async with asyncio.timeout(timeout_s):
            while True:
                for entry in await self._call("GET", f"ledger?after={after}&timeout_s=5"):
                    after = entry["number"]
                    if wanted(entry):
                        return dict(entry)

    async def wait_until(self, kind: str, *, after: int = 0, timeout_s: float = 20.0, **facts: Any) -> Entry:
        """The first entry of a kind with these facts."""
        return await self.wait_for(
            lambda entry: entry["kind"] == kind and all(entry.get(name) == fact for name, fact in facts.items()),
            after=after,
            timeout_s=timeout_s,
        )

    async def wait_for_reply(
        self, question_id: str, *, until: Callable[[str], bool] = bool, timeout_s: float = 60.0
    ) -> Reply:
        """The bot's answer to a message or a command, once its text is as wanted.

        In a server the answer quotes the message; in direct messages it is the
        next that the bot writes there. Edits count: a status message that
        becomes the answer is one `Reply`.
        """
        seen = 0
        asked: Entry = {}
        replies: dict[str, Reply] = {}
        async with asyncio.timeout(timeout_s):
            while True:
                for entry in await self._call("GET", f"ledger?after={seen}&timeout_s=5"):
                    seen = entry["number"]
                    if question_id in (entry.get("message_id"), entry.get("interaction_id")) and not asked:
                        asked = entry
                    elif asked and (entry.get("message_id") in replies or _answers(asked, entry)):
                        if "content" not in entry:
                            continue
                        former = replies.get(entry["message_id"])
                        replies[entry["message_id"]] = reply = Reply(
                            entry["message_id"],
                            entry["channel_id"],
                            entry["content"],
                            former.reply_to if former else entry.get("reply_to"),
                            entry.get("only_for"),
                        )
                        if reply.text and until(reply.text):
                            return reply

    async def transcript(self) -> list[tuple[str, str]]:
        """Who said what, in order, as it stands now: (user id, text); ephemeral answers included."""
        said: dict[str, tuple[str, str]] = {}
        for entry in await self.ledger():
            if "content" in entry:
                said[entry["message_id"]] = (entry.get("user_id", self.bot_id), entry["content"])
        return list(said.values())

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        assert self._http is not None
        async with self._http.request(method, f"{self._control_url}/{path}", json=body) as response:
            if response.status != 200:
                message = f"{path}: {response.status} {await response.text()}"
                raise RuntimeError(message)
            return await response.json()


def _answers(asked: Entry, entry: Entry) -> bool:
    if "interaction_id" in asked:
        return bool(entry.get("interaction_id") == asked["interaction_id"])
    if entry["kind"] != "sent" or entry["channel_id"] != asked["channel_id"]:
        return False
    return entry.get("reply_to") in (asked["message_id"], None)
