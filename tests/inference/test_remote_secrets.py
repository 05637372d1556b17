"""The key goes into one header and nowhere else; nothing of this machine and nothing that was said goes astray."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from botbridge.app import build
from botbridge.chosen import remote_options
from botbridge.errors import ConfigError, GenerationFailed
from botbridge.inference.remote import RemoteGenerator
from botbridge.inference.remote_options import RemoteOptions
from botbridge.logs import configure
from botbridge.settings import load_settings, shown_settings
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.asking import ask, prompt_of
from tests.fakes.openai_server import OpenAIServer, Reply
from tests.fakes.remote_generator import opened

KEY = "sk-canary-7f3a"
SECRET_WORDS = "my grandmother's canary cake"
URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` lies here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What is logged at the finest level, not redacted afterwards: nothing may have to be."""
    root = logging.getLogger()
    handlers, level, levels = root.handlers[:], root.level, {}
    for name in ("openai", "httpx2", "httpcore2"):
        levels[name] = logging.getLogger(name).level
    stream = io.StringIO()
    configure("DEBUG", "json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


async def test_the_key_is_sent_as_a_bearer_token_and_stands_in_no_log_line(log_lines: io.StringIO) -> None:
    """Not even where the server repeats it, as some do with a wrong one."""
    with OpenAIServer(key=KEY) as server:
        async with opened(server, key=SecretStr(KEY)) as generator:
            await ask(generator, prompt_of(SECRET_WORDS))
            server.enqueue(*[Reply(status=500, error={"message": f"no luck with {KEY}"})] * 2)
            with pytest.raises(GenerationFailed) as caught:
                await ask(generator, prompt_of(SECRET_WORDS))
            told = f"{generator!r} {generator._options!r} {generator.status()!r} {caught.value!r} {caught.value}"
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert "no luck with ***" in told
    assert "no luck with ***" in log_lines.getvalue()
    assert "canary" not in told + log_lines.getvalue()


async def test_without_a_key_none_is_sent() -> None:
    with OpenAIServer() as server:
        async with opened(server) as generator:
            await ask(generator, prompt_of("hello"))
    assert not [request for request in server.requests if "authorization" in request.headers]


async def test_nothing_of_the_sdks_environment_counts(monkeypatch: pytest.MonkeyPatch, log_lines: io.StringIO) -> None:
    with OpenAIServer() as server, OpenAIServer() as elsewhere:
        monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.url)
        for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
            monkeypatch.setenv(f"OPENAI_{name}", "canary")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Canary: canary\nAuthorization: Bearer canary")
        logging.getLogger("openai").setLevel(logging.DEBUG)  # what OPENAI_LOG=debug does when the SDK is imported
        async with opened(server) as generator:
            await ask(generator, prompt_of(SECRET_WORDS))
    assert elsewhere.requests == []
    assert "canary" not in repr([request.headers for request in server.requests]).lower()
    assert "canary" not in log_lines.getvalue()
    assert "openai." not in log_lines.getvalue()


async def test_servers_learn_nothing_about_this_machine() -> None:
    with OpenAIServer() as server:
        async with opened(server) as generator:
            await ask(generator, prompt_of("hello"))
    assert set(server.questions[0].headers) == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "user-agent",
        "x-session-id",
    }
    assert server.questions[0].headers["user-agent"].startswith("botbridge/")


def test_settings_name_servers_and_hide_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", "remote")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__REMOTE_URL", "http://a:8000/, https://b/v1 ,")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__REMOTE_KEY", f"{KEY}\n")
    settings = load_settings()
    assert settings.inference.remote_url == ("http://a:8000", "https://b/v1")
    assert settings.secrets == (KEY,)
    options = remote_options(settings)
    assert options.key == SecretStr(KEY)
    assert options.takes_only_model
    shown = {setting.name: setting.value for setting in shown_settings()}
    assert shown["BOTBRIDGE_INFERENCE__REMOTE_URL"] == "http://a:8000,https://b/v1"
    generator = RemoteGenerator(options, InMemoryState(InMemoryStore()))
    assert "canary" not in f"{settings!r} {shown} {options!r} {generator!r} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("REMOTE_URL", "localhost:8000", "must be an address that begins with http:// or https://"),
        ("REMOTE_URL", "ftp://canary/v1", "must be an address that begins with http:// or https://"),
        ("REMOTE_URL", "http://ann:canary@host/v1", "must hold no user name and no password"),
        ("REMOTE_URL", "http://canary@host/v1", "must hold no user name and no password"),
        ("REMOTE_URL", "http://:canary@host/v1", "must hold no user name and no password"),
        ("REMOTE_URL", "http://host:99999/canary", "Port out of range"),
        ("REMOTE_URL", "http://host:0/canary", "nothing can listen"),
        ("REMOTE_URL", "http://good/v1, bad-canary", "must be an address"),
        ("REMOTE_KEY", "canary two", "must be ASCII characters without blanks"),
        ("REMOTE_KEY", "canary-ü", "must be ASCII characters without blanks"),
        ("REMOTE_KEY", "canary\r\nX-Header: 1", "must be ASCII characters without blanks"),
    ],
)
def test_a_wrong_address_or_key_is_one_line_that_does_not_repeat_it(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({f"INFERENCE__{name}": value})
    told = str(caught.value)
    assert told.startswith(f"BOTBRIDGE_INFERENCE__{name} (command line): ")
    assert reason in told
    assert "canary" not in told
    assert "\n" not in told


def test_the_engine_without_an_address_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"^BOTBRIDGE_INFERENCE__ENGINE=remote needs [^\n]+$"):
        load_settings({"INFERENCE__ENGINE": "remote", "INFERENCE__REMOTE_KEY": KEY})


def test_the_engine_without_an_address_is_one_clear_sentence_and_wrong_use() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "botbridge", "chat", "--once", "hi", "--engine", "remote"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "botbridge: BOTBRIDGE_INFERENCE__ENGINE=remote needs BOTBRIDGE_INFERENCE__REMOTE_URL, "
        "the address of an OpenAI-compatible server, as http://host:8000/v1\n"
    )


def test_the_engine_without_its_package_names_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    settings = load_settings({"INFERENCE__ENGINE": "remote", "INFERENCE__REMOTE_URL": URL})
    with pytest.raises(
        ConfigError, match=r"is not installed; `.venv/bin/pip install -c constraints.txt -e '.\[remote\]'` adds it"
    ):
        build(settings, in_memory=True)


def test_a_model_name_that_only_a_server_knows_needs_no_files_here() -> None:
    settings = load_settings(
        {"INFERENCE__ENGINE": "remote", "INFERENCE__REMOTE_URL": URL, "INFERENCE__MODEL": "gpt: what/ever?"}
    )
    app = build(settings, in_memory=True)
    assert isinstance(app.generator, RemoteGenerator)
    assert not remote_options(settings).takes_only_model


def test_options_of_a_generator_hide_the_key() -> None:
    assert KEY not in repr(RemoteOptions((URL,), "m", key=SecretStr(KEY)))
