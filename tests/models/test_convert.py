"""The converter, run as the pull runs it: as a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.fakes.model_sources import WheelIndex
from tests.fakes.tiny_gguf import CHAT_TEMPLATE, CONTROL_TOKENS

CONVERTER = (sys.executable, "-m", "botbridge.models.convert")


@pytest.fixture(scope="module")
def converted(wheel_index: WheelIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny GGUF as the transformers engine gets it."""
    directory = tmp_path_factory.mktemp("converted")
    command = [*CONVERTER, str(wheel_index.gguf), str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as converter:
        assert converter.stderr is not None
        complaint = converter.stderr.read()
    assert converter.returncode == 0, complaint
    return directory


def test_digits_are_tokens_of_their_own(converted: Path) -> None:
    """SmolLM's merges were learned so; transformers' own reading of the GGUF would give one token for "20"."""
    tokenizer = Tokenizer.from_file(str(converted / "tokenizer.json"))
    assert tokenizer.encode("20").tokens == ["2", "0"]


def test_every_control_token_of_the_file_is_special(converted: Path) -> None:
    added = json.loads((converted / "tokenizer.json").read_text())["added_tokens"]
    assert {token["content"] for token in added if token["special"]} >= set(CONTROL_TOKENS)


def test_end_of_turn_template_and_length_are_kept(converted: Path) -> None:
    settings = json.loads((converted / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "<|im_end|>"
    assert settings["model_max_length"] == 64
    assert (converted / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert json.loads((converted / "generation_config.json").read_text())["eos_token_id"] == 2


def test_weights_are_stored_as_bfloat16(converted: Path) -> None:
    content = (converted / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == {"BF16"}
    assert json.loads((converted / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_file_that_is_no_gguf_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUX" * 100)
    command = [*CONVERTER, str(tmp_path / "bad.gguf"), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as converter:
        assert converter.stderr is not None
        complaint = converter.stderr.read()
    assert converter.returncode == 1
    assert len(complaint.splitlines()) == 1
    assert "Traceback" not in complaint


def test_the_converter_ends_with_the_process_that_started_it(wheel_index: WheelIndex, tmp_path: Path) -> None:
    """Its standard input has ended already: it gives up at once instead of writing into somebody else's files."""
    command = [*CONVERTER, str(wheel_index.gguf), str(tmp_path)]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert finished.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_told() -> None:
    finished = subprocess.run([*CONVERTER], capture_output=True, check=False, text=True, timeout=60)
    assert finished.returncode == 2
    assert "usage" in finished.stderr
