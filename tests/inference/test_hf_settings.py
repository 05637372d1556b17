"""What the settings files beside a model say, and what is taken for granted without them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botbridge.inference.engines.hf_settings import FALLBACK_CONTEXT_TOKENS, context_limit, end_ids


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"text_config": {"max_position_embeddings": 1024}}, 1024),
        ({"max_position_embeddings": "many"}, FALLBACK_CONTEXT_TOKENS),
        ([], FALLBACK_CONTEXT_TOKENS),
    ],
    ids=["text only", "with images", "no number", "no object"],
)
def test_the_context_is_as_long_as_the_configuration_says(tmp_path: Path, config: object, limit: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_limit(tmp_path) == limit


def test_a_damaged_configuration_is_refused_and_a_missing_one_is_not(tmp_path: Path) -> None:
    assert context_limit(tmp_path) == FALLBACK_CONTEXT_TOKENS
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting property name"):
        context_limit(tmp_path)


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ('{"eos_token_id": 7}', {7}),
        ('{"eos_token_id": [7, 8, null]}', {7, 8}),
        ("{}", set()),
        ("[]", set()),
        ("{", set()),
        (None, set()),
    ],
)
def test_the_ends_of_an_answer_are_those_that_are_named(tmp_path: Path, settings: str | None, ids: set[int]) -> None:
    if settings is not None:
        (tmp_path / "generation_config.json").write_text(settings)
    assert end_ids(tmp_path) == ids
