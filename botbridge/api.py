"""The one-line API: the same service and the same worker as the bot's, behind two plain classes.

::

    from botbridge import Bot
    print(Bot().start_chat("hello"))

Covered: scripts without a main guard, the REPL, `python -c`, notebooks whose
event loop already runs (the service has a thread and a loop of its own); no
process is left behind when the object, the `with` block or the interpreter ends.

Nothing is kept beyond the object: history lives in memory.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from botbridge.answers import GeneratorState, Sampling
from botbridge.app import build
from botbridge.conversation.texts import load_texts
from botbridge.errors import (
    ConfigError,
    ModelLoadError,
    PlatformUnavailable,
)
from botbridge.logs import hand_to_host
from botbridge.platforms.terminal.adapter import TERMINAL, local_person
from botbridge.platforms.terminal.chat import LocalChat, answer_in, final_reply, is_leaving
from botbridge.platforms.terminal.window import Shown
from botbridge.running import App
from botbridge.settings import Settings, load_settings

CLOSING_PATIENCE_S = 30.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class _Conversation:
    """A conversation with a service of its own, and the end of both."""

    def __init__(self, settings: Settings) -> None:
        self._background = _Background(settings)
        self._finalizer = weakref.finalize(self, self._background.close)
        try:
            self._background.wait_ready()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the model; may be called again. Afterwards there are no more answers."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Bot(_Conversation):
    """A conversation with a model on this machine."""

    def __init__(
        self, model_name: str | None = None, *, engine: str | None = None, settings: Settings | None = None
    ) -> None:
        """Start the model and wait until it can answer.

        The first time the default model is fetched, which takes a minute.

        Args:
            model_name: Catalogue id, hub id (ORG/NAME) or directory; None takes
                the one of the settings, at first SmolLM2-135M-Instruct.
            engine: What runs the model; None takes the one of the settings.
            settings: Use these instead of the environment's; not together with a name.

        Raises:
            ConfigError: a setting is wrong.
            ModelNotLicensed: the model's licence forbids the use, or was not accepted for it.
            ModelLoadError: the model cannot be had or loaded.
        """
        super().__init__(_settings(model_name, engine, None, settings))

    def start_chat(self, message: str) -> str:
        """Say something; the answer alone is returned, and the conversation remembered.

        Raises:
            InferenceError: there is no answer; which subclass says why.
            ConversationError: the message was refused, e.g. because it is too long.
        """
        return self._background.ask(message, None)


class ChatBot(_Conversation):
    """A conversation that is printed as it goes."""

    def __init__(
        self,
        model_name: str | None = None,
        token: str | None = None,
        *,
        engine: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Start the model as `Bot` does.

        Args:
            model_name: As for `Bot`.
            token: Access token of the hub, for gated models; better kept in the
                settings (`BOTBRIDGE_HUB__TOKEN`) than in a program.
            engine: As for `Bot`.
            settings: As for `Bot`.

        Raises:
            ConfigError: a setting is wrong.
            ModelNotLicensed: the model's licence forbids the use, or was not accepted for it.
            ModelLoadError: the model cannot be had or loaded.
        """
        super().__init__(_settings(model_name, engine, token, settings))

    def generate_response(
        self, user_message: str, max_length: int = 30, temperature: float = 0.1, top_p: float = 0.9
    ) -> str:
        """Answer one message of the conversation; the message is not repeated in the answer.

        Args:
            user_message: What is said.
            max_length: Longest answer in tokens, 1 or more; the message does not
                count. A longer answer ends at its last whole sentence, or is marked as cut.
            temperature: 0 takes the likeliest token always; above 0 samples.
            top_p: Share of the probability that is sampled from; above 0, at most 1.

        Raises:
            ConfigError: a value is out of its bounds.
            InferenceError: there is no answer; which subclass says why.
            ConversationError: the message was refused, e.g. because it is too long.
        """
        if max_length < 1:
            raise ConfigError(f"max_length must be 1 or more, not {max_length}")
        if not 0 <= temperature < math.inf:
            raise ConfigError(f"temperature must be 0 or more, not {temperature:g}")
        if not 0 < top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, not {top_p:g}")
        return self._background.ask(user_message, Sampling(max_length, temperature, top_p))

    def start_chat(self, message: str) -> bool:
        """Answer one message and print both sides; False, after a goodbye, for "exit" and "quit".

        Raises:
            InferenceError: there is no answer; which subclass says why.
            ConversationError: the message was refused, e.g. because it is too long.
        """
        if is_leaving(message):
            goodbye = load_texts().language(local_person().language).say("Goodbye!")
            print(f"AI Assistant: {goodbye}")  # noqa: T201 - what this method is for
            return False
        print(f"You: {message}")  # noqa: T201 - as above
        print(f"AI Assistant: {self.generate_response(message)}")  # noqa: T201 - as above
        return True


class _Background:
    """The service in a thread of its own, asked from any other."""

    def __init__(self, settings: Settings) -> None:
        """Start it.

        Raises:
            BotBridgeError: it could not be started; which subclass says why.
        """
        hand_to_host(settings.secrets)
        self._opened: Future[tuple[App, asyncio.AbstractEventLoop]] = Future()
        self._told_to_stop = asyncio.Event()
        # A daemon: the interpreter waits for all others before it lets us stop this one.
        self._thread = threading.Thread(target=self._run, args=(settings,), name="botbridge", daemon=True)
        self._thread.start()
        self._app, self._loop = self._opened.result()
        # Registered after the one of multiprocessing, hence called before it, which would kill the worker.
        atexit.register(self.close)

    def wait_ready(self) -> None:
        """Return when the model can answer."""
        self._do(self._app.wait_ready())
        # The worker has registered its own end by now; ours has to come before it, hence be registered later.
        atexit.unregister(self.close)
        atexit.register(self.close)

    def ask(self, text: str, sampling: Sampling | None) -> str:
        """Return the answer to a text."""
        return answer_in(self._do(self._ask(text, sampling)))

    def close(self) -> None:
        """Stop everything; returns when no process of ours is left."""
        atexit.unregister(self.close)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)
            self._thread.join(CLOSING_PATIENCE_S)

    def _run(self, settings: Settings) -> None:
        try:
            asyncio.run(self._serve(settings))
        except BaseException as error:
            if self._opened.done():
                log.error("the service ended by itself", exc_info=error)
            else:
                self._opened.set_exception(error)

    async def _serve(self, settings: Settings) -> None:
        async with build(settings, in_memory=True, platforms={TERMINAL}, pull_missing=True) as app:
            self._opened.set_result((app, asyncio.get_running_loop()))
            stopping = asyncio.ensure_future(self._told_to_stop.wait())
            failing = asyncio.ensure_future(app.failed())
            await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done in the other thread and wait for it."""
        if not self._thread.is_alive():
            work.close()
            raise PlatformUnavailable("this bot was closed")
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result()
        except BaseException:  # Ctrl-C, say: nobody waits for it any more
            doing.cancel()
            raise

    async def _ask(self, text: str, sampling: Sampling | None) -> Shown:
        chat = LocalChat(self._app.terminal, local_person(), sampling)
        asking = asyncio.ensure_future(final_reply(chat.ask(text)))
        losing = asyncio.ensure_future(_until_lost(self._app))
        try:
            await asyncio.wait({asking, losing}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            raise ModelLoadError(losing.result())
        finally:
            if not asking.done():
                # It would be computed for nobody otherwise.
                asking.cancel()
                await final_reply(chat.ask("/cancel"))
            losing.cancel()
            await asyncio.gather(asking, losing, return_exceptions=True)


async def _until_lost(app: App) -> str:
    """Return when the model cannot answer for the time being; the reason."""
    while (status := app.generator.status()).state is not GeneratorState.UNAVAILABLE:
        await app.generator.changed()
    return status.detail


def _settings(model_name: str | None, engine: str | None, token: str | None, settings: Settings | None) -> Settings:
    """The settings to use: those given, or the environment's with what is named instead."""
    named = {"INFERENCE__MODEL": model_name, "INFERENCE__ENGINE": engine, "HUB__TOKEN": token}
    if settings is None:
        settings = load_settings(named)
    elif any(value is not None for value in named.values()):
        raise ConfigError("a model, an engine or a token is named beside the settings that hold them already")
    return for_one_person(settings)


def for_one_person(settings: Settings) -> Settings:
    """The settings without the limits that protect people from one another."""
    limits = {"messages_per_minute": 10_000, "waiting_per_person": 1_000, "queue": 100_000}
    return settings.model_copy(update={"limits": settings.limits.model_copy(update=limits)})
