"""Which files of a repository are taken, and what is said when none fits."""

from __future__ import annotations

import pytest

from botbridge.errors import ModelNotFound
from botbridge.models.choosing import Form, choose, choose_gguf, wanted
from botbridge.models.names import HubSource

OFFERED = [
    "README.md",
    "LICENSE",
    "tiny-Q4_K_M.gguf",
    "tiny-Q4_K_S.gguf",
    "tiny-q8_0.gguf",
    "tiny-BF16.gguf",
    "mmproj-tiny-Q8_0.gguf",
    "tiny-Q6_K-00001-of-00002.gguf",
    "tiny-Q6_K-00002-of-00002.gguf",
    "large/tiny-F32.gguf",
]


def source(quantization: str | None = None) -> HubSource:
    return HubSource("hub", "org/tiny-GGUF", quantization=quantization)


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ("Q4_K_M", "tiny-Q4_K_M.gguf"),
        ("q4_k_s", "tiny-Q4_K_S.gguf"),
        ("Q8_0", "tiny-q8_0.gguf"),
        ("BF16", "tiny-BF16.gguf"),
        ("F32", "large/tiny-F32.gguf"),
        ("tiny-Q4_K_M.gguf", "tiny-Q4_K_M.gguf"),
    ],
)
def test_the_one_file_of_a_quantization_is_taken_with_the_licence(quantization: str, name: str) -> None:
    """Whatever its spelling; what turns pictures into tokens is no language model."""
    choice = choose(source(quantization), OFFERED)
    assert choice.form is Form.GGUF
    assert choice.names == (name, "LICENSE")


@pytest.mark.parametrize("quantization", ["Q4_K", "Q4", "F16", "Q5_0", "other.gguf"])
def test_a_quantization_that_is_not_there_is_answered_with_what_is(quantization: str) -> None:
    with pytest.raises(ModelNotFound, match=f"no GGUF file for {quantization}; there is .*tiny-Q4_K_M.gguf") as caught:
        choose(source(quantization), OFFERED)
    assert "mmproj" not in str(caught.value)


def test_a_split_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelNotFound, match="Q6_K in 2 parts.*llama-gguf-split --merge"):
        choose(source("Q6_K"), OFFERED)


def test_several_files_of_a_quantization_are_listed_with_how_to_name_one() -> None:
    names = ["tiny-Q4_0.gguf", "tiny-UD-Q4_0.gguf"]
    with pytest.raises(ModelNotFound, match=r"several.*tiny-Q4_0\.gguf, tiny-UD-Q4_0\.gguf.*o/t:tiny-Q4_0\.gguf"):
        choose_gguf("o/t", "Q4_0", names)
    assert choose_gguf("o/t", "UD-Q4_0", names) == "tiny-UD-Q4_0.gguf"
    assert choose_gguf("o/t", "tiny-q4_0.gguf", names) == "tiny-Q4_0.gguf"


def test_a_repository_without_gguf_says_so() -> None:
    with pytest.raises(ModelNotFound, match="holds no GGUF files at all"):
        choose(source("Q4_0"), ["model.safetensors", "config.json"])


def test_a_repository_of_gguf_only_tells_how_one_is_pulled() -> None:
    with pytest.raises(
        ModelNotFound, match=r"no weights as safetensors; .*org/tiny-GGUF:Q4_K_M.*tiny-Q4_K_S\.gguf"
    ) as caught:
        choose(source(), OFFERED)
    assert "00001-of" not in str(caught.value)


def test_only_weights_under_another_name_are_taken_when_there_are_no_others() -> None:
    assert wanted(["config.json", "consolidated.safetensors", "a.bin"]) == ["config.json", "consolidated.safetensors"]


def test_an_adapter_is_its_configuration_and_its_weights() -> None:
    names = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "training_args.bin", "LICENSE"]
    choice = choose(source(), names)
    assert choice.form is Form.ADAPTER
    assert choice.names == ("adapter_config.json", "adapter_model.safetensors", "LICENSE")


def test_an_adapter_as_a_pickle_is_refused() -> None:
    with pytest.raises(ModelNotFound, match="not as adapter_model.safetensors.*pickle"):
        choose(source(), ["adapter_config.json", "adapter_model.bin"])


def test_a_model_with_an_adapter_beside_it_is_a_model() -> None:
    """Its adapter's configuration stays away: transformers would look for the adapter's weights."""
    names = ["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"]
    choice = choose(source(), names)
    assert choice.form is Form.SAFETENSORS
    assert choice.names == ("config.json", "model.safetensors")
