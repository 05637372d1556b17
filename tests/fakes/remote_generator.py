"""A remote generator over scripted servers, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from botbridge.inference.options import Patience
from botbridge.inference.remote import RemoteGenerator
from botbridge.inference.remote_options import RemoteOptions, RemotePatience
from botbridge.ports import State
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.asking import until_state
from tests.fakes.openai_server import MODEL, OpenAIServer

PATIENCE = RemotePatience(again=Patience(retry_least_s=0.01, retry_most_s=0.05))


@asynccontextmanager
async def opened(
    *servers: OpenAIServer,
    patience: RemotePatience = PATIENCE,
    state: State | None = None,
    until: str = "ready",
    **options: Any,
) -> AsyncIterator[RemoteGenerator]:
    """A generator over servers that has found out about the first of them that is well."""
    options = {"model": MODEL, **options}
    chosen = RemoteOptions(tuple(server.url for server in servers), **options)
    async with RemoteGenerator(chosen, state or InMemoryState(InMemoryStore()), patience=patience) as generator:
        await until_state(generator, until)
        yield generator


async def all_ready(generator: RemoteGenerator) -> None:
    """Return when every server can be asked."""
    while generator.status().notes:
        await generator.changed()
