"""Which field a server has refused, from what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.inference.remote_fields import OPTIONAL, refused_field


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", "temperature"),
        ("`temperature` and `top_p` cannot both be specified for this model.", "top_p"),
        ("Unrecognized request argument supplied: prompt_cache_key", "prompt_cache_key"),
        ("property 'prompt_cache_key' is unsupported", "prompt_cache_key"),
        ("Validation: Unsupported parameter(s): prompt_cache_key", "prompt_cache_key"),
        ('Invalid JSON payload received. Unknown name "user": Cannot find field.', "user"),
        ("{'type': 'extra_forbidden', 'loc': ['body', 'stream_options']}", "stream_options"),
        ("Unsupported parameter: 'max_completion_tokens'", None),
        ("Conversation roles must alternate user/assistant", None),
        ("max_tokens is too large: 99999. This model supports at most 4096 completion tokens", None),
        ("Images are not supported", None),
        ("", None),
    ],
)
def test_a_refusal_names_a_field_or_is_about_something_else(message: str, name: str | None) -> None:
    assert refused_field(400, message, OPTIONAL) == refused_field(422, message, OPTIONAL) == name
    assert refused_field(500, message, OPTIONAL) is None


@given(
    status=st.integers(300, 599),
    words=st.lists(st.sampled_from([*OPTIONAL, "unsupported", "not permitted", " ", "_", "'"]) | st.text(max_size=4)),
    sent=st.sets(st.sampled_from(OPTIONAL)),
)
def test_only_what_was_sent_is_given_up_and_only_for_a_refusal(status: int, words: list[str], sent: set[str]) -> None:
    name = refused_field(status, "".join(words), sent)
    assert name is None or (name in sent and status in {400, 422} and name in "".join(words))
