"""The running service's way to a model: found on the disk, or pulled by a child process.

The service itself never imports torch, pip or the hub's library; while the
child works it stays as small and as responsive as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from typing import Final

from botbridge.errors import DownloadFailed, ModelDamaged, ModelError, ModelGated, ModelNotFound, ModelNotLicensed
from botbridge.models.files import ModelFiles
from botbridge.models.names import NamedModel
from botbridge.models.store import ModelStore

PULL_COMMAND: Final = (sys.executable, "-m", "botbridge", "models", "pull", "--json", "--die-with-parent")

_ERRORS: Final[Mapping[str, type[ModelError]]] = {
    error.__name__: error for error in (DownloadFailed, ModelDamaged, ModelGated, ModelNotFound, ModelNotLicensed)
}


async def ensure(
    named: NamedModel,
    store: ModelStore,
    *,
    pull_missing: bool,
    told: Callable[[str], None],
    command: tuple[str, ...] = PULL_COMMAND,
    environment: Mapping[str, str] | None = None,
) -> ModelFiles:
    """Return the model's files with the adapters beside it; may be called again after any failure.

    Args:
        pull_missing: Fetch the model when it is not here; otherwise the error
            names the command that does.
        told: Receives each line that the pull writes for people.
        command: What pulls; the model's name is added.
        environment: The child's environment; None hands down our own.

    Raises:
        ModelNotFound: It is not here and was not to be pulled, or no such model exists.
        ModelDamaged: A file differs from what was pulled, or from what was published.
        ModelGated: The hub wants a token and an accepted licence.
        ModelNotLicensed: Its licence was not accepted here, and the pull refuses it.
        DownloadFailed: It could not be fetched; trying again may help.

    Cancellation:
        Ends the child and all that it started. What it had fetched stays for the next pull.
    """
    try:
        return await asyncio.to_thread(store.find_with_adapters, named)
    except ModelNotFound:
        if not pull_missing:
            raise
    # A session of its own, so that the child can be ended together with the processes that it starts. Its input
    # is a pipe that stays open exactly as long as we live: it ends when we are killed, too.
    process = await asyncio.create_subprocess_exec(
        *(*command, named.name),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        answer = await _listen(process, told)
    finally:
        await _end(process)
    if process.returncode != 0:
        raise pull_error(answer, process.returncode)
    return await asyncio.to_thread(store.find_with_adapters, named)


def pull_error(answer: bytes, returncode: int | None) -> ModelError:
    """Return the error that a failed `models pull --json` reports on its last line.

    >>> pull_error(b'{"error": "ModelGated", "message": "accept the licence"}', 1)
    ModelGated('accept the licence')
    >>> pull_error(b"", -9)
    DownloadFailed('the pull ended with exit code -9 before it was done')
    """
    try:
        report = json.loads(answer.splitlines()[-1])
        return _ERRORS[report["error"]](str(report["message"]))
    except (IndexError, ValueError, KeyError, TypeError):
        return DownloadFailed(f"the pull ended with exit code {returncode} before it was done")


async def _listen(process: Process, told: Callable[[str], None]) -> bytes:
    """Pass on the lines for people until the child ends; return what it printed for us."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(process.stdout.read())
        async for line in process.stderr:
            told(line.decode(errors="replace").rstrip())
    await process.wait()
    return answer.result()


async def _end(process: Process) -> None:
    """Leave nothing of the child behind; it is gone already unless we are being cancelled."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
