"""A spawned process that starts clean: none of the caller's script, none of the caller's environment.

`multiprocessing` offers neither. Its spawn start method imports the caller's
main module again, which runs a script without a main guard a second time and
fails in a REPL or a notebook; and it hands the whole environment down, secrets
included, where `/proc/PID/environ` shows them for as long as the process lives.

The class below differs from the library's in two places of `_launch`: the
preparation data name no main module (as in loky's `init_main_module=False`),
and the interpreter is started by `posix_spawn` with an environment of its own.
Nothing global is changed meanwhile, so no other thread can see or lose anything.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from multiprocessing import popen_spawn_posix, process, reduction, resource_tracker, spawn, util
from multiprocessing.context import set_spawning_popen
from typing import Any

KEPT_NAMES = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE"}
    | {"TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "XDG_CACHE_HOME"}
)
KEPT_PREFIXES = (
    "CUDA_",
    "GOMP_",
    "KMP_",
    "LC_",
    "MALLOC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "PYTHON",
    "TORCH_",
    "TORCHINDUCTOR_",
)

OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20)}
"""How the C library takes memory from the system, and gives it back.

Blocks from 4 MiB on, as those of long sequences, go back when they are freed. Left alone, the GNU C library keeps them
from the second time on, up to 32 MiB each, and between blocks that grow by being copied much lies empty: after sixteen
sequences of 2,048 tokens the transformers engine was 100 to 200 MB larger.

What is free at the end of all smaller blocks is kept, up to 32 MiB. Whoever sets the first threshold ends the library's
own adjusting of this one, which then stays at 128 KiB: the logits of each step were given back and taken anew, page by
page. Kept, one person is answered 1.15 times as fast (llama.cpp, 1B shape), eight 1.1 times (OpenVINO, embedded model).
Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD. Other C libraries do not look at it.
"""


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return what a worker may see of an environment: a list of known names, hence no secret.

    The number of threads stands there because OpenMP reads it when torch is loaded.

    >>> sorted(worker_environment({"PATH": "/bin", "HF_TOKEN": "s3cret"}, 2).keys() - OFFLINE.keys() - MEMORY.keys())
    ['MKL_NUM_THREADS', 'OMP_NUM_THREADS', 'PATH']
    """
    kept = {name: value for name, value in environment.items() if name in KEPT_NAMES or name.startswith(KEPT_PREFIXES)}
    return MEMORY | kept | OFFLINE | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


class CleanProcess(process.BaseProcess):
    """A `multiprocessing` process of the spawn kind, with an environment of its own and without a main module."""

    _start_method = "spawn"

    def __init__(
        self, *, target: Callable[..., None], args: tuple[object, ...], name: str, environment: Mapping[str, str]
    ) -> None:
        super().__init__(target=target, args=args, name=name, daemon=True)
        self.environment = dict(environment)

    @staticmethod
    def _Popen(process_obj: CleanProcess) -> _CleanPopen:  # noqa: N802 - the library's name
        return _CleanPopen(process_obj)


class _CleanPopen(popen_spawn_posix.Popen):
    """`popen_spawn_posix.Popen` with another `_launch`; the comments there explain the rest."""

    _fds: list[int]

    def _launch(self, process_obj: CleanProcess) -> None:
        tracker_fd = resource_tracker.getfd()
        assert tracker_fd is not None  # the tracker runs since the queues were made
        self._fds.append(tracker_fd)
        preparation: dict[str, Any] = spawn.get_preparation_data(process_obj.name)
        for main in ("init_main_from_name", "init_main_from_path"):
            preparation.pop(main, None)
        preparation["sys_argv"] = [process_obj.name]
        payload = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(preparation, payload)
            reduction.dump(process_obj, payload)
        finally:
            set_spawning_popen(None)
        parent_r, child_w = os.pipe()  # becomes readable here when the child ends
        child_r, parent_w = os.pipe()  # becomes readable there when we end
        self.finalizer = util.Finalize(self, util.close_fds, (parent_r, parent_w))  # type: ignore[attr-defined]
        self.sentinel = parent_r
        try:
            command = spawn.get_command_line(tracker_fd=tracker_fd, pipe_handle=child_r)
            self.pid = os.posix_spawn(
                command[0],
                command,
                process_obj.environment,
                # Duplicating a descriptor onto itself makes it survive exec, in the child only.
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (*self._fds, child_r, child_w)],
                setpgroup=0,  # the terminal's Ctrl-C is for the parent, which stops the worker in order
            )
        finally:
            os.close(child_r)
            os.close(child_w)
        with open(parent_w, "wb", closefd=False) as pipe:
            pipe.write(payload.getbuffer())
