"""`make demo` keeps its promises."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.journey.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def start_demo(model_home: Path) -> asyncio.subprocess.Process:
    """Start it as the Makefile does; the operator's own bot answers nobody, which must not make this one silent."""
    settings = {
        "BOTBRIDGE_HOME": str(model_home),
        "BOTBRIDGE_DISCORD__TOKEN": "a-real-token",
        "BOTBRIDGE_ACCESS__MODE": "listed",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.demo"),
        cwd=ROOT,
        env=os.environ | settings | {"PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


def offspring(demo: asyncio.subprocess.Process) -> list[psutil.Process]:
    """The processes that the demo has started, and theirs."""
    return psutil.Process(demo.pid).children(recursive=True)


async def read_until(demo: asyncio.subprocess.Process, text: str) -> None:
    """Read what the demo prints up to a text."""
    assert demo.stdout is not None
    async with asyncio.timeout(120):
        await demo.stdout.readuntil(text.encode())


async def test_the_demo_shows_answers_of_the_real_model_on_both_platforms(model_home: Path) -> None:
    demo = await start_demo(model_home)
    out, _ = await demo.communicate()
    assert demo.returncode == 0, out.decode()
    assert "telegram: 2 of 2 answers are stored as smollm2-135m-instruct" in out.decode()
    assert "discord: 2 of 2 answers are stored as smollm2-135m-instruct" in out.decode()
    assert "You may not reset that" in out.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_that_is_interrupted_leaves_no_process_behind(model_home: Path, number: signal.Signals) -> None:
    demo = await start_demo(model_home)
    await read_until(demo, "Sara asks")
    children = offspring(demo)
    assert len(children) >= 4  # two servers, the service, its worker
    demo.send_signal(number)
    out, _ = await demo.communicate()
    assert demo.returncode == 130
    assert "nothing is left running" in out.decode()
    _, left = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert left == []
