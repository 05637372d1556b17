"""The groups of settings: names, defaults, bounds and what each means.

`settings.py` reads them; nothing here does.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode

from botbridge.models.uses import Use
from botbridge.platforms.telegram.translate import NOT_PEOPLE

DEFAULT_MODEL: Final = "smollm2-135m-instruct"
"""The one model that is fetched without being asked for."""

TELEGRAM_CLOUD: Final = "https://api.telegram.org"


def _words(value: object) -> object:
    """Split `1, 2 3` at commas and white space; other types pass."""
    return tuple(re.findall(r"[^,\s]+", value)) if isinstance(value, str) else value


def _stripped(value: object) -> object:
    """Take the line end off a secret; an empty one is none."""
    return (value.strip() or None) if isinstance(value, str) else value


def _is_person(user_id: int) -> int:
    if user_id in NOT_PEOPLE:
        reason = f"{user_id} is a service account of Telegram that stands for many people, not one person"
        raise ValueError(reason)
    return user_id


def _is_person_entry(entry: str) -> str:
    platform, _, user_id = entry.partition(":")
    if platform not in ("telegram", "discord") or not user_id.isascii() or not user_id.isdecimal():
        reason = f"{entry!r} is not of the form telegram:123 or discord:456"
        raise ValueError(reason)
    if platform == "telegram":
        _is_person(int(user_id))
    return entry


def _names_a_place(parts: SplitResult, schemes: Collection[str]) -> bool:
    return parts.scheme in schemes and bool(parts.hostname) and not parts.query and not parts.fragment


def _is_url(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if not _names_a_place(urlsplit(url), schemes):
            reason = f"must be an address that begins with {' or '.join(s + '://' for s in schemes)}"
            raise ValueError(reason)
        return url.rstrip("/")

    return AfterValidator(check)


def _is_server(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        reason = "must hold no user name and no password; a key goes into BOTBRIDGE_INFERENCE__REMOTE_KEY"
        raise ValueError(reason)
    if parts.port == 0:  # asking for the port also refuses one that is no port
        reason = "has a port that nothing can listen on"
        raise ValueError(reason)
    return url


def _is_header_value(secret: SecretStr | None) -> SecretStr | None:
    """Source: RFC 6750, section 2.1: a bearer token is visible ASCII without blanks."""
    if secret is not None and not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        reason = "must be ASCII characters without blanks"
        raise ValueError(reason)
    return secret


def _is_webhook_url(url: SecretStr | None) -> SecretStr | None:
    """Its path is secret, too: whoever knows it may knock."""
    if url is None:
        return None
    parts = urlsplit(url.get_secret_value())
    if not _names_a_place(parts, ("http", "https")):
        reason = "must be an address that begins with https://"
        raise ValueError(reason)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", parts.path):
        reason = "must hold a path that is hard to guess, such as https://bot.example.org/hook-7Hw2pXq9"
        raise ValueError(reason)
    return url


def _is_webhook_secret(secret: SecretStr | None) -> SecretStr | None:
    """Source: https://core.telegram.org/bots/api#setwebhook; 16 characters cannot be guessed over a network."""
    if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", secret.get_secret_value()):
        reason = "must be 16 to 256 characters of A-Z, a-z, 0-9, _ and -"
        raise ValueError(reason)
    return secret


def database_file(url: str) -> Path:
    """Return the file that a database address means, as SQLAlchemy reads it, options behind a question mark left out.

    Raises:
        ValueError: It is no address of a SQLite file; it is not repeated, since another database's may hold a password.

    >>> database_file("sqlite:////var/b.db"), database_file("sqlite+aiosqlite:///b.db?timeout=5")
    (PosixPath('/var/b.db'), PosixPath('b.db'))
    """
    found = re.match(r"sqlite(?:\+aiosqlite)?:///([^?]+)", url)
    file = "" if found is None else unquote(found[1])
    if file in ("", ":memory:"):
        reason = "must name a file, as in sqlite:////var/lib/botbridge/botbridge.db"
        raise ValueError(reason)
    return Path(file)


def _is_database(url: str | None) -> str | None:
    if url:
        database_file(url)
    return url


_PersonId = Annotated[int, Field(ge=1, le=2**63 - 1)]
_TelegramId = Annotated[_PersonId, AfterValidator(_is_person)]
_Entry = Annotated[str, AfterValidator(_is_person_entry)]
_List = BeforeValidator(_words)
_Secret = Annotated[SecretStr | None, BeforeValidator(_stripped)]
_HttpUrl = Annotated[str, _is_url("http", "https")]
_ServerUrl = Annotated[_HttpUrl, AfterValidator(_is_server)]
_Key = Annotated[_Secret, AfterValidator(_is_header_value)]
_WebhookUrl = Annotated[_Secret, AfterValidator(_is_webhook_url)]
_WebhookSecret = Annotated[_Secret, AfterValidator(_is_webhook_secret)]
_SocketUrl = Annotated[str, _is_url("ws", "wss")]
_Scope = Literal["user", "chat", "thread"]


class Group(BaseModel):
    """A frozen group; a name that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class TelegramSettings(Group):
    """How to reach Telegram."""

    token: _Secret = Field(default=None, description="Bot token from @BotFather; without it Telegram is off")
    api_base_url: _HttpUrl = Field(default=TELEGRAM_CLOUD, description="Own Bot API server")
    mode: Literal["polling", "webhook"] = Field(
        default="polling", description="polling: we ask Telegram; webhook: Telegram comes to WEBHOOK_URL"
    )
    webhook_url: _WebhookUrl = Field(
        default=None,
        description="Where Telegram reaches us, as https://bot.example.org/hook-7Hw2pXq9; a proxy hands it "
        "to WEB__PORT under the same path",
    )
    webhook_secret: _WebhookSecret = Field(
        default=None, description="What Telegram shows at the webhook, e.g. of `openssl rand -hex 32`"
    )


class DiscordSettings(Group):
    """How to reach Discord. The addresses are discord.py's own defaults."""

    token: _Secret = Field(default=None, description="Bot token of the developer portal; without it Discord is off")
    api_base_url: _HttpUrl = Field(default="https://discord.com/api/v10", description="Compatible REST server")
    gateway_url: _SocketUrl = Field(default="wss://gateway.discord.gg", description="Compatible gateway")
    message_content: bool = Field(
        default=False,
        description=(
            "Use the privileged Message Content intent: replies without a ping are read, "
            "and mentions of the role of the bot's name"
        ),
    )


class AdminSettings(Group):
    """Who operates the bot; only numeric ids count, never names."""

    telegram: Annotated[tuple[_TelegramId, ...], NoDecode, _List] = Field(
        default=(), description="Numeric Telegram ids of the operators, separated by commas"
    )
    discord: Annotated[tuple[_PersonId, ...], NoDecode, _List] = Field(
        default=(), description="Numeric Discord ids of the operators, separated by commas"
    )


class AccessSettings(Group):
    """Who may talk to the bot."""

    mode: Literal["open", "listed"] = Field(
        default="open", description="open: everybody; listed: only operators and ALLOW"
    )
    allow: Annotated[tuple[_Entry, ...], NoDecode, _List] = Field(
        default=(), description="Who may talk in mode listed, as telegram:123, discord:456"
    )
    block: Annotated[tuple[_Entry, ...], NoDecode, _List] = Field(
        default=(), description="Who may not talk in any mode, as telegram:123, discord:456"
    )


class LimitSettings(Group):
    """How much one person and all people together may ask for."""

    message_chars: int = Field(
        default=16_000,
        ge=1,
        le=1_000_000,
        description="Longest message, in characters; longer ones are refused, not cut",
    )
    waiting_per_person: int = Field(
        default=3, ge=1, le=1_000, description="Messages of one person that may wait, in messages"
    )
    messages_per_minute: int = Field(default=20, ge=1, le=10_000, description="Messages of one person, per minute")
    tokens_per_minute: int = Field(
        default=60_000,
        ge=1,
        le=1_000_000_000,
        description="Tokens computed for one person, of prompts and replies, per minute; who has reached it waits",
    )
    wait_s: int = Field(default=900, ge=1, le=86_400, description="Longest wait for an answer, in seconds")
    queue: int = Field(default=200, ge=1, le=100_000, description="Messages of all people that may wait, in messages")


class DatabaseSettings(Group):
    """Where messages and history are kept."""

    url: Annotated[str | None, AfterValidator(_is_database)] = Field(
        default=None, description="SQLite file, as sqlite:////path/to/file; unset: botbridge.db in the data directory"
    )


class InferenceSettings(Group):
    """Which model answers, and with how much of this machine."""

    model: str = Field(
        default=DEFAULT_MODEL,
        min_length=1,
        max_length=1_000,
        description="Catalogue id, hub id (ORG/NAME, or ORG/NAME:Q4_K_M for a GGUF of it), directory or .gguf file; "
        "engine remote: the server's name of it",
    )
    engine: Literal["auto", "transformers", "llamacpp", "openvino", "remote", "echo"] = Field(
        default="auto", description="What runs the model"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where torch has it, else cpu"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Number format of the weights; auto: bfloat16 where the processor has it, else float32",
    )
    quantize: Literal["none", "int8"] = Field(
        default="none",
        description=(
            "int8: linear layers of the transformers engine take half the memory; SmolLM2 foresees a text "
            "3 to 4 % worse, what others lose is not known"
        ),
    )
    threads: int | None = Field(
        default=None, ge=1, le=1_024, description="CPU threads; unset: one per core that is wholly the process's"
    )
    slots: int = Field(default=4, ge=1, le=256, description="Answers that run side by side")
    context_tokens: int | None = Field(
        default=None,
        ge=64,
        le=16_777_216,
        description="Prompt and answer together, in tokens; unset: all the model has",
    )
    max_new_tokens: int = Field(default=512, ge=1, le=1_048_576, description="Longest answer, in tokens")
    # What the default model's card samples with (https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct).
    temperature: float = Field(
        default=0.2, ge=0, le=2, description="0: always the likeliest token; higher: more varied"
    )
    top_p: float = Field(default=0.9, gt=0, le=1, description="Share of the probability that is sampled from; 1: all")
    cache_bytes: int = Field(
        default=536_870_912,
        ge=0,
        le=2**50,
        description="Memory kept for the next turns of conversations, in bytes; 0: none",
    )
    remote_url: Annotated[tuple[_ServerUrl, ...], NoDecode, _List] = Field(
        default=(),
        description="Engine remote: OpenAI-compatible servers, as http://host:8000/v1, separated by commas",
    )
    remote_key: _Key = Field(default=None, description="Engine remote: API key of these servers")
    system: str = Field(
        default="You are a friendly and helpful assistant who chats with people. Give short, clear answers.",
        max_length=100_000,
        description="What the model is told before every conversation",
    )


class LicenceSettings(Group):
    """What the bot is for, which licences ask."""

    use: Use | None = Field(
        default=None,
        description="What the model is for: personal (you alone), saas (others write to the bot) or embed (its weights "
        "go to others); unset: what `botbridge models licence MODEL --use USE --accept` accepted",
    )


class HubSettings(Group):
    """Where models are fetched from."""

    token: _Secret = Field(default=None, description="Access token of the hub, for gated models")
    endpoint: _HttpUrl = Field(default="https://huggingface.co", description="Compatible hub")


class ScopeSettings(Group):
    """Who shares a conversation where many people read along."""

    telegram_group: _Scope = Field(
        default="user", description="user: each person apart; chat: all together; thread: per topic"
    )
    discord_channel: _Scope = Field(
        default="user", description="user: each person apart; chat: all together; thread: per thread"
    )


class RunSettings(Group):
    """With whom the service begins, and how it ends."""

    without_platforms: bool = Field(
        default=False,
        description="Start without a token of any platform, and without a terminal: only `botbridge chat` talks to it",
    )
    exit_when_deaf_s: int | None = Field(
        default=None,
        ge=1,
        le=604_800,
        description="Leave with exit code 3 when the model could not run for so long, in seconds; unset: never",
    )
    grace_s: int = Field(
        default=5,
        ge=0,
        le=600,
        description="What is being answered when the service is told to stop may take so long, in seconds; "
        "whatever takes longer is answered by the next start",
    )


class WebSettings(Group):
    """Where we listen, for the proxy that speaks TLS; only in TELEGRAM__MODE=webhook."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255, description="Address that is listened on")
    port: int = Field(default=8080, ge=1, le=65_535, description="Port that is listened on")


class RetentionSettings(Group):
    """How long what was said is kept."""

    days: int | None = Field(
        default=None,
        ge=2,
        le=36_500,
        description="Messages, answers and names that are older are deleted, in days; unset: kept",
    )


class BackupSettings(Group):
    """Copies of the database that the service makes by itself."""

    every_h: int = Field(
        default=24,
        ge=0,
        le=8_760,
        description="Pause between two verified copies of the database (in the data directory), in hours; 0: none",
    )
    keep: int = Field(
        default=7, ge=1, le=1_000, description="How many of these copies are kept; older ones are removed, in copies"
    )


class LogSettings(Group):
    """What is logged to stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least severe line to log")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json"
    )
