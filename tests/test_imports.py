"""What is loaded by importing: the parent stays small, the conversation knows nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [
    ("botbridge", ["asyncio", "pydantic", "torch", "transformers"]),
    ("botbridge.app", ["numpy", "torch", "transformers", "openai", "fastapi", "uvicorn"]),
    ("botbridge.cli", ["pydantic", "torch", "transformers", "telegram", "discord", "sqlalchemy"]),
    # `plan`, `bench` and `models match` ask these, and have no use for a platform or a database.
    ("botbridge.model_at_hand", ["torch", "transformers", "telegram", "discord", "sqlalchemy"]),
    ("botbridge.conversation.service", ["torch", "transformers", "telegram", "discord", "sqlalchemy"]),
    # A10: whoever kills the service while the worker imports these must find it watching its parent already.
    ("botbridge.inference.worker", ["numpy", "torch", "transformers", "openvino", "llama_cpp"]),
    # Its importers llamacpp_loading and openvino_loading compute without torch.
    ("botbridge.inference.engines.hf_tokenizer", ["torch"]),
    ("botbridge.inference.client", ["torch", "transformers", "telegram", "discord", "sqlalchemy"]),
]


@pytest.mark.parametrize(("module", "unwanted"), CASES, ids=[module for module, _ in CASES])
def test_importing_a_part_does_not_load(module: str, unwanted: list[str]) -> None:
    script = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
