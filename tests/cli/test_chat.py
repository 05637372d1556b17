"""`botbridge chat`: alone, joined to the running service, on a terminal and in a pipe."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pexpect
import pytest

from botbridge.control import ControlClient
from botbridge.models.store import ModelStore
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.storage.lock import DatabaseLock
from tests.journey.bridge import Bridge, clean_environment

ALONE = {"INFERENCE__ENGINE": "echo"}


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="bb") as directory:
        yield Path(directory)


@pytest.fixture
async def bridge(home: Path) -> AsyncIterator[Bridge]:
    """A service that is not started yet."""
    bridge = Bridge(home, ALONE)
    yield bridge
    await bridge.kill_tree()


async def served(bridge: Bridge) -> None:
    """Return once the service answers and its model is ready; a process tells nobody else that it is."""
    client = ControlClient(bridge.home / "control.sock")
    async with asyncio.timeout(30):
        while not await client.is_served() or (await client.ask("health"))["state"] != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def terminal(home: Path, *words: str) -> pexpect.spawn:
    """A command on a terminal of its own."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "botbridge", *words],
        cwd=str(home),
        env=clean_environment(home, ALONE) | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 80),
    )


async def test_once_prints_the_answer_alone_on_stdout(bridge: Bridge) -> None:
    assert await bridge.command("chat", "--once", "hello there") == (0, "hello there\n", "")
    assert bridge.processes() == []


async def test_once_without_a_model_is_one_sentence_and_exit_code_1(bridge: Bridge) -> None:
    code, out, err = await bridge.command("chat", "--once", "hello", "--model", "/nowhere", "--engine", "transformers")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "/nowhere" in err


async def test_once_with_a_message_that_is_refused_is_one_sentence_and_exit_code_1(bridge: Bridge) -> None:
    bridge.settings["LIMITS__MESSAGE_CHARS"] = "10"
    code, out, err = await bridge.command("chat", "--once", "x" * 11)
    assert (code, out) == (1, "")
    assert "11 characters" in err
    assert err.count("\n") == 1


async def test_a_wrong_seed_is_wrong_use(bridge: Bridge) -> None:
    code, out, _ = await bridge.command("chat", "--once", "hello", "--seed", "-1")
    assert (code, out) == (2, "")


async def test_chat_joins_the_running_service_and_its_memory(bridge: Bridge) -> None:
    await bridge.start()
    await served(bridge)
    assert (await bridge.command("chat", "--once", "hello there", "--seed", "7"))[:2] == (0, "hello there\n")
    (answer,) = bridge.rows("SELECT text, sampling FROM turn WHERE role = 'assistant'")
    assert answer["text"] == "hello there"
    assert json.loads(answer["sampling"])["seed"] == 7


@pytest.mark.slow
async def test_chat_with_another_model_leaves_the_running_service_alone(bridge: Bridge) -> None:
    await bridge.start(INFERENCE__MODEL="something-else")
    await served(bridge)
    code, out, _ = await bridge.command("chat", "--once", "hello", "--model", "another", "--engine", "echo")
    assert (code, out) == (0, "hello\n")
    assert bridge.rows("SELECT id FROM inbox") == []


async def test_lines_of_a_pipe_are_answered_one_after_the_other(home: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "botbridge", "chat"),
        cwd=home,
        env=clean_environment(home, ALONE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(b"hello\nwho are you?\nexit\nmore\n"), timeout=30)
    assert (out, process.returncode) == (b"hello\nwho are you?\n", 0)


async def told_to_stop(home: Path, *words: str, first: str, tell: bytes = b"") -> tuple[int, str]:
    """The exit code of a chat that gets SIGTERM once it has printed a line, and what it said after that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "botbridge", "chat", *words),
        cwd=home,
        env=clean_environment(home, {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        process.stdin.write(tell)
        assert (await process.stdout.readline()).decode() == first
        process.terminate()
        rest = await process.stdout.read()
        return await process.wait(), rest.decode()


async def test_sigterm_ends_a_chat_in_order(bridge: Bridge) -> None:
    """Its worker was asked to leave, so nobody has to clean up after it or to complain."""
    assert await told_to_stop(bridge.home, "--engine", "echo", first="hello\n", tell=b"hello\n") == (143, "")
    assert bridge.processes() == []


async def test_sigterm_ends_a_question_whose_model_is_not_here_yet(bridge: Bridge) -> None:
    """And the pull, which would wait for ever for another one."""
    waiting = f"waiting: another pull of {DEFAULT_MODEL} is running\n"
    with ModelStore(bridge.home).locked(DEFAULT_MODEL, waiting=pytest.fail):
        assert await told_to_stop(bridge.home, "--once", "hello", first=waiting) == (143, "")
        assert bridge.processes() == []


@pytest.mark.parametrize("text", ["", " \n"])
async def test_once_with_nothing_to_ask_is_wrong_use(bridge: Bridge, text: str) -> None:
    code, out, err = await bridge.command("chat", "--once", text)
    assert (code, out) == (2, "")
    assert "--once needs a text" in err


async def test_a_model_without_a_name_is_wrong_use(bridge: Bridge) -> None:
    code, out, err = await bridge.command("chat", "--once", "hello", "--model", "")
    assert (code, out) == (2, "")
    assert err.startswith("botbridge: BOTBRIDGE_INFERENCE__MODEL '' (command line): ")


@pytest.mark.parametrize("goodbye", ["\x04", "exit\r"], ids=["ctrl-d", "exit"])
def test_on_a_terminal_one_talks_until_one_leaves(home: Path, goodbye: str) -> None:
    chat = terminal(home, "chat")
    chat.expect("You:")
    chat.send("what is up\r")
    chat.expect("what is up.*what is up")
    chat.expect("You:")
    chat.send(goodbye)
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0


def test_run_without_a_token_talks_on_its_terminal_and_ends_with_it(home: Path) -> None:
    run = terminal(home, "run")
    run.expect("Telegram: off.*BOTBRIDGE_TELEGRAM__TOKEN")
    run.expect("You:")
    run.send("what is up\r")
    run.expect("what is up.*what is up")
    run.expect("You:")
    run.send("\x04")
    run.expect(pexpect.EOF)
    run.close()
    assert run.exitstatus == 0
    assert not (home / "control.sock").exists()


async def test_run_with_neither_a_token_nor_a_terminal_says_what_to_set_and_ends(bridge: Bridge) -> None:
    code, out, err = await bridge.command("run")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("botbridge: nobody could talk to this bot: set BOTBRIDGE_TELEGRAM__TOKEN or")
    assert "Traceback" not in err
    assert not bridge.database.exists()


async def test_run_without_a_token_serves_chat_alone_where_it_is_told_to(bridge: Bridge) -> None:
    await bridge.start(RUN__WITHOUT_PLATFORMS="true")
    await served(bridge)
    assert (await bridge.command("chat", "--once", "hello there"))[:2] == (0, "hello there\n")


async def test_health_follows_the_service(bridge: Bridge) -> None:
    code, out, err = await bridge.command("health")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"botbridge: no service answers at \S+control\.sock\n", err)
    await bridge.start()
    await served(bridge)
    code, out, _ = await bridge.command("health", "--json")
    assert code == 0
    assert json.loads(out)["ok"] is True


@pytest.mark.slow
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_the_operator_can_reset_export_back_up_and_forget(bridge: Bridge, running: bool) -> None:
    """By the service while it runs, under the database's lock while it does not."""
    await bridge.start()
    await served(bridge)
    await bridge.command("chat", "--once", "my secret")
    (me,) = bridge.rows("SELECT platform, user_id FROM identity")
    person = f"{me['platform']}:{me['user_id']}"
    if not running:
        await bridge.terminate()

    code, out, _ = await bridge.command("people", "export", person)
    assert code == 0
    assert "my secret" in json.dumps(json.loads(out))
    assert (await bridge.command("people", "export", person, "--json"))[0] == 0
    copy = bridge.home / "copy.db"
    copied = f"The database {bridge.database} was copied to {copy}.\n"
    assert (await bridge.command("db", "backup", str(copy)))[:2] == (0, copied)
    code, _, err = await bridge.command("db", "backup", str(copy))
    assert code == 1
    assert err.count("\n") == 1
    assert (await bridge.command("admin", "reset", "--person", person))[:2] == (0, "1 conversations were reset.\n")
    assert (await bridge.command("admin", "queue"))[:2] == (0, "Nobody waits.\n")
    code, out, _ = await bridge.command("people", "forget", person)
    assert (code, out.startswith(f"{person} is forgotten")) == (0, True)
    assert bridge.rows("SELECT id FROM turn") == []
    acts = [row["action"] for row in bridge.rows("SELECT action FROM audit ORDER BY id")]
    assert acts == ["export", "export", "reset", "forget"]
    assert b"my secret" in copy.read_bytes()


@pytest.mark.slow
async def test_a_reset_of_everybody_is_confirmed(bridge: Bridge) -> None:
    code, out, err = await bridge.command("admin", "reset", "--everybody")
    assert (code, out) == (2, "")
    assert "--yes" in err
    await bridge.command("db", "upgrade")
    assert (await bridge.command("admin", "reset", "--everybody", "--yes"))[:2] == (0, "0 conversations were reset.\n")


@pytest.mark.parametrize("words", [["db", "restore", "copy.db"], ["db", "upgrade"]], ids=" ".join)
async def test_a_database_that_the_bot_holds_is_left_to_it(bridge: Bridge, words: list[str]) -> None:
    with DatabaseLock(bridge.database):
        code, out, err = await bridge.command(*words)
    assert (code, out) == (1, "")
    assert err.startswith(f"botbridge: database {bridge.database} is in use by process ")
    assert err.endswith("; stop the bot first\n")


@pytest.mark.parametrize(
    "words",
    [
        ["db", "backup", "copy.db"],
        ["people", "forget", "telegram:42"],
        ["people", "export", "telegram:42"],
        ["admin", "reset", "--everybody", "--yes"],
        ["admin", "queue"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
async def test_a_home_without_a_database_is_refused_and_left_as_it_is(bridge: Bridge, words: list[str]) -> None:
    """It is not the bot's; a blank database would answer that nothing is kept of anybody."""
    code, out, err = await bridge.command(*words)
    assert (code, out) == (1, "")
    assert err == f"botbridge: database {bridge.database}: there is no such file; set BOTBRIDGE_HOME as for the bot\n"
    assert not bridge.database.exists()


@pytest.mark.parametrize(
    "words", [["admin", "reset"], ["admin", "reset", "--person", "telegram:1", "--everybody"], ["people", "export"]]
)
async def test_a_command_that_names_nobody_or_too_many_is_wrong_use(bridge: Bridge, words: list[str]) -> None:
    assert (await bridge.command(*words))[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["people", "export", "42"],
        ["people", "forget", "sara"],
        ["admin", "reset", "--person", "42"],
        ["admin", "reset", "--chat", "42"],
    ],
)
async def test_somebody_without_a_platform_is_wrong_use(bridge: Bridge, words: list[str]) -> None:
    code, out, err = await bridge.command(*words)
    assert (code, out) == (2, "")
    assert f"'{words[-1]}' is not of the form telegram:" in err


@pytest.mark.parametrize(("mode", "is_told"), [("open", True), ("listed", False)])
async def test_a_start_says_that_strangers_may_come_in(bridge: Bridge, mode: str, is_told: bool) -> None:
    await bridge.start(TELEGRAM__TOKEN="1:token", TELEGRAM__API_BASE_URL="http://127.0.0.1:9", ACCESS__MODE=mode)
    await bridge.logged("Model: ")
    assert ("whoever finds the bot may use what computes for it" in bridge.log) is is_told


async def test_a_name_that_is_no_model_is_a_wrong_setting(bridge: Bridge) -> None:
    bridge.settings = {"INFERENCE__MODEL": "typo", "RUN__WITHOUT_PLATFORMS": "true"}
    code, out, err = await bridge.command("run")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("botbridge: BOTBRIDGE_INFERENCE__MODEL: no model is called 'typo'")


@pytest.mark.slow
async def test_a_service_that_holds_the_lock_and_is_silent_is_one_sentence(bridge: Bridge) -> None:
    await bridge.start()
    await served(bridge)
    (bridge.home / "control.sock").unlink()
    code, _, err = await bridge.command("people", "export", "telegram:42")
    assert code == 1
    assert f"in use by process {bridge.pid}" in err
    assert "does not answer at" in err
    assert err.count("\n") == 1


@pytest.mark.slow
async def test_a_service_that_hangs_is_one_sentence(bridge: Bridge) -> None:
    """Stopped by a signal it still accepts connections, but says nothing."""
    import psutil

    await bridge.start()
    await served(bridge)
    service = psutil.Process(bridge.pid)
    service.suspend()
    try:
        code, _, err = await bridge.command("health")
    finally:
        service.resume()
    assert code == 1
    assert "does not answer" in err


@pytest.mark.slow
async def test_the_database_can_be_upgraded_and_checked(bridge: Bridge) -> None:
    code, _, err = await bridge.command("db", "check")
    assert code == 1
    assert "no such file" in err
    assert (await bridge.command("db", "upgrade"))[0] == 0
    code, out, _ = await bridge.command("db", "check", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    (bridge.home / "botbridge.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert (await bridge.command("db", "check"))[0] == 1


async def test_a_home_that_cannot_be_made_is_one_sentence(bridge: Bridge) -> None:
    bridge.settings["HOME"] = "/dev/null/x"
    code, out, err = await bridge.command("db", "upgrade")
    assert (code, out, err) == (1, "", "botbridge: /dev/null/x cannot be created: Not a directory\n")


@pytest.mark.slow
async def test_the_default_model_knows_the_capital_of_france(bridge: Bridge, model_home: Path) -> None:
    """What the README promises."""
    (bridge.home / "models").symlink_to(model_home / "models", target_is_directory=True)
    del bridge.settings["INFERENCE__ENGINE"]
    code, out, _ = await bridge.command("chat", "--once", "What is the capital of France?", "--seed", "1")
    assert code == 0
    assert "Paris" in out
    assert "What is the capital" not in out
