"""`botbridge run` from outside: a real process tree that is started, killed and looked into.

Nothing here knows how botbridge works inside: it has an environment, signals,
its standard error, its control socket and its database file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from botbridge.control import ControlClient

PREFIX = "BOTBRIDGE_"
SERVICE = ("-m", "botbridge", "run")
STOP_TIMEOUT_S = 30.0
"""More than the sum of what botbridge waits for when it stops."""

LOOK_S = 0.02


def clean_environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings of botbridge and no others, so that no real token gets in.

    Args:
        home: Becomes `HOME`, too, which marks every process that comes of it.
        settings: By name without the prefix.
    """
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    ours = {"HOME": str(home), "XDG_DATA_HOME": str(home), f"{PREFIX}HOME": str(home)}
    return kept | ours | {PREFIX + name: value for name, value in settings.items()}


class Bridge:
    """One botbridge with a home of its own; `async with Bridge(...)` starts it and leaves no process behind."""

    def __init__(self, home: Path, settings: Mapping[str, str], *, models: Path | None = None) -> None:
        """Prepare a home.

        Args:
            home: Made if need be; holds the database, the socket, `stdout.log` and `stderr.log`.
            settings: By name without the prefix.
            models: A directory of models to use instead of an empty one.
        """
        self.home = home
        self.settings = dict(settings)
        home.mkdir(parents=True, exist_ok=True)
        if models is not None and not (home / "models").exists():
            (home / "models").symlink_to(models, target_is_directory=True)
        self._process: asyncio.subprocess.Process | None = None
        self._lines: list[str] = []
        self._said = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None

    @property
    def database(self) -> Path:
        """The file that outlives every process."""
        return self.home / "botbridge.db"

    @property
    def log(self) -> str:
        """What the process that was started last wrote to its standard error."""
        return "\n".join(self._lines)

    @property
    def pid(self) -> int:
        """The process id of the service itself."""
        assert self._process is not None, "not started"
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what still runs."""
        await self.kill_tree()

    async def start(
        self, *, command_prefix: Sequence[str] = (), program: Sequence[str] = SERVICE, **changes: str
    ) -> None:
        """Start the service; returns at once.

        Args:
            command_prefix: A command that starts the command.
            program: What Python runs: another program that holds the service.
            changes: Settings that are other ones from now on.
        """
        self.settings |= changes
        self._lines = []
        with (self.home / "stdout.log").open("ab") as stdout:
            self._process = await asyncio.create_subprocess_exec(
                *(*command_prefix, sys.executable, *program),
                cwd=self.home,  # no `.env` lies there
                env=clean_environment(self.home, self._alone() | self.settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at the terminal is for whoever started us
            )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def exited(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the service has ended by itself; its exit code, negative for a signal."""
        assert self._process is not None
        assert self._listening is not None
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await asyncio.shield(self._listening)
        return code

    async def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to stop, as a service manager does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self.exited(timeout_s)

    async def kill_tree(self) -> None:
        """SIGKILL every process that came of it, the service first."""
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while living := self.processes():
                for process in living:
                    _kill(process)
                await asyncio.sleep(LOOK_S)
        if self._process is not None:
            await self.exited()

    def processes(self) -> list[psutil.Process]:
        """Every living process that came of it, oldest first, whoever its parent is now; those that ended not."""
        return [process for process in psutil.process_iter() if _home_of(process) == str(self.home)]

    def worker(self) -> psutil.Process:
        """The process that holds the model."""
        (worker,) = [
            child for child in psutil.Process(self.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        return worker

    async def logged(self, text: str, timeout_s: float = 30.0) -> str:
        """Wait until a line with this text was logged; that line.

        Raises:
            TimeoutError: None was, in time or before the process ended; the whole log is the message.
        """

        def found() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._said:
                await self._said.wait_for(lambda: found() is not None or self._has_ended())
        if (line := found()) is None:
            raise TimeoutError(f"{text!r} was not logged:\n{self.log}")
        return line

    async def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask on the control socket."""
        return await ControlClient(self.home / "control.sock").ask(verb, timeout_s=30, **arguments)

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Run another command of botbridge with the same settings; exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "botbridge", *words),
            cwd=self.home,
            env=clean_environment(self.home, self.settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(STOP_TIMEOUT_S):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Read the database, beside the service or after it."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    async def until(self, is_true: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until something can be read in the database, which tells nobody of changes: it is asked again.

        Raises:
            TimeoutError: It could not in time; the whole log is the message.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not is_true():
            if asyncio.get_running_loop().time() > deadline_s:
                raise TimeoutError(f"not within {timeout_s:g} s:\n{self.log}")
            await asyncio.sleep(LOOK_S)

    def _alone(self) -> dict[str, str]:
        """What a service is told that only the control socket is for."""
        has_token = any(self.settings.get(f"{platform}__TOKEN") for platform in ("TELEGRAM", "DISCORD"))
        return {} if has_token else {"RUN__WITHOUT_PLATFORMS": "true"}

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with (self.home / "stderr.log").open("ab", buffering=0) as file:
            async for line in process.stderr:
                file.write(line)
                async with self._said:
                    self._lines.append(line.decode(errors="replace").rstrip())
                    self._said.notify_all()
        async with self._said:
            self._said.notify_all()

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None


def _home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HOME") if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)
