"""What reaches a terminal moves nothing but the text."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from botbridge.platforms.terminal.render import plain


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_no_control_character_but_tab_and_line_feed_is_left_and_the_rest_can_be_written(text: str) -> None:
    shown = plain(text)
    assert not [char for char in shown if unicodedata.category(char) == "Cc" and char not in "\t\n"]
    shown.encode("utf-8")


@given(
    st.text(
        alphabet=st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\u202a\u202b\u202c\u202d\u202e")
    )
)
def test_all_other_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_arabic_with_isolates_and_joiners_stays_as_it_is() -> None:
    sentence = "أنت رقم \u2068٢\u2069 في الصف، می\u200cروم"
    assert plain(sentence) == sentence


def test_directional_overrides_are_dropped() -> None:
    assert plain("safe\u202etxt.exe") == "safetxt.exe"


def test_a_lone_carriage_return_cannot_overwrite_its_line() -> None:
    assert plain("balance 0\rbalance 9\r\n") == "balance 0\nbalance 9\n"
