"""The heavy steps of a pull, each in a process of its own that ends when the pull does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from botbridge.errors import ModelDamaged, ModelError

OWN_VARIABLES: Final = "BOTBRIDGE_"
QUIET_VARIABLES: Final = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TQDM_DISABLE": "1"}


def run_in_child(step: str, source: Path, target: Path, lock: int, *options: str) -> None:
    """Run a module of this package as a process: `python -m botbridge.models.STEP OPTIONS SOURCE TARGET`.

    Args:
        step: The module's name; it ends itself when its standard input does.
        source: The GGUF file that it reads.
        target: The file or directory that it writes.
        lock: Descriptor of the model's lock, which the child keeps as long as it lives.

    Raises:
        ModelDamaged: It failed; its last line is in the message.
    """
    command = [sys.executable, "-m", f"botbridge.models.{step}", *options, str(source), str(target)]
    # The pipe to its standard input stays open exactly as long as we live.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment_without_secrets() | QUIET_VARIABLES,
        pass_fds=(lock,),
    ) as process:
        try:
            assert process.stderr is not None
            complaint = process.stderr.read().decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise ModelDamaged(f"{source.name} cannot be converted: {last_line(complaint)}")


def die_with_parent() -> None:
    """End this process as soon as standard input ends: a killed parent must leave nothing behind.

    Who leads a process group takes along what it started. Call it only where
    standard input is a pipe that the parent holds open as long as it lives.
    """

    def watch() -> None:
        # Not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's own exit.
        while os.read(0, 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def run_as_child(step: Callable[[], None]) -> int:
    """Do the work of a process that `run_in_child` started; its exit code: 0, or 1 with one line on stderr."""
    die_with_parent()
    try:
        step()
    except (ModelError, ValueError, OSError, KeyError, ImportError) as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def environment_without_secrets() -> dict[str, str]:
    """Return this process's environment without our own settings: no child of a pull needs a token."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(OWN_VARIABLES)}


def last_line(text: str) -> str:
    """Return the line that says why: the last one of a child's complaint."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "it gave no reason"
