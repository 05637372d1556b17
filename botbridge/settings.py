"""What the operator decides: the only reader of environment, `.env` and secret files.

Nothing is read at import. `load_settings` reads once, and hands out a frozen
`Settings`; what it finds first counts: command-line options, environment
variables, `.env` in the current directory, files in `/run/secrets`, defaults.
An empty variable is an unset one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self
from urllib.parse import quote

import platformdirs
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from botbridge.errors import ConfigError
from botbridge.models.uses import Use
from botbridge.setting_groups import (
    TELEGRAM_CLOUD,
    AccessSettings,
    AdminSettings,
    BackupSettings,
    DatabaseSettings,
    DiscordSettings,
    Group,
    HubSettings,
    InferenceSettings,
    LicenceSettings,
    LimitSettings,
    LogSettings,
    RetentionSettings,
    RunSettings,
    ScopeSettings,
    TelegramSettings,
    WebSettings,
    database_file,
)

PREFIX: Final = "BOTBRIDGE_"
DELIMITER: Final = "__"
ENV_FILE: Final = Path(".env")
SECRETS_DIR: Final = Path("/run/secrets")


class Source(StrEnum):
    """Where a value came from."""

    OPTION = "command line"
    ENVIRONMENT = "environment"
    DOTENV = ".env"
    SECRET = "secret file"  # noqa: S105 - the name of a place, not a secret
    DEFAULT = "default"


class SecretFiles(NestedSecretsSettingsSource):
    """Our own files of a secrets directory; what else lies there is not touched."""

    @classmethod
    def load_secrets(cls, path: Path) -> dict[str, str]:
        """Read every file whose name begins with the prefix, in any case.

        Raises:
            ConfigError: The directory or one of the files cannot be read.
        """
        try:
            if not path.is_dir():
                return {}
            files = [file for file in sorted(path.iterdir()) if file.name.upper().startswith(PREFIX)]
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        return {file.name: cls._read(file) for file in files}

    @staticmethod
    def _read(file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file} cannot be read: it is not UTF-8 text") from error


class Settings(BaseSettings):
    """All decisions of the operator; `load_settings` makes it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
        secrets_dir_missing="ok",
    )

    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        default_factory=lambda: platformdirs.user_data_path("botbridge"),
        description=(
            "The data directory (database, models, backups, control socket); unset: ~/.local/share/botbridge, on macOS "
            "~/Library/Application Support/botbridge"
        ),
    )
    telegram: TelegramSettings = TelegramSettings()
    discord: DiscordSettings = DiscordSettings()
    admins: AdminSettings = AdminSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    database: DatabaseSettings = DatabaseSettings()
    inference: InferenceSettings = InferenceSettings()
    licence: LicenceSettings = LicenceSettings()
    hub: HubSettings = HubSettings()
    scope: ScopeSettings = ScopeSettings()
    run: RunSettings = RunSettings()
    web: WebSettings = WebSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _remote_has_a_server(self) -> Self:
        if self.inference.engine == "remote" and not self.inference.remote_url:
            reason = (
                f"{PREFIX}INFERENCE__ENGINE=remote needs {PREFIX}INFERENCE__REMOTE_URL, "
                "the address of an OpenAI-compatible server, as http://host:8000/v1"
            )
            raise ValueError(reason)
        return self

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if self.telegram.mode == "webhook" and (reason := _against_webhook(self.telegram)):
            raise ValueError(reason)
        return self

    @property
    def database_path(self) -> Path:
        """The database file."""
        return database_file(self.database.url) if self.database.url else self.home / "botbridge.db"

    @property
    def likely_use(self) -> Use:
        """What the model is for, as far as the settings tell it: on a platform, others write to the bot."""
        has_platform = self.telegram.token is not None or self.discord.token is not None
        return self.licence.use or (Use.SAAS if has_platform else Use.PERSONAL)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret that is set, for the log's redaction and for nothing else."""
        values = (
            self.telegram.token,
            self.telegram.webhook_url,
            self.telegram.webhook_secret,
            self.discord.token,
            self.hub.token,
            self.inference.remote_key,
        )
        return tuple(value.get_secret_value() for value in values if value is not None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the places that are read; the first that knows a value wins."""
        del settings_cls
        return init_settings, env_settings, dotenv_settings, SecretFiles(file_secret_settings)


def load_settings(
    options: Mapping[str, str | None] | None = None, *, env_file: Path = ENV_FILE, secrets_dir: Path = SECRETS_DIR
) -> Settings:
    """Read all settings once.

    Args:
        options: What the command line says, by variable name without the prefix
            (`INFERENCE__MODEL`); None as a value means not given.
        env_file: Read where it exists.
        secrets_dir: Holds one file per secret, named as the variable.

    Raises:
        ConfigError: One line for each problem, naming the variable.
    """
    sources = setting_sources(options, env_file=env_file, secrets_dir=secrets_dir)
    try:
        return Settings(**_nested(options or {}), _env_file=env_file, _secrets_dir=secrets_dir)
    except ValidationError as error:
        raise ConfigError("\n".join(_problem_lines(error, sources))) from None
    except SettingsError as error:
        raise ConfigError(" ".join(str(error).split())) from None


def setting_sources(
    options: Mapping[str, str | None] | None = None, *, env_file: Path = ENV_FILE, secrets_dir: Path = SECRETS_DIR
) -> dict[str, Source]:
    """Tell for every setting, named with the prefix, where its value comes from.

    Raises:
        ConfigError: A name is unknown, or a file cannot be read.
    """
    try:
        layers = {
            Source.SECRET: SecretFiles(Settings, secrets_dir=secrets_dir).env_vars,  # type: ignore[arg-type]
            Source.DOTENV: DotEnvSettingsSource(Settings, env_file=env_file).env_vars,
            Source.ENVIRONMENT: EnvSettingsSource(Settings).env_vars,
            Source.OPTION: {PREFIX + name: value for name, value in (options or {}).items() if value is not None},
        }
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {error}") from error
    except SettingsError as error:
        raise ConfigError(str(error)) from error
    found = dict.fromkeys(setting_names(), Source.DEFAULT)
    given = [
        (name.upper(), source)
        for source, layer in layers.items()
        for name, value in layer.items()
        if value or source is Source.OPTION  # an empty variable is an unset one, an empty option was typed
    ]
    unknown = [(name, source) for name, source in given if name.startswith(PREFIX) and name not in found]
    if unknown:
        raise ConfigError("\n".join(_unknown_line(name, source) for name, source in unknown))
    return found | {name: source for name, source in given if name in found}


class ShownSetting(NamedTuple):
    """One setting as it may be shown to anybody."""

    name: str
    value: str | None
    source: Source


def shown_settings(*, env_file: Path = ENV_FILE, secrets_dir: Path = SECRETS_DIR) -> list[ShownSetting]:
    """Load all settings and describe them, with secrets and passwords hidden.

    Raises:
        ConfigError: As `load_settings`.
    """
    settings = load_settings(env_file=env_file, secrets_dir=secrets_dir)
    sources = setting_sources(env_file=env_file, secrets_dir=secrets_dir)
    return [ShownSetting(name, shown(_value(settings, name)), source) for name, source in sources.items()]


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a command of ours finds the same home, the same hub and the same use."""
    environment = dict(os.environ)
    environment[f"{PREFIX}HOME"] = str(settings.home)
    environment[f"{PREFIX}HUB{DELIMITER}ENDPOINT"] = settings.hub.endpoint
    if settings.hub.token is not None:
        environment[f"{PREFIX}HUB{DELIMITER}TOKEN"] = settings.hub.token.get_secret_value()
    if settings.licence.use is not None:
        environment[f"{PREFIX}LICENCE{DELIMITER}USE"] = settings.licence.use
    return environment


def setting_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting's variable name, prefix included, with its description and default."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            for member, inner in group.model_fields.items():
                yield f"{PREFIX}{name}{DELIMITER}{member}".upper(), inner
        else:
            yield f"{PREFIX}{name}".upper(), field


def setting_names() -> tuple[str, ...]:
    """Every variable name, prefix included."""
    return tuple(name for name, _ in setting_fields())


def _value(settings: Settings, name: str) -> object:
    """Look a value up by its variable name."""
    if name == f"{PREFIX}DATABASE{DELIMITER}URL":
        return settings.database.url or f"sqlite:///{quote(str(settings.database_path))}"
    group, _, member = name.removeprefix(PREFIX).lower().partition(DELIMITER)
    value = dict(settings)[group]
    return dict(value)[member] if member else value


def shown(value: object) -> str | None:
    """Write a value as the variable would hold it, or None where nothing is set."""
    match value:
        case None | ():
            return None
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
        case _:
            return re.sub(r"(?<=://)[^/@]*@", "***@", str(value))


def _against_webhook(telegram: TelegramSettings) -> str:
    """Why Telegram could not come to a webhook, or others could; empty when all is well."""
    names, needs = f"{PREFIX}TELEGRAM__WEBHOOK", f"{PREFIX}TELEGRAM__MODE=webhook needs"
    if telegram.webhook_url is None:
        return f"{needs} {names}_URL: the https:// address at which Telegram reaches this bot"
    if telegram.webhook_secret is None:
        return f"{needs} {names}_SECRET: else anybody could speak in anybody's name"
    url = telegram.webhook_url.get_secret_value()
    if telegram.token is not None and telegram.token.get_secret_value() in url:
        return f"{names}_URL must not hold the token: proxies log addresses"
    if telegram.api_base_url == TELEGRAM_CLOUD and not url.startswith("https://"):
        return f"{names}_URL must begin with https://: Telegram comes to nothing else"
    return ""


def _nested(options: Mapping[str, str | None]) -> dict[str, Any]:
    """Turn `{"INFERENCE__MODEL": "x"}` into `{"inference": {"model": "x"}}`."""
    values: dict[str, Any] = {}
    for name, value in options.items():
        group, _, member = name.lower().partition(DELIMITER)
        if value is not None and member:
            values.setdefault(group, {})[member] = value
        elif value is not None:
            values[group] = value
    return values


def _unknown_line(name: str, source: Source) -> str:
    near = difflib.get_close_matches(name, setting_names(), n=1, cutoff=0.0)
    return f"{name} ({source}) is not a setting; the nearest is {near[0]}"


def _problem_lines(error: ValidationError, sources: Mapping[str, Source]) -> Iterator[str]:
    """One line for each refused value; a secret's value is not repeated."""
    for problem in error.errors(include_url=False, include_context=False):
        path = [str(step) for step in problem["loc"] if isinstance(step, str)]
        name = PREFIX + DELIMITER.join(path).upper()
        reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not path:  # a rule between settings, which names them itself
            yield reason
            continue
        told = (
            "" if name.endswith(("TOKEN", "KEY", "SECRET", "URL", "ENDPOINT")) else f" {str(problem['input'])[:80]!r}"
        )
        yield f"{name}{told} ({sources.get(name, Source.DEFAULT)}): {reason}"
