"""`botbridge config`, and what every command does with version, mistakes and bugs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from botbridge import __version__

CANARY = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"


def botbridge(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory of its own."""
    return subprocess.run(
        [sys.executable, "-m", "botbridge", *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_version_goes_to_stdout(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"botbridge {__version__}\n", "")


def test_version_and_help_load_no_settings_and_no_model_library(tmp_path: Path) -> None:
    script = (
        "import sys; from botbridge.cli import build_app; build_app();"
        "unwanted = {'pydantic', 'torch', 'transformers', 'telegram', 'discord', 'sqlalchemy'};"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_show_prints_each_setting_with_its_source_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BOTBRIDGE_LIMITS__QUEUE=7\nBOTBRIDGE_HUB__TOKEN=hf_canary\n")
    done = botbridge(tmp_path, "config", "show", BOTBRIDGE_TELEGRAM__TOKEN=CANARY)
    assert done.returncode == 0
    assert "BOTBRIDGE_LIMITS__QUEUE=7  (.env)\n" in done.stdout
    assert "BOTBRIDGE_TELEGRAM__TOKEN=**********  (environment)\n" in done.stdout
    assert "BOTBRIDGE_LIMITS__WAIT_S=900  (default)\n" in done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_show_as_json_tells_unset_from_hidden(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "show", "--json", BOTBRIDGE_TELEGRAM__TOKEN=CANARY)
    shown = {setting["name"]: setting for setting in json.loads(done.stdout)}
    assert shown["BOTBRIDGE_TELEGRAM__TOKEN"]["value"] == "**********"
    assert shown["BOTBRIDGE_DISCORD__TOKEN"] == {
        "name": "BOTBRIDGE_DISCORD__TOKEN",
        "value": None,
        "source": "default",
    }


def test_a_password_in_an_address_is_hidden(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "show", BOTBRIDGE_TELEGRAM__API_BASE_URL="http://ann:canary@h:8081")
    assert "BOTBRIDGE_TELEGRAM__API_BASE_URL=http://***@h:8081  (environment)\n" in done.stdout


def test_a_value_cannot_add_a_line(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "show", BOTBRIDGE_INFERENCE__SYSTEM="Be kind.\nBOTBRIDGE_X=1")
    assert r"BOTBRIDGE_INFERENCE__SYSTEM=Be kind.\nBOTBRIDGE_X=1  (environment)" in done.stdout


def test_check_says_which_platforms_are_on_and_how_to_turn_the_others_on(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "check", BOTBRIDGE_TELEGRAM__TOKEN=CANARY)
    assert done.returncode == 0
    assert "telegram: on\n" in done.stdout
    assert "discord: off, BOTBRIDGE_DISCORD__TOKEN is not set\n" in done.stdout


def test_check_as_json_is_one_object(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "check", "--json")
    assert json.loads(done.stdout) == {"ok": True, "platforms": {"telegram": False, "discord": False}}


def test_mistakes_in_settings_are_one_line_each_on_stderr_and_exit_2(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "config", "check", BOTBRIDGE_LIMITS__QUEUE="0", BOTBRIDGE_INFERENCE__SLOTS="x")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "botbridge: BOTBRIDGE_LIMITS__QUEUE '0' (environment): should be greater than or equal to 1",
        (
            "botbridge: BOTBRIDGE_INFERENCE__SLOTS 'x' (environment): "
            "should be a valid integer, unable to parse string as an integer"
        ),
    ]


def test_an_unknown_command_is_wrong_use(tmp_path: Path) -> None:
    done = botbridge(tmp_path, "dance")
    assert done.returncode == 2
    assert "dance" in done.stderr


def ended_by(error: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Let a command end in an error."""
    script = f"""
import sys, typer
from botbridge import cli, errors
def fail():
    raise {error}
app = typer.Typer()
app.command()(fail)
sys.argv = ["botbridge"]
cli.invoke(app)
"""
    return subprocess.run([sys.executable, "-c", script], cwd=directory, capture_output=True, text=True, check=False)


def test_a_foreseen_failure_is_one_line_and_exit_1(tmp_path: Path) -> None:
    done = ended_by("errors.StorageUnavailable('the disk\\x1b is full')", tmp_path)
    assert (done.returncode, done.stderr) == (1, "botbridge: the disk\\x1b is full\n")


def test_an_interrupt_is_exit_130_without_a_traceback(tmp_path: Path) -> None:
    done = ended_by("KeyboardInterrupt", tmp_path)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_bug_is_told_with_a_traceback_that_holds_no_token(tmp_path: Path) -> None:
    done = ended_by(f"ZeroDivisionError('{CANARY}')", tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError: ***" in done.stderr
