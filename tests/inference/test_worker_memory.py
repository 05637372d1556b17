"""What a real worker has in its memory: no torch where the engine does not compute with it, nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from botbridge.answers import Sampling
from botbridge.inference.choice import ADDED_BY, NEEDED_MODULES
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.inference.spawning import worker_environment
from botbridge.models.files import ModelFiles
from tests.fakes.asking import ask, prompt_of, until_state
from tests.fakes.tiny_gguf import write_gguf_of

BLOCKS = """
import numpy, psutil

def resident():
    return psutil.Process().memory_info().rss

numpy.ones(30 * 2**17).sum()
before = resident()
large, small = [], []
for _ in range(8):
    large.append(numpy.ones(20 * 2**17))
    small.append(numpy.ones(2**16))
between = resident()
large.clear()
print(between - before, resident() - before)
"""
"""Blocks of 20 MiB between blocks of half a MiB that stay, after one of 30 MiB was freed."""


@pytest.fixture
def files(tiny_llama: ModelFiles, tmp_path: Path) -> ModelFiles:
    """A tiny model in both forms, in files that a test may change."""
    shutil.copytree(tiny_llama.directory, tmp_path, dirs_exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    write_gguf_of(model, AutoTokenizer.from_pretrained(tmp_path), tmp_path / "tiny.gguf")
    return replace(tiny_llama, directory=tmp_path)


def client_of(engine: str, files: ModelFiles) -> WorkerClient:
    """A worker with this engine, or `auto`."""
    if engine in ADDED_BY and find_spec(NEEDED_MODULES[engine]) is None:
        pytest.skip(f"the engine {engine} is not installed; `{ADDED_BY[engine]}` adds it")

    async def prepare() -> ModelFiles:
        return files

    return WorkerClient(prepare, EngineOptions(engine=engine, threads=1))


async def answer(client: WorkerClient) -> int:
    """Let a worker answer; how many tokens the answer has."""
    asked = await ask(client, prompt_of("hi", sampling=Sampling(seed=1, max_new_tokens=5)))
    return len(asked.completion.provenance.completion_ids)


def mapped(client: WorkerClient) -> list[Path]:
    """The files that a worker has in its memory."""
    return [Path(entry.path) for entry in psutil.Process(client.worker_pid).memory_maps()]


def has_torch(client: WorkerClient) -> bool:
    """Whether a worker imported torch, which brings libraries of its own."""
    return any("torch" in path.parts for path in mapped(client))


@pytest.mark.parametrize(("engine", "wanted"), [("llamacpp", False), ("openvino", False), ("transformers", True)])
@pytest.mark.slow
async def test_torch_is_loaded_only_for_the_engine_that_computes_with_it(
    files: ModelFiles, engine: str, wanted: bool
) -> None:
    """Not for the tokenizer either: it takes as long to import as all the rest, and more memory."""
    async with client_of(engine, files) as client:
        await until_state(client, "ready")
        assert await answer(client)
        assert has_torch(client) is wanted


@pytest.mark.slow
async def test_auto_still_falls_back_to_the_engine_with_torch(files: ModelFiles) -> None:
    """In the same process, after the others could not load the model."""
    assert files.gguf is not None
    os.truncate(files.gguf, 1000)
    async with client_of("auto", files) as client:
        await until_state(client, "ready")
        assert client.status().engine == "transformers"
        assert await answer(client)


async def test_the_weights_of_llamacpp_are_in_memory_once(files: ModelFiles) -> None:
    """The file is not kept beside them, and may be cut short while the worker runs."""
    assert files.gguf is not None
    async with client_of("llamacpp", files) as client:
        await until_state(client, "ready")
        assert files.gguf not in mapped(client)
        os.truncate(files.gguf, 0)
        assert await answer(client)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="other C libraries decide by themselves")
def test_memory_of_long_sequences_goes_back_to_the_system() -> None:
    """When it is freed, and not only once the system is short of it."""
    told = subprocess.run(
        [sys.executable, "-c", BLOCKS],
        env=worker_environment(os.environ, 1),
        capture_output=True,
        text=True,
        check=True,
    )
    taken_bytes, left_bytes = map(int, told.stdout.split())
    assert taken_bytes > 160 * 2**20
    assert left_bytes < 20 * 2**20
