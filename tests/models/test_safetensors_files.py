"""Files of weights are looked at before they are loaded; what is wrong with them is said by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from botbridge.models.safetensors_files import WeightsDamaged, count_numbers, tensor_sizes

INDEX = "model.safetensors.index.json"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model of 26 numbers in two files."""
    save_file({"a": torch.zeros(4, 5)}, tmp_path / "one.safetensors", metadata={"format": "pt"})
    save_file({"b": torch.zeros(6, dtype=torch.bfloat16)}, tmp_path / "two.safetensors")
    names = {"a": "one.safetensors", "b": "two.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": names}))
    return tmp_path


def test_numbers_are_counted_from_the_headers(directory: Path) -> None:
    """Of all files that the index names."""
    assert count_numbers(directory) == 26


def test_parts_without_an_index_are_no_model(directory: Path) -> None:
    """Transformers would not find them."""
    (directory / INDEX).unlink()
    with pytest.raises(WeightsDamaged, match=f"there is neither model.safetensors nor {INDEX}"):
        count_numbers(directory)


def test_one_whole_file_goes_before_the_parts(directory: Path) -> None:
    """As transformers chooses."""
    save_file({"a": torch.zeros(3)}, directory / "model.safetensors")
    assert count_numbers(directory) == 3


def test_a_missing_part_is_named(directory: Path) -> None:
    """With the file that names it."""
    (directory / "two.safetensors").unlink()
    with pytest.raises(WeightsDamaged, match=f"two.safetensors is missing; {INDEX} names it"):
        count_numbers(directory)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_names_nothing_is_named(directory: Path, text: str) -> None:
    """Half of it may be lost."""
    (directory / INDEX).write_text(text)
    with pytest.raises(WeightsDamaged, match=f"{INDEX} is damaged"):
        count_numbers(directory)


def test_a_file_that_is_cut_off_or_too_long_is_named_with_both_sizes(directory: Path) -> None:
    """A download that broke off is the usual cause."""
    path = directory / "one.safetensors"
    whole = path.read_bytes()
    for wrong in (whole[:-1], whole + b"x"):
        path.write_bytes(wrong)
        with pytest.raises(WeightsDamaged, match=f"one.safetensors is damaged: .* {len(whole)} bytes .* {len(wrong)}"):
            count_numbers(directory)


@given(length=st.integers(0, 199), noise=st.binary(max_size=20))
def test_no_file_is_so_broken_that_it_is_not_named(
    tmp_path_factory: pytest.TempPathFactory, length: int, noise: bytes
) -> None:
    """Cut anywhere, with anything after it."""
    path = tmp_path_factory.mktemp("broken") / "weights.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:length] + noise)
    with pytest.raises(WeightsDamaged, match=r"weights\.safetensors"):
        list(tensor_sizes(path))
