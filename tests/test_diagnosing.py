"""What `doctor` finds: real files, sockets, databases and platforms, on machines that the tests do not run on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from botbridge.accounts import Account, Unanswered
from botbridge.chosen import engine_options, measured_rates
from botbridge.cli.doctor import facts_of
from botbridge.diagnosing import Diagnosis, diagnose
from botbridge.engine_at_hand import engines_for
from botbridge.errors import ConfigError, ModelDamaged, NotMeasured, PlatformUnavailable
from botbridge.examining import ask, has_address
from botbridge.inference.choice import installed_engines
from botbridge.machine.doctor_facts import Row, Status
from botbridge.machine.figures import write_report
from botbridge.machine.probe import MachineFacts, TorchBuild
from botbridge.model_at_hand import need_at_hand, serving_engine
from botbridge.models.catalogue import load_catalogue
from botbridge.models.hub import Hub
from botbridge.models.manifest import QUICK_LIMIT_BYTES
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from botbridge.planning import measure_of
from botbridge.settings import load_settings
from tests.fakes.discord import FakeDiscord
from tests.fakes.hub import FakeHub
from tests.fakes.machines import CONTAINER, FULL_DISK, GB, LAPTOP, MAC, RELIC, SERVER, WINDOWS, FixedProbe
from tests.fakes.model_sources import RecordedProgress, adapter_files, named_gguf, tiny_files
from tests.fakes.openai_server import MODEL as SERVED
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.schemas import complaints
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.machine.test_figures import FAST, REPORT, SLOW
from tests.models.own_entries import own_file

MODEL = "org/tiny"
LEAST_FILES = ("config.json", "tokenizer.json", "model.safetensors")


def row(component: str, found: Diagnosis) -> Row:
    return next(row for row in found.rows if row.component == component)


async def doctor(home: Path, machine: MachineFacts = SERVER, **options: str) -> Diagnosis:
    settings = load_settings({"HOME": str(home), **options}, env_file=home / ".env", secrets_dir=home / "secrets")
    return await diagnose(settings, FixedProbe(machine), lambda _line: None)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        server.repository(MODEL).commit(tiny_files())
        yield server


@pytest.fixture
def pulled(tmp_path: Path, hub: FakeHub) -> Path:
    """A home with a model that is not the default one."""
    pull(load_catalogue().resolve(MODEL), ModelStore(tmp_path), Hub(hub.endpoint), RecordedProgress())
    return tmp_path


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as server:
        yield server


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


async def test_a_home_that_is_not_there_yet_is_ready_for_the_default_model_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = await doctor(home)
    assert found.is_ready, [row for row in found.rows if row.status is Status.UPGRADE]
    assert row("Model", found).status is Status.OPTIONAL
    assert row("Database", found).found.endswith("none yet, the first start makes it")
    assert not home.exists()


@pytest.mark.parametrize(("place", "problem"), [("/dev/null/x", "/dev/null is no directory"), ("x" * 100, "bytes")])
async def test_a_home_in_which_no_start_succeeds_is_not_ready(tmp_path: Path, place: str, problem: str) -> None:
    home = tmp_path / place
    found = await doctor(home)
    assert not found.is_ready
    assert row("Data directory", found).status is Status.UPGRADE
    assert problem in row("Data directory", found).found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_home_that_this_user_may_not_make_is_not_ready(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = await doctor(tmp_path / "home")
    tmp_path.chmod(0o700)
    assert row("Data directory", found).found == f"{tmp_path / 'home'}: this user may not write to {tmp_path}"


async def test_with_a_token_the_licence_is_proposed_for_whoever_writes_to_the_bot(
    tmp_path: Path, discord: FakeDiscord
) -> None:
    found = await doctor(
        tmp_path,
        INFERENCE__MODEL="llama-3.2-1b-instruct",
        DISCORD__TOKEN=discord.token,
        DISCORD__API_BASE_URL=discord.api_url,
    )
    assert row("Licence", found).how == "botbridge models licence llama-3.2-1b-instruct --use saas --accept"


async def test_a_model_that_nobody_fetches_unasked_is_named_with_its_command(tmp_path: Path) -> None:
    found = await doctor(tmp_path, INFERENCE__MODEL="org/absent")
    assert not found.is_ready
    assert row("Model", found).how == "botbridge models pull org/absent"
    assert row("Memory (RAM)", found).status is Status.UNKNOWN


@pytest.mark.parametrize("name", ["no.gguf", "no"])
async def test_a_path_at_which_nothing_lies_is_not_to_be_fetched(tmp_path: Path, name: str) -> None:
    for engine in ("auto", "llamacpp", "transformers"):
        found = await doctor(tmp_path, INFERENCE__MODEL=str(tmp_path / name), INFERENCE__ENGINE=engine)
        assert not found.is_ready
        assert row("Model", found).how == "botbridge models match"
        assert not any("models pull" in row.how for row in found.rows)
        assert (row("Engines", found).status, row("Engines", found).upgrade) == (Status.UNKNOWN, "")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("own", None, "holds no model"),
        ("d.gguf", None, "there is no file"),
        ("text.gguf", b"no head" * 9, "is no GGUF file"),
        ("cut.gguf", named_gguf("llama")[:40], "is cut short or damaged"),
        ("m-00001-of-00002.gguf", named_gguf("llama"), "is one part of a split GGUF file"),
    ],
)
async def test_what_no_pull_would_make_a_model_of_is_not_to_be_fetched(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    found = await doctor(tmp_path, INFERENCE__MODEL=str(path))
    assert (row("Model", found).status, row("Model", found).how) == (Status.UPGRADE, "botbridge models match")
    assert reason in row("Model", found).found
    assert not any("models pull" in f"{row.found} {row.how}" for row in found.rows)


@pytest.mark.parametrize("architecture", ["t5", "bert", "of-tomorrow"])
async def test_a_file_that_no_engine_computes_is_not_to_be_fetched(tmp_path: Path, architecture: str) -> None:
    """Its head says so before it is prepared."""
    path = tmp_path / "m.gguf"
    path.write_bytes(named_gguf(architecture))
    found = await doctor(tmp_path, INFERENCE__MODEL=str(path))
    for component in ("Engines", "Model"):
        assert (row(component, found).status, row(component, found).how) == (Status.UPGRADE, "botbridge models match")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tokenizer.json": None}, "holds no vocabulary"),
        ({"tokenizer.json": b""}, "tokenizer.json is damaged: it is no JSON"),
        ({"model.safetensors": None, "a.safetensors": b"\2\0\0\0\0\0\0\0{}"}, "there is neither model.safetensors nor"),
    ],
)
async def test_a_directory_that_lacks_what_engines_read_is_not_ready(
    tmp_path: Path, change: dict[str, bytes | None], reason: str
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name, content in ({each: tiny_files()[each] for each in LEAST_FILES} | change).items():
        if content is not None:
            (own / name).write_bytes(content)
    found = await doctor(tmp_path, INFERENCE__MODEL=str(own))
    assert not found.is_ready
    assert (row("Model", found).status, row("Model", found).how) == (Status.UPGRADE, "botbridge models match")
    assert reason in row("Model", found).found


async def test_cut_safetensors_beside_a_whole_gguf_stop_nothing(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in LEAST_FILES:
        (own / name).write_bytes(tiny_files()[name])
    (own / "model.safetensors").write_bytes(b"cut")
    (own / "model.gguf").write_bytes(named_gguf("llama"))
    assert row("Model", await doctor(tmp_path, INFERENCE__MODEL=str(own))).status is Status.OK


async def test_a_file_that_can_be_prepared_is_to_be_fetched(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(named_gguf("llama"))
    found = row("Model", await doctor(tmp_path, INFERENCE__MODEL=str(path)))
    assert (found.found, found.how) == (f"{path} is not prepared yet", f"botbridge models pull {path}")


async def test_an_engine_that_does_not_compute_the_architecture_is_not_taken(tmp_path: Path) -> None:
    diagnosis = await doctor(tmp_path, INFERENCE__MODEL="bloomz-3b", INFERENCE__ENGINE="openvino")
    found = row("Engines", diagnosis)
    assert (found.status, found.upgrade) == (Status.UPGRADE, "the engine openvino does not compute this model")
    assert found.how == "echo BOTBRIDGE_INFERENCE__ENGINE=auto >> .env"
    assert row("Model", diagnosis).how == "botbridge models pull bloomz-3b"


@pytest.mark.parametrize("model", ["jais-family-590m-chat", "m2m100-1.2b"])
async def test_a_model_that_no_engine_computes_is_not_to_be_fetched(tmp_path: Path, model: str) -> None:
    found = await doctor(tmp_path, INFERENCE__MODEL=model)
    assert not found.is_ready
    for component in ("Engines", "Model"):
        assert row(component, found).status is Status.UPGRADE
        assert row(component, found).how == "botbridge models match"
    assert not any("models pull" in f"{row.found} {row.how}" for row in found.rows)
    full = replace(SERVER, disk_free_bytes=GB)
    assert row("Disk", await doctor(tmp_path, full, INFERENCE__MODEL=model)).status is Status.OK


async def test_without_a_gpu_one_setting_mends_a_device_that_is_not_here(tmp_path: Path) -> None:
    found = await doctor(tmp_path, INFERENCE__ENGINE="llamacpp", INFERENCE__DEVICE="cuda")
    cpu = "echo BOTBRIDGE_INFERENCE__DEVICE=auto >> .env"
    assert row("torch", found).how == cpu
    assert row("Engines", found).how.startswith(cpu)
    assert "ENGINE" not in row("Engines", found).how
    with_gpu = replace(SERVER, has_cuda_device=True, torch=TorchBuild("2.13.0", "13.0"))
    found = await doctor(tmp_path, with_gpu, INFERENCE__ENGINE="llamacpp", INFERENCE__DEVICE="cuda")
    assert row("Engines", found).how == "echo BOTBRIDGE_INFERENCE__ENGINE=auto >> .env"


@pytest.mark.parametrize(
    "config", [{"is_encoder_decoder": True}, {"model_type": "jais"}, {"model_type": "vit"}, {"model_type": None}]
)
async def test_what_files_say_of_their_architecture_counts(tmp_path: Path, config: dict[str, object]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in LEAST_FILES:
        (own / name).write_bytes(tiny_files()[name])
    known = await doctor(tmp_path, INFERENCE__MODEL=str(own))
    assert row("Engines", known).status is Status.OK
    described = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(described | config))
    found = row("Engines", await doctor(tmp_path, INFERENCE__MODEL=str(own)))
    assert (found.status, found.upgrade) == (Status.UPGRADE, "no engine computes this model in this form")


async def test_a_name_that_no_model_has_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model is called"):
        await doctor(tmp_path, INFERENCE__MODEL="no such model")


async def test_a_model_that_is_here_is_hashed_and_measured(pulled: Path) -> None:
    found = await doctor(pulled, INFERENCE__MODEL=MODEL)
    assert row("Model", found).status is Status.OK
    assert row("Model", found).found.endswith("every hash agrees")
    assert "weights 0 MB (BF16)" in row("Memory (RAM)", found).needed  # of a file of 1 MB, with 32 bits a number
    assert "for the model" not in row("Disk", found).needed


async def test_what_was_measured_of_another_revision_counts_for_nothing_and_is_to_be_measured_again(
    pulled: Path,
) -> None:
    named = load_catalogue().resolve(MODEL)
    options = {"HOME": str(pulled), "INFERENCE__MODEL": MODEL}
    settings = load_settings(options, env_file=pulled / ".env", secrets_dir=pulled / "secrets")
    entry = load_catalogue().find("qwen3-0.6b").model_copy(update={"source": named.source})
    others = tuple(replace(SLOW, engine=engine) for engine in ("llamacpp", "openvino"))
    report = replace(REPORT, model=MODEL, engines=(replace(FAST, engine="transformers"), *others))

    write_report(pulled, replace(report, revision=ModelStore(pulled).find(named).revision))
    assert engine_options(settings).fastest_engines[0] == "transformers"
    assert measured_rates(settings).keys() == {"transformers", "llamacpp", "openvino"}
    assert engines_for(settings, load_catalogue(), entry)[0] == "transformers"
    assert measure_of(settings, SERVER, engine=None, tokens_per_s=None).engine == "transformers"
    assert row("Engines", await doctor(pulled, INFERENCE__MODEL=MODEL)).status is Status.OK

    write_report(pulled, replace(report, revision="0" * 40))
    assert engine_options(settings).fastest_engines == ()
    assert measured_rates(settings) == {}
    if len(installed_engines()) > 1:
        assert engines_for(settings, load_catalogue(), entry)[0] != "transformers"
    with pytest.raises(NotMeasured, match="another revision of org/tiny was measured .*: run `botbridge bench`, or"):
        measure_of(settings, SERVER, engine=None, tokens_per_s=None)
    found = row("Engines", await doctor(pulled, INFERENCE__MODEL=MODEL))
    assert (found.status, found.how) == (Status.OPTIONAL, "botbridge bench")


async def test_weights_that_changed_are_found_by_their_hash(tmp_path: Path) -> None:
    """A start looks at the size alone of files that are so large, and that is still right."""
    name, store = f"org/large@{'0' * 40}", ModelStore(tmp_path)
    named = load_catalogue().resolve(name)
    with store.locked(named.model, lambda: None):
        finished = store.staging(named.model, "0" * 40)
        (finished / "config.json").write_text("{}")
        (finished / "model.safetensors").write_bytes(bytes(QUICK_LIMIT_BYTES + 1))
        files = store.publish(finished, named, "0" * 40)
    with (files.directory / "model.safetensors").open("r+b") as weights:
        weights.write(b"?")
    found = row("Model", await doctor(tmp_path, INFERENCE__MODEL=name))
    assert (found.status, found.how) == (Status.UPGRADE, f"botbridge models pull {name}")
    assert "model.safetensors" in found.found


async def test_a_directory_of_ones_own_is_there_and_has_nothing_to_be_held_against(pulled: Path) -> None:
    (config,) = (pulled / "models").rglob("config.json")
    found = await doctor(pulled, INFERENCE__MODEL=str(config.parent))
    assert "in a directory of your own" in row("Model", found).found
    assert row("Model", found).status is Status.OK


async def test_weights_of_ones_own_that_are_cut_short_are_found_without_a_hash(pulled: Path) -> None:
    """And stop no audit."""
    (config,) = (pulled / "models").rglob("config.json")
    weights = config.with_name("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    diagnosis = await doctor(pulled, INFERENCE__MODEL=str(config.parent))
    found = row("Memory (RAM)", diagnosis)
    assert (found.status, found.upgrade) == (Status.UNKNOWN, "the model's size is not known")
    found = row("Model", diagnosis)
    assert (found.status, found.upgrade) == (Status.UPGRADE, "its files whole, or another model")
    assert "model.safetensors is damaged: it should have" in found.found
    assert not diagnosis.is_ready
    with pytest.raises(ModelDamaged) as caught:
        ModelStore(pulled).find(load_catalogue().resolve(str(config.parent)), thorough=True)
    assert str(caught.value) in found.found


async def test_a_processor_without_bfloat16_needs_twice_the_memory(pulled: Path) -> None:
    """The engine transformers takes float32 there."""
    found = await doctor(pulled, LAPTOP, INFERENCE__MODEL=MODEL)
    assert "weights 1 MB (F32)" in row("Memory (RAM)", found).needed


async def test_an_adapter_for_the_model_decides_the_engine_and_one_for_another_does_not(
    pulled: Path, hub: FakeHub
) -> None:
    """As in the worker: transformers alone computes adapters. `plan` and `models match` take the same."""
    (config,) = (pulled / "models").rglob("config.json")
    config.with_name("model.gguf").write_bytes(named_gguf("llama"))
    entry = load_catalogue().find("qwen3-0.6b").model_copy(update={"source": load_catalogue().resolve(MODEL).source})
    for base, is_taken in (("org/other", False), (MODEL, True)):
        name = f"org/adapter-for-{base.rpartition('/')[2]}"
        hub.repository(name).commit(adapter_files(base))
        pull(load_catalogue().resolve(name), ModelStore(pulled), Hub(hub.endpoint), RecordedProgress())
        found = await doctor(pulled, INFERENCE__MODEL=MODEL)
        assert row("Engines", found).found.endswith("taken: transformers") is is_taken
        assert ("botbridge with transformers" in row("Memory (RAM)", found).needed) is is_taken
        options = {"HOME": str(pulled), "INFERENCE__MODEL": MODEL}
        settings = load_settings(options, env_file=pulled / ".env", secrets_dir=pulled / "secrets")
        need = need_at_hand(settings, SERVER)
        assert need is not None
        assert (need.engine == "transformers") is is_taken
        assert (serving_engine(settings, SERVER) == "transformers") is is_taken
        assert (engines_for(settings, load_catalogue(), entry)[0] == "transformers") is is_taken


async def test_weights_of_32_bits_are_seen_before_they_are_fetched(tmp_path: Path) -> None:
    """Of 3.1 GB of disk half is held in memory where the processor computes with bfloat16."""
    published = '{ format = "safetensors", quantization = "F32", size_bytes = 3080000000, source = "my-card" }'
    (tmp_path / "catalogue.toml").write_text(own_file(more=f"files = [{published}]"))
    found = await doctor(tmp_path, INFERENCE__MODEL="mine")
    assert "weights 1.5 GB (BF16)" in row("Memory (RAM)", found).needed
    assert "3.1 GB for the model" in row("Disk", found).needed
    old = await doctor(tmp_path, LAPTOP, INFERENCE__MODEL="mine")
    assert "weights 3.1 GB (F32)" in row("Memory (RAM)", old).needed


async def test_the_default_model_is_judged_before_it_is_fetched(tmp_path: Path) -> None:
    assert (await doctor(tmp_path, CONTAINER)).is_ready
    assert (await doctor(tmp_path, FULL_DISK)).is_ready
    found = await doctor(tmp_path, RELIC)
    assert [row("Memory (RAM)", found).status, row("Disk", found).status] == [Status.UPGRADE, Status.UPGRADE]


@pytest.mark.parametrize("machine", [SERVER, MAC, WINDOWS, RELIC], ids=["server", "mac", "windows", "relic"])
async def test_what_is_printed_has_the_published_form(tmp_path: Path, machine: MachineFacts) -> None:
    found = await doctor(tmp_path, machine)
    printed = json.loads(json.dumps(facts_of(found)))
    assert complaints("doctor", printed) == []
    assert printed["ready"] is found.is_ready


async def test_native_windows_is_told_of_wsl2_and_nothing_else_is_tried_there(tmp_path: Path) -> None:
    """Most of botbridge could not even be imported."""
    found = await doctor(tmp_path, WINDOWS)
    assert [row.component for row in found.rows if row.status is Status.UPGRADE] == ["Operating system"]
    assert row("Model", found).found == "not looked at"


async def test_a_database_of_this_version_of_an_older_one_of_a_newer_one_and_of_somebody_else(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, {"INFERENCE__ENGINE": "echo"})
    assert (await bridge.command("db", "upgrade"))[0] == 0
    assert row("Database", await doctor(tmp_path)).status is Status.OK
    for revision, status in (("0001", Status.OPTIONAL), ("9999", Status.UPGRADE)):
        with closing(sqlite3.connect(bridge.database)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
        assert row("Database", await doctor(tmp_path)).status is status
    with closing(sqlite3.connect(bridge.database)) as database, database:
        database.execute("DROP TABLE alembic_version")
    assert "not written by botbridge" in row("Database", await doctor(tmp_path)).upgrade


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "botbridge.db").write_bytes(os.urandom(8192))
    assert row("Database", await doctor(tmp_path)).status is Status.UPGRADE


async def test_a_port_that_somebody_has_is_told_before_the_start_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        hook = {
            "TELEGRAM__MODE": "webhook",
            "TELEGRAM__WEBHOOK_URL": "https://bot.example.org/hook-7Hw2pXq9",
            "TELEGRAM__WEBHOOK_SECRET": "0123456789abcdef",
            "WEB__PORT": str(other.getsockname()[1]),
        }
        assert row("Port", await doctor(tmp_path, **hook)).status is Status.UPGRADE
    assert row("Port", await doctor(tmp_path, **hook)).status is Status.OK


async def test_both_platforms_say_who_the_bot_is(tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord) -> None:
    found = await doctor(
        tmp_path,
        TELEGRAM__TOKEN=telegram.token,
        TELEGRAM__API_BASE_URL=telegram.url,
        DISCORD__TOKEN=discord.token,
        DISCORD__API_BASE_URL=discord.api_url,
        DISCORD__MESSAGE_CONTENT="true",
    )
    components = ["Telegram", "Telegram privacy mode", "Discord", "Discord intents", "Clock"]
    statuses = [row(component, found).status for component in components]
    assert statuses == [Status.OK, Status.OK, Status.OK, Status.UPGRADE, Status.OK]


async def test_wrong_tokens_are_wrong_and_written_nowhere(
    tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    secrets = ["987654321:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0", "a-secret-of-discord"]
    found = await doctor(
        tmp_path,
        TELEGRAM__TOKEN=secrets[0],
        TELEGRAM__API_BASE_URL=telegram.url,
        DISCORD__TOKEN=secrets[1],
        DISCORD__API_BASE_URL=discord.api_url,
    )
    assert [row(name, found).status for name in ("Telegram", "Discord")] == [Status.UPGRADE, Status.UPGRADE]
    assert not any(secret in json.dumps(facts_of(found)) for secret in secrets)


async def test_without_a_network_platforms_are_unknown_and_the_machine_is_still_ready(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with asyncio.timeout(60):
        found = await doctor(
            tmp_path,
            TELEGRAM__TOKEN="123456:token",
            TELEGRAM__API_BASE_URL=nowhere,
            DISCORD__TOKEN="token",
            DISCORD__API_BASE_URL=nowhere,
        )
    assert [row(name, found).status for name in ("Telegram", "Discord", "Clock")] == [Status.UNKNOWN] * 3
    assert found.is_ready


async def test_a_name_that_is_looked_up_for_ever_is_given_up_and_nobody_waits_for_it() -> None:
    """The name server here is a host that does not exist: RFC 2606 keeps `invalid` free."""
    assert await has_address("localhost", 5.0)
    assert not await has_address("nowhere.invalid", 5.0)
    assert not await has_address("localhost", 0.0)


async def test_a_reason_never_holds_the_token() -> None:
    async def leaks(token: str, url: str, _patience_s: float) -> Account:
        raise PlatformUnavailable(f"{url}/bot{token}/getMe does not answer")

    told = await ask(SecretStr("a-very-secret-token"), "http://127.0.0.1", leaks)
    assert told == Unanswered("http://127.0.0.1/bot***/getMe does not answer")


async def test_an_engine_elsewhere_needs_no_model_here(tmp_path: Path) -> None:
    found = await doctor(tmp_path, RELIC, INFERENCE__ENGINE="remote", INFERENCE__REMOTE_URL="http://gpu1:8000/v1")
    assert row("Model", found).found.endswith("at http://gpu1:8000/v1")
    assert row("Memory (RAM)", found).status is Status.OK


@pytest.mark.parametrize(
    ("model", "is_here", "said"),
    [
        (SERVED, True, f"has {SERVED}"),
        ("another", True, f"has no model 'another' (BOTBRIDGE_INFERENCE__MODEL); it has '{SERVED}'"),
        (SERVED, False, "cannot be reached"),
    ],
)
async def test_an_engine_elsewhere_is_asked_for_the_model(tmp_path: Path, model: str, is_here: bool, said: str) -> None:
    with OpenAIServer() as server:
        if not is_here:
            server.refuse()
        found = await doctor(
            tmp_path, INFERENCE__ENGINE="remote", INFERENCE__REMOTE_URL=server.url, INFERENCE__MODEL=model
        )
    assert said in row("Model server", found).found
    assert found.is_ready is (model == SERVED and is_here)
    assert server.questions == []


async def test_nothing_changes_on_the_disk(pulled: Path) -> None:
    before = sorted(str(path) for path in pulled.rglob("*"))
    await doctor(pulled, INFERENCE__MODEL=MODEL)
    assert sorted(str(path) for path in pulled.rglob("*")) == before
