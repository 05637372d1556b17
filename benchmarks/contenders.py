"""Who is compared in P2 and P9: the whole bridge, llama.cpp's server over HTTP, and our engine bare."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from benchmarks.conversations import Ask
from botbridge.app import build
from botbridge.messages import Person, UserId
from botbridge.models.files import ModelFiles
from botbridge.platforms.terminal.chat import LocalChat, final_reply
from botbridge.running import App
from botbridge.setting_groups import AdminSettings, InferenceSettings, LimitSettings
from botbridge.settings import Settings

PATIENCE_S = 600.0

LAST_ANSWER = """
SELECT turn.completion_tokens FROM turn JOIN conversation ON conversation.id = turn.conversation_id
WHERE conversation.user_id = ? AND turn.role = 'assistant' ORDER BY turn.id DESC LIMIT 1
"""


def settings_for(home: Path, files: ModelFiles, *, engine: str, slots: int, tokens: int, cache_bytes: int) -> Settings:
    """Return settings of a bridge that many people may use hard; the model is named by its directory."""
    return Settings(
        home=home,
        admins=AdminSettings(),
        limits=LimitSettings(messages_per_minute=10_000, tokens_per_minute=10**9, waiting_per_person=100, queue=10_000),
        inference=InferenceSettings.model_validate(
            {
                "model": str(files.directory),
                "engine": engine,
                "slots": slots,
                "max_new_tokens": tokens,
                "cache_bytes": cache_bytes,
                "context_tokens": 4096,
            }
        ),
    )


@asynccontextmanager
async def bridge(settings: Settings) -> AsyncIterator[tuple[App, Ask]]:
    """Run the whole bridge, SQLite and worker included; people talk through the terminal platform."""
    async with build(settings, platforms={"terminal"}) as app:
        await app.wait_ready()
        database = sqlite3.connect(settings.home / "botbridge.db")

        async def ask(person: int, text: str, _tokens: int) -> int:
            speaker = Person(UserId(f"person-{person}"), f"Person {person}")
            await final_reply(LocalChat(app.terminal, speaker).ask(text))
            (made,) = database.execute(LAST_ANSWER, (speaker.user_id,)).fetchone()
            return int(made)

        yield app, ask
        database.close()


@asynccontextmanager
async def server(files: ModelFiles, slots: int, context_tokens: int) -> AsyncIterator[Ask]:
    """Run the peer; people talk to it over HTTP, streamed, each with the whole history in every request.

    System text and sampling are those of the bridge.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.peer_server",
        str(files.llamacpp_gguf),
        str(slots),
        str(context_tokens),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        ours = InferenceSettings()
        histories: dict[int, list[dict[str, str]]] = defaultdict(lambda: [{"role": "system", "content": ours.system}])
        limits = httpx.Limits(max_keepalive_connections=0)  # it hangs up on a connection that was idle
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, limits=limits) as client:

            async def ask(person: int, text: str, tokens: int) -> int:
                history = histories[person]
                history.append({"role": "user", "content": text})
                body = {
                    "messages": history,
                    "max_tokens": tokens,
                    "temperature": ours.temperature,
                    "top_p": ours.top_p,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }
                said, made = "", 0
                async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                    async for line in response.aiter_lines():
                        if not line.startswith("data: {"):
                            continue
                        chunk = json.loads(line.removeprefix("data: "))
                        for choice in chunk.get("choices", ()):
                            said += choice["delta"].get("content") or ""
                        if chunk.get("usage"):
                            made = chunk["usage"]["completion_tokens"]
                history.append({"role": "assistant", "content": said})
                return made

            yield ask
    finally:
        process.kill()
        await process.wait()
