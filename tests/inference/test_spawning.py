"""The worker starts clean, wherever it is started from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.inference.spawning import MEMORY, worker_environment
from tests.fakes.asking import until_state

ROOT = Path(__file__).parents[2]

SCRIPT = """
import asyncio
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from tests.fakes.asking import ask, prompt_of

print("the script runs")

async def main():
    async with WorkerClient(None, EngineOptions(engine="echo")) as client:
        print((await ask(client, prompt_of("good day"))).text)

asyncio.run(main())
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    """The worker does not import the script that started it."""
    script = tmp_path / "hello.py"
    script.write_text(SCRIPT)
    assert _run(str(script)) == "the script runs\ngood day\n"


def test_a_command_line_program_can_start_the_worker() -> None:
    """As `python -c`, which has no file to import."""
    assert _run("-c", SCRIPT) == "the script runs\ngood day\n"


def test_a_program_read_from_standard_input_can_start_the_worker() -> None:
    """As in a REPL, whose main module has a file name that does not exist."""
    assert _run("-", stdin=SCRIPT) == "the script runs\ngood day\n"


def test_a_module_can_start_the_worker(tmp_path: Path) -> None:
    """As `python -m`, whose main module would be imported by name."""
    (tmp_path / "greeting.py").write_text(SCRIPT)
    assert _run("-m", "greeting", cwd=tmp_path) == "the script runs\ngood day\n"


async def test_the_worker_environment_holds_no_secret() -> None:
    """What the kernel shows of the worker is what it was started with."""
    secrets = {"BOTBRIDGE_TELEGRAM__TOKEN": "s3cret", "HF_TOKEN": "s3cret", "UNHEARD_OF_KEY": "s3cret"}
    os.environ.update(secrets)
    try:
        async with WorkerClient(None, EngineOptions(engine="echo", threads=1)) as client:
            await until_state(client, "ready")
            seen = Path(f"/proc/{client.worker_pid}/environ").read_bytes()
        assert b"s3cret" not in seen
        assert b"OMP_NUM_THREADS=1\0" in seen
        assert os.environ["HF_TOKEN"] == "s3cret"
    finally:
        for name in secrets:
            del os.environ[name]


async def test_the_worker_is_out_of_reach_of_the_terminal() -> None:
    """Ctrl-C goes to the parent's process group; the parent then stops the worker in order."""
    async with WorkerClient(None, EngineOptions(engine="echo")) as client:
        await until_state(client, "ready")
        assert client.worker_pid is not None
        assert os.getpgid(client.worker_pid) != os.getpgid(0)


async def test_a_termination_signal_does_not_end_the_worker() -> None:
    """Service managers signal every process of a service; only the parent may decide."""
    async with WorkerClient(None, EngineOptions(engine="echo")) as client:
        await until_state(client, "ready")
        status = Path(f"/proc/{client.worker_pid}/status").read_text()
    ignored = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")), 16)
    assert ignored >> (15 - 1) & 1
    assert ignored >> (2 - 1) & 1


def test_a_worker_environment_is_made_of_known_names_only() -> None:
    """Unknown names do not pass, so a new secret needs no new rule."""
    kept = worker_environment({"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "BOTBRIDGE_HOME": "/x"}, 2)
    assert kept["PATH"] == "/bin"
    assert kept["LC_ALL"] == "C"
    assert kept["HF_HUB_OFFLINE"] == "1"
    assert not {"AWS_SECRET_ACCESS_KEY", "BOTBRIDGE_HOME"} & kept.keys()


@pytest.mark.parametrize("name", MEMORY)
def test_how_memory_is_given_back_is_the_operators_decision_in_the_end(name: str) -> None:
    """What the operator sets for the C library is not overwritten."""
    assert worker_environment({name: "1"}, 2)[name] == "1"
    assert name in worker_environment({}, 2)


STEPS = """
import resource
import numpy as np

def step():
    logits = np.ones((8, 49152), np.float32)
    logits.copy()

for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(1000):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such thresholds")
def test_the_memory_of_a_step_is_there_for_the_next() -> None:
    """Else each step takes it from the system anew, 4 KiB at a time: 800 faults of a page for these 3 MB."""
    environment = worker_environment({name: value for name, value in os.environ.items() if name not in MEMORY}, 1)
    done = subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


def _run(*arguments: str, stdin: str = "", cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
