"""A conversation service over a remote generator and scripted servers, for tests."""

from __future__ import annotations

from contextlib import AsyncExitStack

from pydantic import SecretStr

from botbridge.inference.remote_options import RemotePatience
from tests.conversation.conftest import World
from tests.fakes.openai_server import OpenAIServer, Reply
from tests.fakes.remote_generator import PATIENCE, opened


class Town:
    """A service on a platform of its own, over scripted servers."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.world = World()

    def server(self, *replies: Reply, key: str | None = None, context_tokens: int = 4096) -> OpenAIServer:
        """Open a server whose first answers are scripted."""
        server = self._stack.enter_context(OpenAIServer(key=key, context_tokens=context_tokens))
        server.enqueue(*replies)
        return server

    async def start(
        self,
        *servers: OpenAIServer,
        patience: RemotePatience = PATIENCE,
        key: str | None = None,
        slots: int = 1,
        **policy: object,
    ) -> World:
        """Open the service over these servers."""
        secret = None if key is None else SecretStr(key)
        generator = await self._stack.enter_async_context(opened(*servers, patience=patience, key=secret, slots=slots))
        self.world.generator = generator  # type: ignore[assignment]
        self._stack.push_async_callback(self.world.stop)
        await self.world.start(**policy)
        return self.world


async def shows(world: World, text: str, chat: str = "1") -> None:
    """Return when a chat's newest message reads so."""
    await world.until(lambda: world.platform.texts(chat)[-1:] == [text])
