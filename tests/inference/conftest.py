"""Tiny models, built once per run."""

from __future__ import annotations

import pytest
import torch

from botbridge.models.store import ModelFiles
from tests.fakes import tiny_models


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Models this small lose time in waiting for a second thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """An instruct model with random weights."""
    return tiny_models.tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A base model with random weights."""
    return tiny_models.tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def looping_gpt2(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A base model that says one sentence over and over."""
    return tiny_models.looping_gpt2(tmp_path_factory.mktemp("looping-gpt2"))
