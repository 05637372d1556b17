"""What a GGUF's header tells, and what is refused before an engine sees it."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from pathlib import Path

import gguf
import pytest

from botbridge.errors import ModelDamaged
from botbridge.models.gguf_header import TENSOR_TYPES, read_gguf_header
from tests.fakes.changed_gguf import with_tensor_type
from tests.fakes.model_sources import WheelIndex


@pytest.fixture
def tiny(wheel_index: WheelIndex) -> Path:
    return wheel_index.gguf


def test_facts_and_types_are_read_and_lists_are_stepped_over(tiny: Path) -> None:
    header = read_gguf_header(tiny)
    assert header.facts["general.architecture"] == "llama"
    assert header.facts["llama.context_length"] == 64
    assert header.facts["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert "tokenizer.ggml.tokens" not in header.facts
    assert [tensor.kind for tensor in header.tensors.values()] == ["F32"] * 11


def test_every_type_that_the_gguf_library_knows_is_known_with_its_size() -> None:
    """Q8_1 and Q8_K are forms of activations, which no file holds."""
    theirs = {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert dict(TENSOR_TYPES) == {number: facts for number, facts in theirs.items() if facts[0] not in {"Q8_1", "Q8_K"}}


@pytest.mark.parametrize(("number", "name"), [(31, "Q4_0_4_4"), (4, "Q4_2"), (99, "ggml type 99")])
def test_weights_of_a_type_that_no_engine_reads_are_refused_by_its_name(
    tiny: Path, tmp_path: Path, number: int, name: str
) -> None:
    changed = with_tensor_type(tiny, tmp_path / "changed.gguf", number)
    with pytest.raises(ModelDamaged, match=rf"changed\.gguf holds weights of the type {name}, which no engine reads"):
        read_gguf_header(changed)


def test_a_file_that_lacks_its_last_byte_is_cut_short(tiny: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[:-1])
    with pytest.raises(ModelDamaged, match=rf"cut short: it holds {len(content) - 1} bytes, not {len(content)}"):
        read_gguf_header(tmp_path / "cut.gguf")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no GGUF file"),
        (b"GGU", "is no GGUF file"),
        (b"PK\3\4" * 20, "is no GGUF file"),
        (b"GGUF", "cannot be read"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63), "cannot be read"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**64 - 1), "cannot be read"),
        (b"GGUF" + struct.pack("<IQQQ1sII", 3, 0, 1, 1, b"k", 77, 0), "cannot be read"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 1, 1, 1, b"k", 9, 10, 2**63), "cannot be read"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQQ", 3, 1, 1, 1, b"k", 9, 8, 9, 2**64 - 1), "cannot be read"),
    ],
)
def test_what_is_no_header_is_one_clear_sentence(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelDamaged, match=rf"bad\.gguf.*{complaint}"):
        read_gguf_header(tmp_path / "bad.gguf")


def test_bytes_that_were_changed_at_random_end_in_a_header_or_a_clear_sentence(tiny: Path, tmp_path: Path) -> None:
    content, chance = tiny.read_bytes(), random.Random(1)
    path = tmp_path / "changed.gguf"
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(6_000)] = chance.randrange(256)
        path.write_bytes(changed)
        with suppress(ModelDamaged):
            read_gguf_header(path)
