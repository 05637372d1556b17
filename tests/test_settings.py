"""What the operator may decide, where it is read from, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from botbridge.errors import ConfigError
from botbridge.settings import Settings, Source, child_environment, load_settings, setting_names, setting_sources


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory without `.env`, and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """An empty secrets directory."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory


def problem_of(options: dict[str, str | None] | None = None, **places: Path) -> str:
    """The text of the ConfigError that loading ends in."""
    with pytest.raises(ConfigError) as caught:
        load_settings(options, **places)
    return str(caught.value)


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = load_settings()
    assert settings.telegram.token is None
    assert settings.discord.token is None
    assert settings.limits.model_dump() == {
        "message_chars": 16_000,
        "waiting_per_person": 3,
        "messages_per_minute": 20,
        "tokens_per_minute": 60_000,
        "wait_s": 900,
        "queue": 200,
    }
    assert settings.inference.model == "smollm2-135m-instruct"
    assert settings.access.mode == "open"


def test_the_database_lies_in_home_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    assert load_settings({"HOME": str(tmp_path)}).database_path == tmp_path / "botbridge.db"
    elsewhere = "sqlite+aiosqlite:////var/lib/b.db"
    assert load_settings({"DATABASE__URL": elsewhere}).database_path == Path("/var/lib/b.db")


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///b.db", "b.db"),
        ("sqlite:////var/lib/b.db", "/var/lib/b.db"),
        ("sqlite+aiosqlite:////var/my data/a@b#1%20.db", "/var/my data/a@b#1 .db"),
        ("sqlite:////var/b.db?timeout=5", "/var/b.db"),
    ],
)
def test_a_database_address_means_the_file_that_sqlalchemy_finds_in_it(url: str, file: str) -> None:
    assert load_settings({"DATABASE__URL": url}).database_path == Path(file) == Path(str(make_url(url).database))


@pytest.mark.parametrize(
    "url", ["b.db", "sqlite://", "sqlite:///?", "sqlite:///:memory:", "sqlite:///%3Amemory:", "mysql://me:secret@h/b"]
)
def test_an_address_that_names_no_sqlite_file_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="must name a file") as caught:
        load_settings({"DATABASE__URL": url})
    assert "secret" not in str(caught.value)


def test_a_relative_home_becomes_absolute_and_a_tilde_is_expanded(tmp_path: Path) -> None:
    assert load_settings({"HOME": "data"}).home == tmp_path / "data"
    assert load_settings({"HOME": "~/data"}).home == Path.home() / "data"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.limits.queue = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.home = Path("/")  # type: ignore[misc]


def test_options_go_before_environment_before_dotenv_before_secret_files(
    empty_directory: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "BOTBRIDGE_HUB__TOKEN"

    def token_and_source(options: dict[str, str | None] | None = None) -> tuple[SecretStr | None, Source]:
        settings = load_settings(options, secrets_dir=secrets)
        return settings.hub.token, setting_sources(options, secrets_dir=secrets)[name]

    assert token_and_source() == (None, Source.DEFAULT)
    (secrets / "botbridge_hub__token").write_text("from-secret\n")
    assert token_and_source() == (SecretStr("from-secret"), Source.SECRET)
    (empty_directory / ".env").write_text(f"{name}=from-dotenv\n")
    assert token_and_source() == (SecretStr("from-dotenv"), Source.DOTENV)
    monkeypatch.setenv(name, "from-environment")
    assert token_and_source() == (SecretStr("from-environment"), Source.ENVIRONMENT)
    assert token_and_source({"HUB__TOKEN": "option"}) == (SecretStr("option"), Source.OPTION)
    assert token_and_source({"HUB__TOKEN": None}) == (SecretStr("from-environment"), Source.ENVIRONMENT)


def test_an_empty_variable_is_unset_and_does_not_hide_a_secret_file(
    empty_directory: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTBRIDGE_TELEGRAM__TOKEN", "")
    monkeypatch.setenv("BOTBRIDGE_LIMITS__QUEUE", "")
    (empty_directory / ".env").write_text("BOTBRIDGE_TELEGRAM__TOKEN=\nBOTBRIDGE_ADMINS__DISCORD=\n")
    (secrets / "BOTBRIDGE_TELEGRAM__TOKEN").write_text("7:from-secret\n")
    settings = load_settings(secrets_dir=secrets)
    assert settings.telegram.token == SecretStr("7:from-secret")
    assert settings.limits.queue == 200
    assert settings.admins.discord == ()
    assert setting_sources(secrets_dir=secrets)["BOTBRIDGE_TELEGRAM__TOKEN"] is Source.SECRET


def test_an_empty_secret_file_is_no_secret(secrets: Path) -> None:
    (secrets / "botbridge_discord__token").write_text("\n")
    assert load_settings(secrets_dir=secrets).discord.token is None
    assert setting_sources(secrets_dir=secrets)["BOTBRIDGE_DISCORD__TOKEN"] is Source.DEFAULT


def test_secrets_of_other_programs_are_not_read(secrets: Path) -> None:
    (secrets / "tls.der").write_bytes(b"\xff\xfe\x00")
    assert load_settings(secrets_dir=secrets).hub.token is None


def test_variables_of_other_programs_in_dotenv_are_left_alone(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("COMPOSE_PROJECT_NAME=x\nPATH_TO=y\n")
    load_settings()


def test_a_secrets_file_that_is_not_text_is_one_clear_line(secrets: Path) -> None:
    file = secrets / "botbridge_hub__token"
    file.write_bytes(b"\xff\xfe\x00")
    assert problem_of(secrets_dir=secrets) == f"{file} cannot be read: it is not UTF-8 text"


def test_a_secret_that_cannot_be_opened_is_one_clear_line(secrets: Path) -> None:
    file = secrets / "botbridge_hub__token"
    file.symlink_to(file)
    assert problem_of(secrets_dir=secrets) == f"{file} cannot be read: Too many levels of symbolic links"


def test_a_dotenv_that_is_not_text_is_one_clear_line(empty_directory: Path) -> None:
    (empty_directory / ".env").write_bytes(b"A=\xff\xfe\n")
    told = problem_of()
    assert told.startswith(".env cannot be read: ")
    assert "\n" not in told


@pytest.mark.parametrize("place", ["environment", ".env", "secret file", "command line"])
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    place: str, empty_directory: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "BOTBRIDGE_LIMIT__QUEUES"
    if place == "environment":
        monkeypatch.setenv(name, "5")
    elif place == ".env":
        (empty_directory / ".env").write_text(f"{name}=5\n")
    elif place == "secret file":
        (secrets / name.lower()).write_text("5")
    options: dict[str, str | None] | None = {"LIMIT__QUEUES": "5"} if place == "command line" else None
    expected = f"{name} ({place}) is not a setting; the nearest is BOTBRIDGE_LIMITS__QUEUE"
    assert problem_of(options, secrets_dir=secrets) == expected


def test_a_whole_group_as_json_is_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_TELEGRAM", '{"token": "1:x"}')
    assert "BOTBRIDGE_TELEGRAM (environment) is not a setting" in problem_of()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LIMITS__QUEUE", "0", "should be greater than or equal to 1"),
        ("LIMITS__WAIT_S", "soon", "should be a valid integer"),
        ("INFERENCE__TEMPERATURE", "-0.1", "should be greater than or equal to 0"),
        ("INFERENCE__TEMPERATURE", "nan", "should be less than or equal to 2"),
        ("INFERENCE__TOP_P", "0", "should be greater than 0"),
        ("INFERENCE__TOP_P", "1.01", "should be less than or equal to 1"),
        ("INFERENCE__THREADS", "0", "should be greater than or equal to 1"),
        ("INFERENCE__ENGINE", "magic", "should be 'auto'"),
        ("ACCESS__MODE", "closed", "should be 'open' or 'listed'"),
        ("ACCESS__ALLOW", "telegram:ann", "is not of the form telegram:123"),
        ("ACCESS__BLOCK", "777000", "is not of the form telegram:123"),
        ("ACCESS__BLOCK", "discord:²", "is not of the form telegram:123"),
        ("ACCESS__ALLOW", "telegram:1087968824", "service account"),
        ("ADMINS__TELEGRAM", "@ann", "should be a valid integer"),
        ("ADMINS__TELEGRAM", "-100123", "should be greater than or equal to 1"),
        ("ADMINS__TELEGRAM", "5, 1087968824", "service account"),
        ("ADMINS__TELEGRAM", "777000", "service account"),
        ("ADMINS__TELEGRAM", "136817688", "service account"),
        ("TELEGRAM__API_BASE_URL", "localhost:8081", "must be an address that begins with http:// or https://"),
        ("TELEGRAM__API_BASE_URL", "http://[", "Invalid IPv6 URL"),
        ("TELEGRAM__MODE", "push", "should be 'polling' or 'webhook'"),
        ("TELEGRAM__WEBHOOK_URL", "bot.example.org/hook", "must be an address that begins with https://"),
        ("TELEGRAM__WEBHOOK_URL", "https://bot.example.org", "must hold a path that is hard to guess"),
        ("TELEGRAM__WEBHOOK_URL", "https://bot.example.org/{x}", "must hold a path that is hard to guess"),
        ("TELEGRAM__WEBHOOK_SECRET", "short", "must be 16 to 256 characters"),
        ("TELEGRAM__WEBHOOK_SECRET", "sécret-of-many-characters", "must be 16 to 256 characters"),
        ("WEB__PORT", "0", "should be greater than or equal to 1"),
        ("WEB__PORT", "65536", "should be less than or equal to 65535"),
        ("DISCORD__GATEWAY_URL", "https://gateway", "must be an address that begins with ws:// or wss://"),
        ("DATABASE__URL", "postgresql://x", "must name a file, as in sqlite:////"),
        ("DATABASE__URL", "sqlite:///:memory:", "must name a file"),
        ("LOG__LEVEL", "LOUD", "should be 'DEBUG'"),
    ],
)
def test_a_value_out_of_bounds_is_one_line_naming_the_variable(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BOTBRIDGE_{name}", value)
    told = problem_of()
    assert told.startswith(f"BOTBRIDGE_{name}")
    assert "(environment)" in told
    assert reason in told
    assert "\n" not in told


def test_each_of_several_mistakes_is_told() -> None:
    told = problem_of({"LIMITS__QUEUE": "0", "INFERENCE__SLOTS": "0"})
    assert [line.split()[0] for line in told.splitlines()] == ["BOTBRIDGE_LIMITS__QUEUE", "BOTBRIDGE_INFERENCE__SLOTS"]


WEBHOOK: dict[str, str | None] = {
    "TELEGRAM__MODE": "webhook",
    "TELEGRAM__TOKEN": "7:canary-t",
    "TELEGRAM__WEBHOOK_URL": "https://bot.example.org/canary-path",
    "TELEGRAM__WEBHOOK_SECRET": "canary-of-many-characters",
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"TELEGRAM__WEBHOOK_SECRET": None},
            "BOTBRIDGE_TELEGRAM__MODE=webhook needs BOTBRIDGE_TELEGRAM__WEBHOOK_SECRET",
        ),
        (
            {"TELEGRAM__WEBHOOK_SECRET": " "},
            "BOTBRIDGE_TELEGRAM__MODE=webhook needs BOTBRIDGE_TELEGRAM__WEBHOOK_SECRET",
        ),
        ({"TELEGRAM__WEBHOOK_URL": None}, "BOTBRIDGE_TELEGRAM__MODE=webhook needs BOTBRIDGE_TELEGRAM__WEBHOOK_URL"),
        ({"TELEGRAM__WEBHOOK_URL": "http://bot.example.org/canary"}, "must begin with https://"),
        ({"TELEGRAM__TOKEN": "canary-path"}, "must not hold the token"),
    ],
    ids=["no secret", "blank secret", "no address", "no TLS", "token in the address"],
)
def test_a_webhook_that_anybody_could_use_is_refused_at_the_start(change: dict[str, str | None], told: str) -> None:
    problem = problem_of(WEBHOOK | change)
    assert told in problem
    assert "\n" not in problem
    assert "canary" not in problem


def test_a_webhook_keeps_its_address_and_its_secret_to_itself() -> None:
    settings = load_settings(WEBHOOK)
    assert "canary" not in repr(settings) + settings.model_dump_json()
    assert {"https://bot.example.org/canary-path", "canary-of-many-characters"} < set(settings.secrets)


def test_an_own_server_may_come_to_a_webhook_without_tls() -> None:
    own = {"TELEGRAM__API_BASE_URL": "http://localhost:8081", "TELEGRAM__WEBHOOK_URL": "http://localhost:8080/hook"}
    assert load_settings(WEBHOOK | own).telegram.mode == "webhook"


def test_lists_are_split_at_commas_and_white_space() -> None:
    settings = load_settings({"ADMINS__TELEGRAM": " 1,2 3,\n4 ,", "ACCESS__ALLOW": "telegram:5 discord:6"})
    assert settings.admins.telegram == (1, 2, 3, 4)
    assert settings.access.allow == ("telegram:5", "discord:6")


def test_addresses_lose_their_last_slash() -> None:
    assert load_settings({"TELEGRAM__API_BASE_URL": "http://h:8081/"}).telegram.api_base_url == "http://h:8081"


def test_secrets_stay_out_of_repr_and_of_messages_about_mistakes() -> None:
    options: dict[str, str | None] = {"TELEGRAM__TOKEN": "7:canary-t", "HUB__TOKEN": "canary-h"}
    settings = load_settings(options)
    assert "canary" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.secrets == ("7:canary-t", "canary-h")
    assert "canary" not in problem_of(options | {"DATABASE__URL": "mysql://ann:canary@h/db", "LIMITS__QUEUE": "0"})


def test_every_setting_has_a_description_and_every_number_a_lower_and_an_upper_bound() -> None:
    schema = Settings.model_json_schema()
    fields = {
        f"{where}.{name}": field
        for where, part in {"": schema, **schema["$defs"]}.items()
        for name, field in part.get("properties", {}).items()  # an enumeration has none
        if "$ref" not in field
    }
    assert [name for name, field in fields.items() if not field.get("description")] == []
    for name, field in fields.items():
        for kind in [field, *field.get("anyOf", []), field.get("items", {})]:
            if kind.get("type") in ("integer", "number"):
                assert {"minimum", "exclusiveMinimum"} & kind.keys(), name
                assert {"maximum", "exclusiveMaximum"} & kind.keys(), name


def test_a_child_command_finds_the_same_home_and_hub(tmp_path: Path) -> None:
    """Settings may come from a program and not from the environment; the pull in a child needs them all the same."""
    settings = Settings(home=tmp_path, hub={"endpoint": "http://127.0.0.1:1", "token": "hf_secret"})
    environment = child_environment(settings)
    assert environment["BOTBRIDGE_HOME"] == str(tmp_path)
    assert environment["BOTBRIDGE_HUB__ENDPOINT"] == "http://127.0.0.1:1"
    assert environment["BOTBRIDGE_HUB__TOKEN"] == "hf_secret"
