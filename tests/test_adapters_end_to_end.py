"""An adapter from the store to the stored answer: chosen at the terminal, kept over a restart, computed again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from botbridge.app import build
from botbridge.errors import NotReplayable
from botbridge.models.files import AdapterFiles, ModelFiles
from botbridge.models.names import parse_name
from botbridge.models.store import ModelStore
from botbridge.platforms.terminal.adapter import local_person
from botbridge.replaying import replay_answer
from botbridge.running import App
from botbridge.settings import Settings, load_settings
from tests.fakes.tiny_adapters import tiny_lora
from tests.fakes.tiny_models import tiny_llama


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: a socket lies in it."""
    with TemporaryDirectory() as directory:
        yield Path(directory)


def publish(store: ModelStore, files: ModelFiles, name: str, base: str) -> AdapterFiles:
    """Put an adapter into a store, as a pull does."""
    named = parse_name(name)
    with store.locked(name, lambda: None):
        made = tiny_lora(files, store.staging(name, "f" * 40), name, base=base)
        published = store.publish(made.directory, named, "f" * 40, made.base)
    assert isinstance(published, AdapterFiles)
    return published


async def told(app: App, text: str) -> str:
    """The final reply to what is said at the terminal."""
    async with aclosing(app.terminal.ask(local_person(), text)) as shown:
        return [step.text async for step in shown][-1]


def adapters_of_answers(home: Path) -> list[tuple[str | None, str | None]]:
    with closing(sqlite3.connect(home / "botbridge.db")) as connection:
        query = "SELECT adapter, adapter_revision FROM turn WHERE role = 'assistant' ORDER BY id"
        return connection.execute(query).fetchall()


def settings_for(home: Path, model: Path) -> Settings:
    inference = {"MODEL": str(model), "ENGINE": "auto", "DTYPE": "float32", "THREADS": "1", "MAX_NEW_TOKENS": "12"}
    return load_settings({"HOME": str(home), **{f"INFERENCE__{name}": value for name, value in inference.items()}})


@pytest.mark.slow
async def test_an_adapter_answers_where_it_was_chosen_until_another_is(home: Path) -> None:
    """The answers are stored with its revision, and come out again by it."""
    files = tiny_llama(home / "llama")
    store = ModelStore(home)
    publish(store, files, "org/poet", base=str(files.directory))
    publish(store, files, "org/foreign", base="org/other")
    settings = settings_for(home, files.directory)
    async with build(settings, platforms=["terminal"]) as app:
        await app.wait_ready()
        await told(app, "hello")
        refused = await told(app, "/adapter org/foreign")
        assert "the adapter org/foreign was made for org/other" in refused
        assert "Done" in await told(app, "/adapter org/poet")
        await told(app, "hello")
    async with build(settings, platforms=["terminal"]) as app:
        await app.wait_ready()
        assert "answered with the adapter org/poet" in await told(app, "/adapter")
        await told(app, "hello")
        await told(app, "/adapter none")
        await told(app, "hello")
    poet = ("org/poet", "f" * 40)
    assert adapters_of_answers(home) == [(None, None), poet, poet, (None, None)]
    assert (await replay_answer(settings, 4, force=False, told=print)).is_identical
    with closing(sqlite3.connect(home / "botbridge.db")) as connection, connection:
        connection.execute("UPDATE turn SET adapter_revision = 'e00' WHERE id = 4")
    with pytest.raises(NotReplayable, match="the adapter revision was e00 and is ffff"):
        await replay_answer(settings, 4, force=False, told=print)
